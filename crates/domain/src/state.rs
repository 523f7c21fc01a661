//! The state: an immutable value folded from the ledger. `apply` cannot fail, compute policy, or look at time.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::agenda::Agenda;
use crate::decision::Decision;
use crate::deployment::build::Build;
use crate::deployment::check::CheckResult;
use crate::deployment::deployment::{Config, Deployment};
use crate::deployment::environment::Environment;
use crate::deployment::placement::Placement;
use crate::deployment::policy::Policy;
use crate::deployment::rollout::Rollout;
use crate::deployment::service::Service;
use crate::event::{Event, Token};
use crate::hold::Hold;
use crate::id::{AttributeName, BuildLabel, DeploymentId, Digest, FeatureKey, HoldId, Name, PersonId, PlacementKey, Requirement, RolloutId, TokenId};
use crate::map::HashMap;
use crate::recall::Recalled;
use crate::release::attribute::Attribute;
use crate::release::cohort::Cohort;
use crate::release::feature::Feature;
use crate::release::release::Release;
use crate::role::Role;
use crate::sealed::Sealed;
use crate::time::At;

/// An event with its place in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub seq: u64,
    pub at: At,
    pub actor: Actor,
    pub event: Event,
}

/// A person as the ledger knows them: the name is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub id: PersonId,
    pub name: Sealed,
    pub roles: Vec<Role>,
    pub joined: At,
    pub left: Option<At>,
}

/// Where the latest result of one check on one build in one environment is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckKey {
    pub environment: Name,
    pub service: Name,
    pub build: Digest,
    pub name: Name,
}

/// Numbers handed out so far, for people to type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Numbers {
    pub deployments: u64,
    pub releases: u64,
    pub holds: u64,
}

/// As a version of the state holds them: as one, they can be told from another version's without a look at each.
pub type Features = OrdMap<FeatureKey, Arc<Feature>>;

#[derive(Debug, Clone)]
pub struct State {
    pub seq: u64,
    pub at: At,
    pub environments: OrdMap<Name, Arc<Environment>>,
    pub services: OrdMap<Name, Arc<Service>>,
    pub policies: OrdMap<Name, Arc<Policy>>,
    pub features: Features,
    pub cohorts: OrdMap<Name, Arc<Cohort>>,
    pub attributes: OrdMap<AttributeName, Arc<Attribute>>,
    /// Earlier versions of cohorts that releases and baselines still name.
    pub earlier_cohorts: OrdMap<(Name, u64), Arc<Cohort>>,
    pub builds: HashMap<Digest, Arc<Build>>,
    pub versions: OrdMap<BuildLabel, Digest>,
    pub configs: HashMap<Digest, Arc<Config>>,
    pub placements: HashMap<PlacementKey, Arc<Placement>>,
    pub deployments: HashMap<DeploymentId, Arc<Deployment>>,
    pub rollouts: HashMap<RolloutId, Arc<Rollout>>,
    pub checks: HashMap<CheckKey, Arc<CheckResult>>,
    pub releases: OrdMap<Name, Arc<Release>>,
    pub holds: OrdMap<HoldId, Arc<Hold>>,
    pub persons: OrdMap<PersonId, Arc<Person>>,
    pub tokens: HashMap<Digest, Arc<Token>>,
    pub token_ids: HashMap<TokenId, Digest>,
    pub separation: bool,
    pub numbers: Numbers,
    /// Seq of the last event that changed what an environment's users are served.
    pub revisions: OrdMap<Name, u64>,

