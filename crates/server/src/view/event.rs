//! Events for people: who did what, to what.

use greenroom_api::views;
use greenroom_domain::event::Event;
use greenroom_domain::hold::Scope;
use greenroom_domain::id::{Digest, Name};
use greenroom_domain::state::Recorded;
use greenroom_domain::time::At;
use serde_json::Value;

use crate::http::Look;

/// An event as it stands in the ledger.
pub fn event(look: &Look<'_>, event: &greenroom_ledger::Event) -> views::Event {
    let body: Value = serde_json::from_slice(&event.body).unwrap_or(Value::Null);
    let decoded = Event::decode(&event.kind, event.version, &event.body).ok();
    views::Event {
        seq: event.seq,
        at: At(event.at),
        kind: event.kind.to_string(),
        version: event.version,
        actor: event.actor.to_string(),
        who: event.actor.parse().map_or_else(|_| event.actor.to_string(), |actor| look.engine.directory.who(look.state, actor)),
        subjects: event.subjects.iter().map(ToString::to_string).collect(),
        summary: decoded.map_or_else(|| event.kind.to_string(), |e| summary(look, &e, "(erased)")),
        body,
        hash: event.hash.to_string(),
    }
}

/// An event that a preview shows.
pub fn planned(look: &Look<'_>, recorded: &Recorded) -> views::Event {
    views::Event {
        seq: recorded.seq,
        at: recorded.at,
        kind: recorded.event.kind().to_owned(),
        version: recorded.event.version(),
        actor: recorded.actor.to_string(),
        who: look.engine.directory.who(look.state, recorded.actor),
        subjects: recorded.event.subjects(),
        summary: summary(look, &recorded.event, "(as given)"),
        body: recorded.event.encode().ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null),
        hash: String::new(),
    }
}

