//! The policies themselves: few, named, and true to their schema; and the words a refusal comes with.

use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
use greenroom_access::{Access, Action, POLICIES, Principal, Resource, SCHEMA, TokenScope};
use greenroom_domain::deployment::environment::Purpose;
use greenroom_domain::role::Role;

use crate::environment;

#[test]
fn the_policies_hold_against_their_schema() {
    let (schema, warnings) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    assert_eq!(warnings.map(|w| w.to_string()).collect::<Vec<_>>(), Vec::<String>::new());
    let policies: PolicySet = POLICIES.parse().unwrap();
    assert!(policies.policies().count() <= 10, "every policy costs every first decision");
    let result = Validator::new(schema).validate(&policies, ValidationMode::Strict);
    let found: Vec<String> = result.validation_errors().map(ToString::to_string).chain(result.validation_warnings().map(ToString::to_string)).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_schema_knows_every_action_and_role() {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    let declared: Vec<String> = schema.actions().map(|uid| uid.id().unescaped().to_owned()).collect();
    for action in Action::ALL {
        let name = if let Action::Decide(_) = action { "decide" } else { action.as_str() };
        assert!(declared.iter().any(|d| d == name), "{action}");
        assert_eq!(action.as_str().parse::<Action>().unwrap(), action);
    }
    // Dots are in actions, not in groups.
    for name in declared.iter().filter(|name| name.contains('.')) {
        assert!(name.parse::<Action>().is_ok(), "the schema has `{name}`, the program does not");
    }
    for role in Role::ALL {
        assert!(SCHEMA.contains(&format!("\"{role}\"")), "{role}");
    }
}

#[test]
fn a_permission_names_its_policy_and_a_refusal_what_would_help() {
    let access = Access::new().unwrap();
    let (test, production) = (environment(Purpose::Test), environment(Purpose::Production));
    let engineer = Principal::person([Role::Engineer]);

    let allowed = access.decide(&engineer, Action::DeploymentRequest, &test);
    assert_eq!((allowed.allowed, allowed.policies.as_slice(), allowed.remedy.as_str()), (true, &["engineering".to_owned()][..], ""));

    let says = |principal: &Principal, action, resource: &Resource| {
        let verdict = access.decide(principal, action, resource);
        assert!(!verdict.allowed && verdict.policies.is_empty());
        verdict.remedy.as_str()
    };
    assert_eq!(says(&engineer, Action::DeploymentRequest, &production), "this needs the role `deployer`: ask someone who has it, or an admin to be bound to it");
    assert_eq!(
        says(&engineer, Action::FeatureKill, &Resource::Feature),
        "this needs one of the roles `deployer`, `release-manager`, `product-owner` or `on-call`: ask someone who has it, or an admin to be bound to it"
    );
    assert_eq!(says(&engineer, Action::FeatureBaseline, &production), "in production a feature reaches users by a release: plan one");
    assert_eq!(says(&engineer, Action::DeploymentRequest, &Resource::Any), "`deployment.request` is not done to the whole: name what it is done to");
    assert_eq!(
        says(&Principal::token(TokenScope::Agent), Action::ReleasePlan, &Resource::Any),
        "an agent token is not for this: sign in as someone with one of the roles `release-manager` or `product-owner`"
    );
    assert_eq!(says(&Principal::person([Role::Admin]), Action::Decide(Role::Admin), &Resource::Any), "no role may decide as admin");
}

#[test]
fn a_verdict_is_given_once_and_kept() {
    let access = Access::new().unwrap();
    let principal = Principal::person([Role::Viewer, Role::Auditor]);
    let first = access.decide(&principal, Action::LedgerVerify, &Resource::Ledger);
    assert!(std::ptr::eq(first, access.decide(&principal, Action::LedgerVerify, &Resource::Ledger)));
}
