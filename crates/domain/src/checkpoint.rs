//! The state as bytes, for a disposable file beside the ledger. Indexes are made anew when it is read.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::agenda::{Agenda, Due};
use crate::deployment::build::Build;
use crate::deployment::check::CheckResult;
use crate::deployment::deployment::{Config, Deployment};
use crate::deployment::environment::Environment;
use crate::deployment::placement::Placement;
use crate::deployment::policy::Policy;
use crate::deployment::rollout::{Rollout, StepKind};
use crate::deployment::service::Service;
use crate::event::Token;
use crate::hold::Hold;
use crate::id::{Digest, Name};
use crate::judge::archive::KEEP;
use crate::release::attribute::Attribute;
use crate::release::cohort::Cohort;
use crate::release::feature::Feature;
use crate::release::release::{Course, Release};
use crate::state::{CheckKey, Numbers, Person, State};
use crate::time::At;

#[derive(Serialize, Deserialize)]
struct Stored {
    seq: u64,
    at: At,
    environments: Vec<Arc<Environment>>,
    services: Vec<Arc<Service>>,
    policies: Vec<Arc<Policy>>,
    features: Vec<Arc<Feature>>,
    cohorts: Vec<Arc<Cohort>>,
    attributes: Vec<Arc<Attribute>>,
    earlier_cohorts: Vec<Arc<Cohort>>,
    builds: Vec<Arc<Build>>,
    configs: Vec<(Digest, Arc<Config>)>,
    placements: Vec<Arc<Placement>>,
    deployments: Vec<Arc<Deployment>>,
    rollouts: Vec<Arc<Rollout>>,
    checks: Vec<(Digest, Arc<CheckResult>)>,
    releases: Vec<Arc<Release>>,
    holds: Vec<Arc<Hold>>,
    persons: Vec<Arc<Person>>,
    tokens: Vec<Arc<Token>>,
    separation: bool,
    numbers: Numbers,
    revisions: Vec<(Name, u64)>,
    tried: Vec<(Name, Digest)>,
    lived: Vec<(Name, Digest)>,
}

impl State {
    /// Number of the form below; another form takes another number.
    pub const CHECKPOINT_FORMAT: u32 = 5;

