//! Builds, deployments and checks.

use greenroom_api::views;
use greenroom_domain::deployment::build::Build;
use greenroom_domain::deployment::check::CheckResult;
use greenroom_domain::deployment::deployment::{Deployment, Urgency, worst};
use greenroom_domain::deployment::rollout::Rollout;
use greenroom_domain::id::BuildLabel;

use super::people;
use crate::http::Look;

pub fn build(build: &Build) -> views::Build {
    views::Build { digest: build.digest.clone(), sequence: build.sequence, registered: build.at, quarantined: build.quarantined.clone(), spec: build.spec.clone() }
}

pub fn check(result: &CheckResult) -> views::Check {
    views::Check {
        id: result.id,
        environment: result.environment.clone(),
        service: result.service.clone(),
        name: result.name.clone(),
        kind: result.kind,
        outcome: result.outcome,
        summary: result.summary.clone(),
        at: result.at,
        set: result.set.clone(),
        requirements: result.requirements.clone(),
        evidence: result.evidence.clone(),
    }
}

fn rollout(look: &Look<'_>, deployment: &Deployment, rollout: &Rollout) -> views::Rollout {
    let item = deployment.items.iter().find(|i| i.service == rollout.key.service);
    // in the order in which they run
    let checks = look.state.services.get(&rollout.key.service).map(|s| s.spec.checks.iter().filter_map(|c| rollout.checks.get(&c.name)).map(|r| check(r)).collect());
    views::Rollout {
        id: rollout.id,
        target: rollout.key.target.clone(),
        service: rollout.key.service.clone(),
        version: item.map_or_else(|| unknown_version(rollout), |i| i.version.clone()),
        wave: rollout.wave,
        state: rollout.step.kind().to_string(),
        since: rollout.moved_at,
        deadline: rollout.step.due().filter(|_| rollout.step.kind().holds()),
        reasons: people::in_words(&look.engine.directory, look.state, rollout.step.reasons().to_vec()),
        checks: checks.unwrap_or_default(),
        cancelling: rollout.cancelling,
    }
}

#[expect(clippy::expect_used, reason = "hex digits are a version")]
fn unknown_version(rollout: &Rollout) -> greenroom_domain::id::Version {
    greenroom_domain::id::Version::new(rollout.build.short().trim_start_matches("sha256:")).expect("hex digits are a version")
}

pub fn deployment(look: &Look<'_>, deployment: &Deployment) -> views::Deployment {
    let rollouts: Vec<_> = deployment.rollouts.iter().filter_map(|id| look.state.rollouts.get(id)).collect();
    views::Deployment {
        id: deployment.id,
        number: deployment.number,
        environment: deployment.environment.clone(),
        builds: deployment.items.iter().map(|i| BuildLabel { service: i.service.clone(), version: i.version.clone() }).collect(),
        motive: deployment.motive,
        urgency: match deployment.urgency {
            Urgency::Normal => "normal".to_owned(),
            Urgency::Automatic => "automatic".to_owned(),
            Urgency::Emergency => "emergency".to_owned(),
        },
        state: worst(rollouts.iter().map(|r| r.step.kind())).to_string(),
        by: look.engine.directory.who(look.state, deployment.by),
        at: deployment.at,
        ended: deployment.ended,
        note: deployment.note.as_ref().and_then(|n| look.engine.directory.text(n)),
        awaits: deployment.awaits.iter().map(|a| a.release.clone()).collect(),
        rollouts: rollouts.iter().map(|r| rollout(look, deployment, r)).collect(),
        decisions: deployment.decisions.iter().map(|d| people::decision(look, d, &deployment.scope, &[deployment.by])).collect(),
    }
}
