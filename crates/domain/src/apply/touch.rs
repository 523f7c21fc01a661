//! What a change of facts makes worth judging again.

use crate::agenda::Due;
use crate::id::{FeatureKey, Name, RolloutId};
use crate::release::release::Release;
use crate::state::State;

impl State {
    /// What runs of `service` in `environment` changed: everything that waits there or right behind it.
    pub(super) fn touch_around(&mut self, environment: &Name, service: &Name, seq: u64) {
        if self.agenda.is_asleep() {
            return;
        }
        let mut places: Vec<Name> = self.downstream(environment).map(|e| e.name.clone()).collect();
        places.push(environment.clone());
        for place in &places {
            self.agenda.touch(&Due::Promotion { environment: place.clone(), service: service.clone() }, seq);
            self.touch_waiting(Some(place), seq);
        }
        self.touch_service(service, seq);
    }

    /// Releases that need `service`.
    pub(super) fn touch_service(&mut self, service: &Name, seq: u64) {
        if self.agenda.is_asleep() {
            return;
        }
        let releases: Vec<Name> = self.releases_needing(service).cloned().collect();
        for release in releases {
            self.agenda.touch(&Due::Release(release), seq);
        }
    }

    /// Releases that contain the feature.
    pub(super) fn touch_feature(&mut self, key: &FeatureKey, seq: u64) {
        self.touch_releases(seq, |release| release.spec.features.iter().any(|f| f.key == *key));
    }

    pub(super) fn touch_releases(&mut self, seq: u64, which: impl Fn(&Release) -> bool) {
        if self.agenda.is_asleep() {
            return;
        }
        for release in self.releases.values().filter(|release| which(release)) {
            self.agenda.touch(&Due::Release(release.name.clone()), seq);
        }
    }

    /// Releases that have a feature in common with `name`, which may have stood in their way.
    pub(super) fn touch_sharing(&mut self, name: &Name, seq: u64) {
        for key in self.release_features(name) {
            self.touch_feature(&key, seq);
        }
    }

    pub(super) fn touch_environment(&mut self, environment: &Name, seq: u64) {
        if self.agenda.is_asleep() {
            return;
        }
        self.touch_waiting(Some(environment), seq);
        let services: Vec<Name> = self.services.keys().cloned().collect();
        for service in services {
            self.agenda.touch(&Due::Promotion { environment: environment.clone(), service }, seq);
        }
    }

    /// Whatever waits to enter `environment`, or any: rollouts, and releases that bring unflagged builds.
    pub(super) fn touch_waiting(&mut self, environment: Option<&Name>, seq: u64) {
        if self.agenda.is_asleep() {
            return;
        }
        let touched: Vec<RolloutId> = match environment {
            Some(environment) => self.waiting_in(environment).copied().collect(),
            None => self.waiting.iter().map(|(_, id)| *id).collect(),
        };
        for rollout in touched {
            self.agenda.touch(&Due::Rollout(rollout), seq);
        }
        let unflagged: Vec<Name> = self.unflagged.iter().cloned().collect();
        for release in unflagged {
            self.agenda.touch(&Due::Release(release), seq);
        }
    }

    pub(super) fn touch_all(&mut self, seq: u64) {
        if self.agenda.is_asleep() {
            return;
        }
        self.touch_waiting(None, seq);
        self.touch_releases(seq, |_| true);
        let pairs: Vec<(Name, Name)> = self.placed.iter().map(|(e, s, _)| (e.clone(), s.clone())).collect();
        for (environment, service) in pairs {
            self.agenda.touch(&Due::Promotion { environment, service }, seq);
        }
    }
}
