//! Every route stands in the authorisation coverage list, with what each role and kind of token gets there.

use std::fmt::Write as _;
use std::path::Path;

use greenroom_access::{Access, Action, Principal, Resource, TokenScope};
use greenroom_domain::deployment::environment::Purpose;
use greenroom_domain::id::Name;
use greenroom_domain::role::Role;

/// Resources that a route's action may be asked on.
fn resources() -> Vec<(&'static str, Resource)> {
    let environment = |purpose| Resource::Environment { name: Name::new("here").unwrap(), purpose };
    vec![
        ("any", Resource::Any),
        ("test", environment(Purpose::Test)),
        ("production", environment(Purpose::Production)),
        ("release", Resource::Release),
        ("ledger", Resource::Ledger),
    ]
}

/// One line for each route and resource: who may.
fn list() -> String {
    let access = Access::new().unwrap();
    let mut text = String::from("# METHOD PATH action resource: who may (roles alone, then kinds of token). Written by the coverage test with UPDATE=1.\n");
    for route in greenroom_server::http::table() {
        let _ = write!(text, "{} /api/v1{} ", route.method, route.path);
        if route.action.is_empty() {
            text.push_str("- : anyone\n");
            continue;
        }
        if route.action == "decide" {
            text.push_str("decide : the role decided as, but admin\n");
            continue;
        }
        let action: Action = route.action.parse().unwrap();
        let mut lines = Vec::new();
        for (name, resource) in resources() {
            let mut who: Vec<String> = Role::ALL.into_iter().filter(|role| access.decide(&Principal::person([*role]), action, &resource).allowed).map(|r| r.to_string()).collect();
            let tokens = [("ci", TokenScope::Ci), ("sdk", TokenScope::Sdk { environment: Name::new("here").unwrap() }), ("agent", TokenScope::Agent), ("relay", TokenScope::Relay)];
            who.extend(tokens.into_iter().filter(|(_, scope)| access.decide(&Principal::token(scope.clone()), action, &resource).allowed).map(|(kind, _)| format!("token:{kind}")));
            if !who.is_empty() {
                lines.push(format!("{name}: {}", who.join(" ")));
            }
        }
        let _ = writeln!(text, "{} {}", route.action, lines.join(" | "));
    }
    text
}

#[test]
fn every_route_is_covered() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/authorization.txt");
    let now = list();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), now, "routes or who may use them changed: look, then run with UPDATE=1");
}

#[test]
fn an_admin_administers_and_nothing_else() {
    let access = Access::new().unwrap();
    let admin = Principal::person([Role::Admin]);
    let production = Resource::Environment { name: Name::new("here").unwrap(), purpose: Purpose::Production };
    for action in [Action::DeploymentRequest, Action::DeploymentRollback, Action::DeploymentEmergency] {
        assert!(!access.decide(&admin, action, &production).allowed, "{action}");
    }
    for action in [Action::ReleaseStart, Action::ReleaseWithdraw] {
        assert!(!access.decide(&admin, action, &Resource::Release).allowed, "{action}");
    }
}
