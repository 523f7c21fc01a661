//! What was archived and is asked for again.
//!
//! A decision that names something the state does not hold asks for it by subject. The engine folds that subject's
//! events into an overlay and decides again; what of the overlay the decision uses comes back by an event of its own,
//! so that the state stays a fold of the ledger. The overlay itself is never part of what is kept.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::deployment::deployment::Deployment;
use crate::event::BuildRecalled;
use crate::id::{BuildLabel, DeploymentId, Digest, Name};
use crate::release::release::Release;
use crate::state::State;

/// Answers to earlier wishes of one decision. A subject without an answer does not exist.
#[derive(Debug, Clone, Default)]
pub struct Recalled {
    pub subjects: OrdSet<String>,
    pub(crate) versions: OrdMap<BuildLabel, Digest>,
    pub(crate) builds: OrdMap<Digest, Arc<BuildRecalled>>,
    pub(crate) deployments: OrdMap<DeploymentId, Arc<Deployment>>,
    pub(crate) releases: OrdMap<Name, Arc<Release>>,
}

impl State {
    /// This state, knowing what `overlay` holds about `subjects`: a fresh state that took every event of theirs but
    /// `archived` ones.
    #[must_use]
    pub fn with_recalled(&self, subjects: &[String], overlay: &State) -> State {
        let mut state = self.clone();
        let recalled = &mut state.recalled;
        for subject in subjects {
            recalled.subjects.insert(subject.clone());
            match subject.split_once('/') {
                Some(("version", label)) => {
                    recalled.versions.extend(overlay.versions.iter().filter(|(l, _)| format!("{}/{}", l.service, l.version) == label).map(|(l, d)| (l.clone(), d.clone())));
                }
                Some(("build", digest)) => {
                    let build = digest.parse().ok().and_then(|digest: Digest| overlay.builds.get(&digest));
                    recalled.builds.extend(build.map(|b| (b.digest.clone(), Arc::new(overlay.everything_about(b)))));
                }
                Some(("deployment", id)) => recalled.deployments.extend(id.parse().ok().and_then(|id| Some((id, overlay.deployments.get(&id)?.clone())))),
                Some(("release", name)) => recalled.releases.extend(overlay.releases.get(name).map(|r| (r.name.clone(), Arc::clone(r)))),
                _ => {}
            }
        }
        state
    }

    /// Whatever a decision may read about `build`.
    fn everything_about(&self, build: &crate::deployment::build::Build) -> BuildRecalled {
        let places = |set: &OrdSet<(Name, Digest)>| set.iter().filter(|(_, d)| *d == build.digest).map(|(e, _)| e.clone()).collect();
        let mut checks: Vec<_> = self.checks.iter().filter(|(key, _)| key.build == build.digest).map(|(_, result)| result.as_ref().clone()).collect();
        checks.sort_by(|a, b| (&a.environment, &a.name).cmp(&(&b.environment, &b.name)));
        BuildRecalled {
            build: build.spec.clone(),
            digest: build.digest.clone(),
            sequence: build.sequence,
            registered: build.at,
            quarantined: build.quarantined.clone(),
            lived: places(&self.lived),
            tried: places(&self.tried),
            checks,
        }
    }
}