    /// Everything but the indexes, as JSON.
    #[must_use]
    pub fn to_checkpoint(&self) -> Vec<u8> {
        let stored = Stored {
            seq: self.seq,
            at: self.at,
            environments: self.environments.values().cloned().collect(),
            services: self.services.values().cloned().collect(),
            policies: self.policies.values().cloned().collect(),
            features: self.features.values().cloned().collect(),
            cohorts: self.cohorts.values().cloned().collect(),
            attributes: self.attributes.values().cloned().collect(),
            earlier_cohorts: self.earlier_cohorts.values().cloned().collect(),
            builds: self.builds.values().cloned().collect(),
            configs: self.configs.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            placements: self.placements.values().cloned().collect(),
            deployments: self.deployments.values().cloned().collect(),
            rollouts: self.rollouts.values().cloned().collect(),
            checks: self.checks.iter().map(|(k, v)| (k.build.clone(), v.clone())).collect(),
            releases: self.releases.values().cloned().collect(),
            holds: self.holds.values().cloned().collect(),
            persons: self.persons.values().cloned().collect(),
            tokens: self.tokens.values().cloned().collect(),
            separation: self.separation,
            numbers: self.numbers,
            revisions: self.revisions.iter().map(|(k, v)| (k.clone(), *v)).collect(),
            tried: self.tried.iter().cloned().collect(),
            lived: self.lived.iter().cloned().collect(),
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads what [`Self::to_checkpoint`] wrote and makes the indexes anew. Everything open counts as touched, so that
    /// it is judged once more.
    ///
    /// # Errors
    /// When the bytes are not such a checkpoint.
    pub fn from_checkpoint(bytes: &[u8]) -> Result<State, serde_json::Error> {
        let stored: Stored = serde_json::from_slice(bytes)?;
        let mut state = State { seq: stored.seq, at: stored.at, separation: stored.separation, numbers: stored.numbers, ..State::default() };
        state.environments = stored.environments.into_iter().map(|x| (x.name.clone(), x)).collect();
        state.services = stored.services.into_iter().map(|x| (x.name.clone(), x)).collect();
        state.policies = stored.policies.into_iter().map(|x| (x.name.clone(), x)).collect();
        state.features = stored.features.into_iter().map(|x| (x.key.clone(), x)).collect();
        state.earlier_cohorts = stored.earlier_cohorts.into_iter().map(|x| ((x.name.clone(), x.version), x)).collect();
        state.attributes = stored.attributes.into_iter().map(|x| (x.name.clone(), x)).collect();
        state.cohorts = stored.cohorts.into_iter().map(|x| (x.name.clone(), x)).collect();
        for build in stored.builds {
            state.versions.insert(build.spec.label(), build.digest.clone());
            state.builds_of.insert((build.spec.service.clone(), build.sequence, build.digest.clone()));
            state.builds.insert(build.digest.clone(), build);
        }
        state.configs = stored.configs.into_iter().collect();
        for placement in stored.placements {
            let key = &placement.key;
            state.placed.insert((key.environment.clone(), key.service.clone(), key.target.clone()));
            state.placements.insert(key.clone(), placement);
        }
        for deployment in stored.deployments {
            state.insert_deployment(deployment);
        }
        state.tried = stored.tried.into_iter().collect();
        state.lived = stored.lived.into_iter().collect();
        for (build, check) in stored.checks {
            let key = CheckKey { environment: check.environment.clone(), service: check.service.clone(), build, name: check.name.clone() };
            state.checks.insert(key, check);
        }
        state.holds = stored.holds.into_iter().map(|x| (x.id, x)).collect();
        state.persons = stored.persons.into_iter().map(|x| (x.id, x)).collect();
        stored.tokens.into_iter().for_each(|token| state.insert_token(token));
        state.revisions = stored.revisions.into_iter().collect();
        for rollout in stored.rollouts {
            let kind = rollout.step.kind();
            if kind == StepKind::Waiting {
                state.waiting.insert((rollout.key.environment.clone(), rollout.id));
            }
            if kind.holds() {
                state.active.insert(rollout.id);
            }
            state.rollouts.insert(rollout.id, state.sharing_checks(rollout));
        }
        for release in stored.releases {
            state.index_release(Release::clone(&release), state.seq);
        }
        Ok(state.awake())
    }

    /// The rollout, with results that stand for its build too held once.
    fn sharing_checks(&self, mut rollout: Arc<Rollout>) -> Arc<Rollout> {
        if !rollout.checks.is_empty() {
            let r = Arc::make_mut(&mut rollout);
            for (name, result) in r.checks.iter_mut() {
                let standing = self.check(&r.key.environment, &r.key.service, &r.build, name).filter(|standing| *standing == result);
                if let Some(standing) = standing {
                    *result = Arc::clone(standing);
                }
            }
        }
        rollout
    }

    /// For the fold of a long history: nothing is noted as due until [`Self::awake`].
    #[must_use]
    pub fn asleep(mut self) -> Self {
        self.agenda = Agenda::asleep();
        self
    }

    /// The agenda made anew from what there is: deadlines, and everything open as touched, so that it is judged once more.
    #[must_use]
    pub fn awake(mut self) -> Self {
        self.agenda = Agenda::default();
        let rollouts: Vec<_> = self.rollouts.values().filter(|r| !r.step.kind().ended()).cloned().collect();
        for rollout in rollouts {
            let due = Due::Rollout(rollout.id);
            self.agenda.schedule(&due, rollout.step.dues());
            self.agenda.touch(&due, self.seq);
        }
        let releases: Vec<_> = self.releases.values().cloned().collect();
        for release in releases {
            let due = Due::Release(release.name.clone());
            self.agenda.schedule(&due, crate::judge::releases::deadlines(&release));
            self.agenda.touch(&due, self.seq);
        }
        self.touch_promotions();
        self.index_ages();
        let holds: Vec<_> = self.holds.values().map(|h| (Due::Hold(h.id), h.expires)).collect();
        for (due, expires) in holds {
            self.agenda.schedule(&due, expires);
        }
        self
    }

    fn touch_promotions(&mut self) {
        let pairs: Vec<_> = self.placed.iter().map(|(e, s, _)| (e.clone(), s.clone())).collect();
        for (environment, service) in pairs {
            let below: Vec<Name> = self.downstream(&environment).map(|e| e.name.clone()).collect();
            for environment in below {
                self.agenda.touch(&Due::Promotion { environment, service: service.clone() }, self.seq);
            }
        }
    }

    /// Schedules the look at what is old enough to be archived.
    fn index_ages(&mut self) {
        let builds = self.builds.values().map(|b| b.at);
        let deployments = self.deployments.values().filter_map(|d| d.ended);
        let courses = self.releases.values().flat_map(|r| r.environments.values()).filter_map(|inside| match inside.course {
            Course::Cancelled { since } | Course::Withdrawn { since } => Some(since),
            _ => None,
        });
        let ages: Vec<At> = builds.chain(deployments).chain(courses).collect();
        for at in ages {
            self.agenda.age(at, KEEP);
        }
    }
}