    // indexes over the above
    pub agenda: Agenda,
    /// Tokens by when they end.
    pub expiring: OrdSet<(At, TokenId)>,
    pub placed: OrdSet<(Name, Name, Name)>,
    pub active: OrdSet<RolloutId>,
    pub waiting: OrdSet<(Name, RolloutId)>,
    pub by_number: OrdMap<u64, DeploymentId>,
    /// The last deployment asked for, by environment and service, with its number.
    pub latest: HashMap<(Name, Name), (u64, DeploymentId)>,
    pub needed_by: OrdSet<(Name, Name)>,
    /// Releases with unflagged builds, which enter production as deployments do.
    pub unflagged: OrdSet<Name>,
    pub builds_of: OrdSet<(Name, u64, Digest)>,
    /// Builds that were tried in an environment and did not stay, or are on their way.
    pub tried: OrdSet<(Name, Digest)>,
    /// Builds that were live in an environment at some time.
    pub lived: OrdSet<(Name, Digest)>,

    /// What one decision asked back from the archive; never kept, compared or written to a checkpoint.
    pub recalled: Recalled,
}

impl Default for State {
    fn default() -> Self {
        Self {
            seq: 0,
            at: At(0),
            environments: OrdMap::new(),
            services: OrdMap::new(),
            policies: OrdMap::new(),
            features: OrdMap::new(),
            cohorts: OrdMap::new(),
            attributes: OrdMap::new(),
            earlier_cohorts: OrdMap::new(),
            builds: HashMap::new(),
            versions: OrdMap::new(),
            configs: HashMap::new(),
            placements: HashMap::new(),
            deployments: HashMap::new(),
            rollouts: HashMap::new(),
            checks: HashMap::new(),
            releases: OrdMap::new(),
            holds: OrdMap::new(),
            persons: OrdMap::new(),
            tokens: HashMap::new(),
            token_ids: HashMap::new(),
            separation: true,
            numbers: Numbers::default(),
            revisions: OrdMap::new(),
            agenda: Agenda::default(),
            expiring: OrdSet::new(),
            placed: OrdSet::new(),
            active: OrdSet::new(),
            waiting: OrdSet::new(),
            by_number: OrdMap::new(),
            latest: HashMap::new(),
            needed_by: OrdSet::new(),
            unflagged: OrdSet::new(),
            builds_of: OrdSet::new(),
            tried: OrdSet::new(),
            lived: OrdSet::new(),
            recalled: Recalled::default(),
        }
    }
}

impl State {
    /// The build that `label` names.
    #[must_use]
    pub fn build(&self, label: &BuildLabel) -> Option<&Arc<Build>> {
        self.builds.get(self.versions.get(label)?)
    }

    /// Whether `build` counts as what `need` asks for, or newer. A floor that is not registered is compared by its version.
    #[must_use]
    pub fn meets(&self, build: &Build, need: &Requirement) -> bool {
        let versioning = self.services.get(&need.service).map(|s| s.spec.versioning).unwrap_or_default();
        let floor = self.build(&BuildLabel { service: need.service.clone(), version: need.floor.clone() });
        floor.map_or_else(|| build.reaches_version(&need.floor, versioning), |floor| build.reaches(floor, versioning))
    }

    /// A target of `environment` on which `service` shall run and was never placed.
    #[must_use]
    pub fn unplaced<'a>(&self, environment: &'a Environment, service: &'a Service) -> Option<&'a Name> {
        let placed = |target: &Name| self.placed.contains(&(environment.name.clone(), service.name.clone(), target.clone()));
        environment.hosting(service).map(|t| &t.name).find(|target| !placed(target))
    }

