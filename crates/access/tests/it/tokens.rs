//! What a token is for, and nothing else.

use greenroom_access::{Access, Action, Principal, Resource, RoleSet, TokenScope};
use greenroom_domain::deployment::environment::Purpose;
use greenroom_domain::id::Name;
use greenroom_domain::role::Role;

use crate::{PURPOSES, environment, resources};

#[test]
fn an_sdk_token_evaluates_in_its_own_environment_and_does_nothing_else() {
    let access = Access::new().unwrap();
    let sdk = Principal::token(TokenScope::Sdk { environment: Name::new("elsewhere").unwrap() });
    let elsewhere = Resource::Environment { name: Name::new("elsewhere").unwrap(), purpose: Purpose::Production };
    for action in Action::ALL {
        for resource in resources() {
            assert!(!access.decide(&sdk, action, &resource).allowed, "{action} on {resource}");
        }
        assert_eq!(access.decide(&sdk, action, &elsewhere).allowed, action == Action::ExposureEvaluate, "{action} at home");
    }
    let refused = access.decide(&sdk, Action::ExposureEvaluate, &environment(Purpose::Production));
    assert!(refused.remedy.contains("the environment it was made for"), "{}", refused.remedy);
}

#[test]
fn ci_deploys_everywhere_but_to_production() {
    let access = Access::new().unwrap();
    let ci = Principal::token(TokenScope::Ci);
    for purpose in PURPOSES {
        let verdict = access.decide(&ci, Action::DeploymentRequest, &environment(purpose));
        assert_eq!(verdict.allowed, purpose != Purpose::Production, "{purpose}");
    }
    assert!(access.decide(&ci, Action::BuildRegister, &Resource::Any).allowed);
    assert!(access.decide(&ci, Action::CheckRecord, &environment(Purpose::Production)).allowed);
    for action in [Action::DeploymentRollback, Action::DeploymentEmergency, Action::FeatureBaseline, Action::CheckRecord] {
        assert_eq!(access.decide(&ci, action, &environment(Purpose::Test)).allowed, action == Action::CheckRecord, "{action}");
    }
}

#[test]
fn roles_add_nothing_to_a_token() {
    let access = Access::new().unwrap();
    let roles: RoleSet = Role::ALL.into_iter().collect();
    for scope in [TokenScope::Ci, TokenScope::Sdk { environment: Name::new("here").unwrap() }, TokenScope::Agent, TokenScope::Relay] {
        let (bare, crowned) = (Principal::token(scope.clone()), Principal { roles, scope });
        for action in Action::ALL {
            for resource in resources() {
                assert_eq!(access.decide(&bare, action, &resource), access.decide(&crowned, action, &resource), "{bare:?} {action}");
            }
        }
    }
}