/// One line in plain words.
fn summary(look: &Look<'_>, event: &Event, absent: &str) -> String {
    let text = |sealed: &greenroom_domain::sealed::Sealed| look.engine.directory.text(sealed).unwrap_or_else(|| absent.to_owned());
    match event {
        Event::EnvironmentDefined(e) => format!("defined environment {}", e.name),
        Event::EnvironmentRemoved(e) => format!("removed environment {}", e.name),
        Event::ServiceDefined(e) => format!("defined service {}", e.name),
        Event::ServiceRemoved(e) => format!("removed service {}", e.name),
        Event::PolicyDefined(e) => format!("defined policy {}", e.name),
        Event::PolicyRemoved(e) => format!("removed policy {}", e.name),
        Event::FeatureDefined(e) => format!("defined feature {}", e.key),
        Event::FeatureRemoved(e) => format!("removed feature {}", e.key),
        Event::CohortDefined(e) => format!("defined cohort {}", e.name),
        Event::CohortRemoved(e) => format!("removed cohort {}", e.name),
        Event::AttributeDefined(e) => format!("declared attribute {} as {}", e.name, e.spec.r#type),
        Event::AttributeRemoved(e) => format!("removed attribute {}", e.name),
        Event::BuildRegistered(e) => format!("registered {}", e.build.label()),
        Event::BuildRecalled(e) => format!("recalled {} from the archive", e.build.label()),
        Event::BuildQuarantined(e) => format!("quarantined {}: {}", build(look, &e.service, &e.build), e.why),
        Event::BuildCleared(e) => format!("cleared {}{}", build(look, &e.service, &e.build), e.note.as_ref().map(|n| format!(": {}", text(n))).unwrap_or_default()),
        Event::DeploymentRequested(e) => {
            let builds: Vec<_> = e.items.iter().map(|i| format!("{}@{}", i.service, i.version)).collect();
            format!("asked for {} of {} to {} (#{})", e.motive, builds.join(", "), e.environment, e.number)
        }
        Event::RolloutMoved(e) => {
            let why = e.to.reasons().first().map(|r| format!(": {}", r.message)).unwrap_or_default();
            let version = look.state.builds.get(&e.build).map_or_else(|| e.build.short(), |b| b.spec.version.to_string());
            format!("{} {version} on {}/{} is {}{why}", e.key.service, e.key.environment, e.key.target, e.to.kind().to_string().replace('_', " "))
        }
        Event::RolloutCancelRequested(e) => match look.state.rollouts.get(&e.rollout) {
            Some(r) => format!("asked the rollout of {} on {}/{} to stop", r.key.service, r.key.environment, r.key.target),
            None => "asked a rollout to stop".to_owned(),
        },
        Event::PlacementObserved(e) => {
            let runs: Vec<String> = e.seen.serving.keys().map(|d| look.state.builds.get(d).map_or_else(|| d.short(), |b| b.spec.version.to_string())).collect();
            format!("saw {} on {}/{}: {} ({})", e.key.service, e.key.environment, e.key.target, if runs.is_empty() { "nothing".to_owned() } else { runs.join(", ") }, e.seen.health)
        }
        Event::PlacementAdopted(e) => format!("adopted {}", e.key),
        Event::ContactLost(e) => format!("lost contact with {}", e.key),
        Event::ContactRegained(e) => format!("regained contact with {}", e.key),
        Event::CheckRecorded(e) => format!("check {} of {} in {}: {} ({})", e.result.name, e.result.service, e.result.environment, e.result.outcome, e.result.summary),
        Event::ReleasePlanned(e) => format!("planned release {}", e.name),
        Event::ReleaseScopeChanged(e) => {
            format!("changed {} of release {}; decisions on it are void", if e.changed.is_empty() { "nothing".to_owned() } else { e.changed.join(", ") }, e.name)
        }
        Event::ReleaseArmed(e) => format!("armed release {} for {}", e.name, e.environment),
        Event::ReleaseStageStarted(e) => {
            let stage = look
                .state
                .releases
                .get(&e.name)
                .and_then(|r| r.spec.stages.get((e.stage as usize).checked_sub(1)?))
                .map_or_else(|| "0 (deploying)".to_owned(), |s| s.name.to_string());
            format!("release {} in {} began stage {stage}", e.name, e.environment)
        }
        Event::ReleaseRefused(e) => format!("release {} in {} was refused to {}: {}", e.name, e.environment, e.wanted, e.reasons.first().map_or("", |r| &r.message)),
        Event::ReleaseExposed(e) => format!("release {} is exposed to all it is for in {}", e.name, e.environment),
        Event::ReleasePaused(e) => format!("paused release {} in {}{}", e.name, e.environment, if e.off { ", nobody is served" } else { "" }),
        Event::ReleaseResumed(e) => format!("resumed release {} in {}", e.name, e.environment),
        Event::ReleaseWithdrawing(e) => format!("withdraws release {} from {}", e.name, e.environment),
        Event::WithdrawalPartial(e) => format!("withdrawal of {} is partial: {} of {} evaluators acknowledged", e.name, e.acknowledged, e.in_contact),
        Event::ReleaseWithdrawn(e) => format!("withdrawal of {} is effective: {} of {} evaluators acknowledged", e.name, e.acknowledged, e.in_contact),
        Event::ReleaseClosed(e) => format!("closed release {} in {}: it is the baseline now", e.name, e.environment),
        Event::ReleaseCancelled(e) => format!("cancelled release {} in {}", e.name, e.environment),
        Event::NeedContradicted(e) => format!("{} runs what does not meet `{}`, which release {} needs", e.placement.target, e.need, e.release),
        Event::NeedRestored(e) => format!("what release {} needs of {} is no longer contradicted", e.release, e.service),
        Event::BaselineBlocked(e) => format!("took the baseline of closed release {} off in {}: `{}` is unmet", e.release, e.environment, e.need),
        Event::BaselineRestored(e) => format!("restored the baseline of release {} in {}", e.release, e.environment),
        Event::BaselineSet(e) => match e.baseline.rules.len() {
            0 => format!("set {} to {} in {}", e.feature, e.baseline.default, e.environment),
            n => format!("set {} in {} to {n} rule{}, else {}", e.feature, e.environment, if n == 1 { "" } else { "s" }, e.baseline.default),
        },
        Event::FeatureKilled(e) => format!("killed {} in {}: {}", e.feature, e.environment, text(&e.reason)),
        Event::KillPartial(e) => format!("kill of {} in {} is partial: {} of {} evaluators acknowledged", e.feature, e.environment, e.acknowledged, e.in_contact),
        Event::KillEffective(e) => format!("kill of {} in {} is effective: {} of {} evaluators acknowledged", e.feature, e.environment, e.acknowledged, e.in_contact),
        Event::FeatureRestored(e) => format!("restored {} in {}", e.feature, e.environment),
        Event::DecisionRecorded(e) => {
            let d = &e.decision;
            let about = match &d.about {
                greenroom_domain::decision::About::Deployment(id) => look.state.deployments.get(id).map_or_else(|| id.to_string(), |d| format!("deployment #{}", d.number)),
                greenroom_domain::decision::About::Release(name) => format!("release {name}"),
            };
            let verdict = if d.verdict == greenroom_domain::decision::Verdict::Go { "go" } else { "no-go" };
            format!("decided {verdict} on {about} as {}{}", d.role, if look.state.separation { "" } else { " (separation of duties is off)" })
        }
        Event::HoldSet(e) => format!("set hold #{} on {}: {}", e.hold.number, scope(&e.hold.scope), super::people::why(&look.engine.directory, &e.hold.why)),
        Event::HoldLifted(e) => format!("lifted the hold on {}", e.scope.as_ref().map_or_else(|| e.id.to_string(), scope)),
        Event::PersonJoined(e) => format!("{} joined", text(&e.name)),
        Event::PersonRolesSet(e) => format!(
            "gave {} the roles {}",
            look.engine.directory.name_of(look.state, e.id).unwrap_or_else(|| e.id.to_string()),
            e.roles.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(", ")
        ),
        Event::PersonPasswordSet(e) => format!("set the password of {}", look.engine.directory.name_of(look.state, e.id).unwrap_or_else(|| e.id.to_string())),
        Event::PersonLeft(e) => format!("{} left", look.engine.directory.name_of(look.state, e.id).unwrap_or_else(|| e.id.to_string())),
        Event::TokenCreated(e) => format!("created token {}", e.token.title),
        Event::TokenRevoked(_) => "revoked a token".to_owned(),
        Event::SeparationSet(e) => format!("separation of duties is {}", if e.on { "on" } else { "off" }),
        Event::Erased(e) => format!("erased {} sealed texts", e.sealed.len()),
        Event::Archived(e) => format!("archived {} builds, {} deployments, {} releases", e.builds.len(), e.deployments.len(), e.releases.len()),
    }
}

/// A build by the name that people know it by.
fn build(look: &Look<'_>, service: &Name, build: &Digest) -> String {
    look.state.builds.get(build).map_or_else(|| format!("a build of {service}"), |build| build.spec.label().to_string())
}

fn scope(scope: &Scope) -> String {
    let Scope { environment, service, release, feature } = scope;
    let parts = [
        environment.as_ref().map(|name| format!("environment {name}")),
        service.as_ref().map(|name| format!("service {name}")),
        release.as_ref().map(|name| format!("release {name}")),
        feature.as_ref().map(|key| format!("feature {key}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
}