    /// Placements of `service` in `environment`, in order of target name.
    pub fn placements_of<'a>(&'a self, environment: &'a Name, service: &'a Name) -> impl Iterator<Item = &'a Arc<Placement>> {
        let from = (environment.clone(), service.clone(), lowest());
        self.placed
            .range(from..)
            .take_while(move |(e, s, _)| e == environment && s == service)
            .filter_map(|(e, s, t)| self.placements.get(&PlacementKey { environment: e.clone(), target: t.clone(), service: s.clone() }))
    }

    /// Rollouts that wait in `environment`.
    pub fn waiting_in<'a>(&'a self, environment: &'a Name) -> impl Iterator<Item = &'a RolloutId> {
        let from = (environment.clone(), RolloutId::new(uuid::Uuid::nil()));
        self.waiting.range(from..).take_while(move |(e, _)| e == environment).map(|(_, id)| id)
    }

    /// Placements in `environment`, by service and target.
    pub fn placements_in<'a>(&'a self, environment: &'a Name) -> impl Iterator<Item = &'a Arc<Placement>> {
        let from = (environment.clone(), lowest(), lowest());
        self.placed
            .range(from..)
            .take_while(move |(e, _, _)| e == environment)
            .filter_map(|(e, s, t)| self.placements.get(&PlacementKey { environment: e.clone(), target: t.clone(), service: s.clone() }))
    }

    /// Releases that need `service` in some way.
    pub fn releases_needing<'a>(&'a self, service: &'a Name) -> impl Iterator<Item = &'a Name> {
        self.needed_by.range((service.clone(), lowest())..).take_while(move |(s, _)| s == service).map(|(_, r)| r)
    }

    /// What is observed to run together in `environment`: the one build of each service, where all its instances agree.
    #[must_use]
    pub fn observed_set(&self, environment: &Name) -> BTreeMap<Name, Digest> {
        let mut set: BTreeMap<Name, Option<Digest>> = BTreeMap::new();
        for placement in self.placements_in(environment) {
            let Some(seen) = placement.observed.as_ref().filter(|o| !o.serving.is_empty()) else { continue };
            let build = seen.build().cloned();
            set.entry(placement.key.service.clone())
                .and_modify(|known| {
                    if *known != build {
                        *known = None;
                    }
                })
                .or_insert(build);
        }
        set.into_iter().filter_map(|(service, build)| Some((service, build?))).collect()
    }

    /// The versions of the cohorts in `spec` as they are now.
    #[must_use]
    pub fn cohort_versions(&self, spec: &crate::release::plan::ReleaseSpec) -> BTreeMap<Name, u64> {
        spec.stages.iter().filter_map(|stage| self.cohorts.get(stage.cohort.as_ref()?)).map(|c| (c.name.clone(), c.version)).collect()
    }

    /// Environments that come right after `environment`.
    pub fn downstream<'a>(&'a self, environment: &'a Name) -> impl Iterator<Item = &'a Arc<Environment>> {
        self.environments.values().filter(move |e| e.spec.after.contains(environment))
    }

    #[must_use]
    pub fn is_production(&self, environment: &Name) -> bool {
        self.environments.get(environment).is_some_and(|e| e.spec.purpose == crate::deployment::environment::Purpose::Production)
    }

    /// Seq of the last event that changed the exposure of `environment`.
    #[must_use]
    pub fn revision(&self, environment: &Name) -> u64 {
        self.revisions.get(environment).copied().unwrap_or(0)
    }

    /// The latest result of check `name` on `build` in `environment`.
    #[must_use]
    pub fn check(&self, environment: &Name, service: &Name, build: &Digest, name: &Name) -> Option<&Arc<CheckResult>> {
        self.checks.get(&CheckKey { environment: environment.clone(), service: service.clone(), build: build.clone(), name: name.clone() })
    }

    #[must_use]
    pub fn decisions_of(&self, about: &crate::decision::About) -> &[Decision] {
        match about {
            crate::decision::About::Deployment(id) => self.deployments.get(id).map_or(&[], |d| &d.decisions),
            crate::decision::About::Release(name) => self.releases.get(name).map_or(&[], |r| &r.decisions),
        }
    }
}

/// Sorts before every name.
#[allow(clippy::expect_used, reason = "a literal that is a name")]
fn lowest() -> Name {
    static LOWEST: std::sync::LazyLock<Name> = std::sync::LazyLock::new(|| Name::new("0").expect("`0` is a name"));
    LOWEST.clone()
}
