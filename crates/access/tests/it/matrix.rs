//! The checked-in table: every action by every role and kind of token.

use std::fmt::Write as _;

use greenroom_access::{Access, Action, Principal, Resource, TokenScope};
use greenroom_domain::deployment::environment::Purpose;
use greenroom_domain::id::Name;
use greenroom_domain::role::Role;

use crate::{environment, resources};

const LEGEND: &str = "\
# Who may attempt what. `x` yes, `n` everywhere but in production, `.` no.
# `none` is someone signed in without a role; the last four are tokens, `sdk` in the environment it was made for.
";

fn askers() -> Vec<(&'static str, Principal)> {
    let mut askers = vec![("none", Principal::default())];
    askers.extend(Role::ALL.map(|role| (role.as_str(), Principal::person([role]))));
    askers.push(("ci", Principal::token(TokenScope::Ci)));
    askers.push(("sdk", Principal::token(TokenScope::Sdk { environment: Name::new("here").unwrap() })));
    askers.push(("agent", Principal::token(TokenScope::Agent)));
    askers.push(("relay", Principal::token(TokenScope::Relay)));
    askers
}

/// Kinds of resource that `action` is done to, as the schema has it.
fn done_to(access: &Access, action: Action) -> Vec<Resource> {
    let nobody = Principal::default();
    resources().into_iter().filter(|resource| !access.decide(&nobody, action, resource).remedy.contains("is not done to")).collect()
}

fn cell(access: &Access, principal: &Principal, action: Action, resources: &[Resource]) -> &'static str {
    let production = environment(Purpose::Production);
    let (in_production, elsewhere): (Vec<&Resource>, Vec<_>) = resources.iter().partition(|r| **r == production);
    let all = |list: &[&Resource]| list.iter().all(|r| access.decide(principal, action, r).allowed);
    let none = |list: &[&Resource]| list.iter().all(|r| !access.decide(principal, action, r).allowed);
    if all(&in_production) && all(&elsewhere) {
        "x"
    } else if none(&in_production) && none(&elsewhere) {
        "."
    } else if none(&in_production) && all(&elsewhere) {
        "n"
    } else {
        "?"
    }
}

#[test]
fn the_table_is_the_one_checked_in() {
    let access = Access::new().unwrap();
    let askers = askers();
    let mut table = String::from(LEGEND);
    let _ = write!(table, "{:24}", "");
    for (name, _) in &askers {
        let _ = write!(table, " {name}");
    }
    table.push('\n');
    for action in Action::ALL {
        let _ = write!(table, "{action:24}");
        let resources = done_to(&access, action);
        assert!(!resources.is_empty(), "{action} is done to nothing");
        for (name, principal) in &askers {
            let _ = write!(table, " {:1$}", cell(&access, principal, action, &resources), name.len());
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    assert_eq!(table, include_str!("matrix.txt"), "the policies say this; if it is what you mean, check it in:\n{table}");
}

#[test]
fn roles_add_up_and_take_nothing_away() {
    let access = Access::new().unwrap();
    for (n, one) in Role::ALL.into_iter().enumerate() {
        for other in Role::ALL.into_iter().skip(n + 1) {
            for action in Action::ALL {
                for resource in [Resource::Any, environment(Purpose::Production)] {
                    let may = |roles: &[Role]| access.decide(&Principal::person(roles.iter().copied()), action, &resource).allowed;
                    assert_eq!(may(&[one, other]), may(&[one]) || may(&[other]), "{one} + {other}, {action} on {resource}");
                }
            }
        }
    }
}

#[test]
fn an_admin_neither_deploys_nor_releases_nor_decides_until_bound_to_it() {
    let access = Access::new().unwrap();
    let (admin, bound) = (Principal::person([Role::Admin]), Principal::person([Role::Admin, Role::Deployer]));
    let production = environment(Purpose::Production);
    for action in Action::ALL {
        let noun = action.as_str().split('.').next().unwrap();
        let acts = ["deployment", "rollout", "release", "feature", "hold", "permit", "decide", "build", "check"].contains(&noun);
        for resource in resources() {
            assert!(!acts || !access.decide(&admin, action, &resource).allowed, "{action} on {resource}");
        }
    }
    assert!(access.decide(&bound, Action::DeploymentRequest, &production).allowed);
}

#[test]
fn deciding_as_a_role_needs_exactly_that_role() {
    let access = Access::new().unwrap();
    for role in Role::ALL {
        for decided in Role::ALL {
            let verdict = access.decide(&Principal::person([role]), Action::Decide(decided), &Resource::Release);
            assert_eq!(verdict.allowed, role == decided && role != Role::Admin, "{role} as {decided}");
        }
    }
}
