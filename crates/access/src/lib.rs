//! May this principal attempt this action on this resource? Cedar policies, compiled once.
//!
//! Nothing else is decided here: quorum, separation of duties, holds and needs are rules of the domain, which no edit
//! of a policy can take away. This is the only crate that names Cedar.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod action;
mod principal;
mod resource;

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use cedar_policy::{
    Authorizer, CedarSchemaError, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, ParseErrors, PolicyId, PolicySet, PolicySetError, Request,
    RestrictedExpression, Schema,
};
use greenroom_domain::deployment::environment::Purpose;
use greenroom_domain::id::Name;
use greenroom_domain::role::Role;

pub use crate::action::{Action, UnknownAction};
pub use crate::principal::{Principal, RoleSet, TokenScope};
pub use crate::resource::Resource;

/// The policies in force.
pub const POLICIES: &str = include_str!("policies.cedar");
/// What they are checked against.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("the access schema does not read")]
    Schema(#[source] Box<CedarSchemaError>),
    #[error("the access policies do not read")]
    Policies(#[source] Box<ParseErrors>),
    #[error("access policy `{0}` has no id of its own: annotate it with @id(\"…\")")]
    PolicyId(String),
    #[error("the access policies cannot be put together")]
    PolicySet(#[source] Box<PolicySetError>),
}

const PURPOSES: [Purpose; 6] = [Purpose::Development, Purpose::Integration, Purpose::Test, Purpose::Staging, Purpose::Production, Purpose::Preview];

/// The answer, with the policies that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    /// Ids of the policies that decided; empty when none permits it.
    pub policies: Vec<String>,
    /// What would help, for people; empty when allowed.
    pub remedy: String,
}

/// Pairs of an action and a kind of resource.
const CASES: usize = Action::COUNT * Resource::COUNT;

fn case(action: Action, resource: &Resource) -> usize {
    action.index() * Resource::COUNT + resource.index()
}

/// Verdicts on one kind of principal.
type Row = Box<[OnceLock<Box<Verdict>>]>;

/// Compiled policies, and every verdict given so far.
pub struct Access {
    schema: Schema,
    policies: PolicySet,
    authorizer: Authorizer,
    /// By [`Asker::index`], then by action and resource. A verdict depends on nothing else, so it is kept for ever; a
    /// row takes 10 kB and is made when someone of its kind first asks.
    verdicts: Box<[OnceLock<Row>]>,
    /// By action and resource: roles that alone suffice.
    sufficient: Box<[OnceLock<Vec<Role>>]>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

/// A principal as policies see it: a person's roles, or the kind of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Person(RoleSet),
    Ci,
    /// `own`: the resource is the environment that the token was made for.
    Sdk {
        own: bool,
    },
    Agent,
    Relay,
}

impl Asker {
    const COUNT: usize = RoleSet::COUNT + 5;

    fn new(principal: &Principal, resource: &Resource) -> Self {
        match &principal.scope {
            TokenScope::None => Self::Person(principal.roles),
            TokenScope::Ci => Self::Ci,
            TokenScope::Sdk { environment } => Self::Sdk { own: matches!(resource, Resource::Environment { name, .. } if name == environment) },
            TokenScope::Agent => Self::Agent,
            TokenScope::Relay => Self::Relay,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Person(roles) => roles.bits(),
            Self::Ci => RoleSet::COUNT,
            Self::Sdk { own: false } => RoleSet::COUNT + 1,
            Self::Sdk { own: true } => RoleSet::COUNT + 2,
            Self::Agent => RoleSet::COUNT + 3,
            Self::Relay => RoleSet::COUNT + 4,
        }
    }

    /// Its type in Cedar, and its name for people.
    const fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Person(_) => ("Person", "a person"),
            Self::Ci => ("Ci", "a ci token"),
            Self::Sdk { .. } => ("Sdk", "an sdk token"),
            Self::Agent => ("Agent", "an agent token"),
            Self::Relay => ("Relay", "a relay token"),
        }
    }

    fn entity(self) -> Option<Entity> {
        let roles = match self {
            Self::Person(roles) => roles,
            Self::Ci | Self::Sdk { .. } | Self::Agent | Self::Relay => RoleSet::NONE,
        };
        let parents: Option<HashSet<EntityUid>> = roles.iter().map(|role| uid("Role", role.as_str())).collect();
        Some(Entity::new_no_attrs(uid(self.kind().0, "caller")?, parents?))
    }
}

/// What Cedar said.
enum Answer {
    Decided {
        allowed: bool,
        policies: Vec<String>,
    },
    /// The schema does not know this action on this kind of resource.
    Meaningless,
}

impl Access {
    /// Compiles the embedded policies.
    ///
    /// # Errors
    /// When they or their schema do not read.
    pub fn new() -> Result<Self, AccessError> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| AccessError::Schema(Box::new(e)))?;
        let parsed: PolicySet = POLICIES.parse().map_err(|e| AccessError::Policies(Box::new(e)))?;
        let mut policies = PolicySet::new();
        for policy in parsed.policies() {
            let id = policy.annotation("id").filter(|id| !id.is_empty()).ok_or_else(|| AccessError::PolicyId(policy.id().to_string()))?;
            policies.add(policy.new_id(PolicyId::new(id))).map_err(|e| AccessError::PolicySet(Box::new(e)))?;
        }
        let verdicts = (0..Asker::COUNT).map(|_| OnceLock::new()).collect();
        let sufficient = (0..CASES).map(|_| OnceLock::new()).collect();
        Ok(Self { schema, policies, authorizer: Authorizer::new(), verdicts, sufficient })
    }

    /// Whether `principal` may attempt `action` on `resource`. Asked again, it costs two loads.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "both tables are as large as their indices can be")]
    pub fn decide(&self, principal: &Principal, action: Action, resource: &Resource) -> &Verdict {
        let asker = Asker::new(principal, resource);
        let row = self.verdicts[asker.index()].get_or_init(|| (0..CASES).map(|_| OnceLock::new()).collect());
        row[case(action, resource)].get_or_init(|| Box::new(self.judge(asker, action, resource)))
    }

    /// Whether there is anything that `principal` may attempt `action` on. For tokens of one environment: on that one.
    #[must_use]
    pub fn anywhere(&self, principal: &Principal, action: Action) -> bool {
        let own = match &principal.scope {
            TokenScope::Sdk { environment } => Some(environment.clone()),
            _ => Name::new("anywhere").ok(),
        };
        let plain = [Resource::Any, Resource::Release, Resource::Feature, Resource::Person, Resource::Token, Resource::Ledger];
        let environments = own.into_iter().flat_map(|name| PURPOSES.map(|purpose| Resource::Environment { name: name.clone(), purpose }));
        plain.into_iter().chain(environments).any(|resource| self.decide(principal, action, &resource).allowed)
    }

    /// Roles each of which alone lets a person attempt `action` on `resource`.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "the table is as large as its indices can be")]
    pub fn roles_for(&self, action: Action, resource: &Resource) -> &[Role] {
        let suffices = |role: &Role| matches!(self.ask(Asker::Person(RoleSet::from(*role)), action, resource), Answer::Decided { allowed: true, .. });
        self.sufficient[case(action, resource)].get_or_init(|| Role::ALL.into_iter().filter(suffices).collect())
    }

    fn judge(&self, asker: Asker, action: Action, resource: &Resource) -> Verdict {
        match self.ask(asker, action, resource) {
            Answer::Decided { allowed: true, policies } => Verdict { allowed: true, policies, remedy: String::new() },
            Answer::Decided { allowed: false, policies } => Verdict { allowed: false, policies, remedy: self.remedy(asker, action, resource) },
            Answer::Meaningless => Verdict { allowed: false, policies: Vec::new(), remedy: format!("`{action}` is not done to {resource}: name what it is done to") },
        }
    }

    fn ask(&self, asker: Asker, action: Action, resource: &Resource) -> Answer {
        let Some((request, entities)) = self.request(asker, action, resource) else { return Answer::Meaningless };
        let response = self.authorizer.is_authorized(&request, &self.policies, &entities);
        let mut policies: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        policies.sort_unstable();
        // A policy that could not be evaluated permits nothing, but it might have been one that forbids.
        let sound = response.diagnostics().errors().next().is_none();
        Answer::Decided { allowed: sound && response.decision() == Decision::Allow, policies }
    }

    fn request(&self, asker: Asker, action: Action, resource: &Resource) -> Option<(Request, Entities)> {
        let principal = asker.entity()?;
        let mut entities = vec![principal.clone()];
        let target = match (action, resource) {
            (Action::Decide(role), _) => uid("Role", role.as_str())?,
            (_, Resource::Environment { purpose, .. }) => {
                let target = uid(resource.cedar_type(), "it")?;
                entities.push(environment(target.clone(), *purpose, asker)?);
                target
            }
            (_, other) => {
                let target = uid(other.cedar_type(), "it")?;
                entities.push(Entity::with_uid(target.clone()));
                target
            }
        };
        let action = uid("Action", action.cedar_name())?;
        let request = Request::new(principal.uid(), action, target, Context::empty(), Some(&self.schema)).ok()?;
        Some((request, Entities::from_entities(entities, Some(&self.schema)).ok()?))
    }

    /// What someone who was refused can do about it, read off the policies themselves.
    fn remedy(&self, asker: Asker, action: Action, resource: &Resource) -> String {
        let roles: Vec<String> = self.roles_for(action, resource).iter().map(|role| format!("`{role}`")).collect();
        let whom = match roles.split_last() {
            None if action == Action::FeatureBaseline => return "in production a feature reaches users by a release: plan one".to_owned(),
            None => return format!("no role may {}", action.words()),
            Some((last, [])) => format!("the role {last}"),
            Some((last, others)) => format!("one of the roles {} or {last}", others.join(", ")),
        };
        match asker {
            Asker::Person(_) => format!("this needs {whom}: ask someone who has it, or an admin to be bound to it"),
            Asker::Sdk { .. } if action == Action::ExposureEvaluate => "an sdk token evaluates in the environment it was made for: use the token of this one".to_owned(),
            Asker::Ci | Asker::Sdk { .. } | Asker::Agent | Asker::Relay => {
                format!("{} is not for this: sign in as someone with {whom}", asker.kind().1)
            }
        }
    }
}

fn environment(id: EntityUid, purpose: Purpose, asker: Asker) -> Option<Entity> {
    let purpose = RestrictedExpression::new_entity_uid(uid("Purpose", &purpose.to_string())?);
    let own = RestrictedExpression::new_bool(asker == Asker::Sdk { own: true });
    Entity::new(id, HashMap::from([("purpose".to_owned(), purpose), ("own".to_owned(), own)]), HashSet::new()).ok()
}

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind: EntityTypeName = kind.parse().ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}
