//! How views look to people, where several commands show the same.

use std::fmt::Display;

use greenroom_api::views::{Check, Decision, Deployment, Preview, Rollout};
use greenroom_domain::deployment::check::Outcome;
use greenroom_domain::event::Event;
use greenroom_domain::hold::Scope;
use greenroom_domain::refusal::Reason;
use serde::Serialize;

use crate::output::{Cell, Page, Paint, ago, cell, instant};

/// The API's word for a value.
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text.replace('_', " "),
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

pub fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
}

/// `1 feature`, `2 features`.
pub fn many(number: impl Display, what: &str) -> String {
    let number = number.to_string();
    let ending = if number == "1" { "" } else { "s" };
    format!("{number} {what}{ending}")
}

/// Mark and colour of a state, of a deployment, a rollout or a release.
pub fn state(state: &str) -> (&'static str, Paint) {
    match state {
        "live" | "exposed" | "met" | "closed" => ("✔", Paint::Good),
        "failed" | "rolled_back" | "unmet" => ("✖", Paint::Bad),
        "unknown" => ("?", Paint::Bad),
        "waiting" | "paused" | "stale" => ("⏳", Paint::Warn),
        "applying" | "observing" | "verifying" | "exposing" | "withdrawing" | "armed" => ("◐", Paint::Accent),
        _ => ("·", Paint::Dim),
    }
}

pub fn state_cell(text: &str) -> Cell {
    let (mark, paint) = state(text);
    cell(format!("{mark} {}", text.replace('_', " "))).paint(paint)
}

pub fn outcome(outcome: Outcome) -> Cell {
    let (mark, paint) = match outcome {
        Outcome::Pass => ("✔", Paint::Good),
        Outcome::Fail => ("✖", Paint::Bad),
        Outcome::Inconclusive => ("~", Paint::Warn),
        Outcome::Error => ("!", Paint::Warn),
    };
    cell(format!("{mark} {outcome}")).paint(paint)
}

pub fn scope(scope: &Scope) -> String {
    let parts = [
        scope.environment.as_ref().map(|n| format!("environment {n}")),
        scope.service.as_ref().map(|n| format!("service {n}")),
        scope.release.as_ref().map(|n| format!("release {n}")),
        scope.feature.as_ref().map(|n| format!("feature {n}")),
    ];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if text.is_empty() { "everything".to_owned() } else { text }
}

/// Reasons of a deployment, their advice with its number.
pub fn about(reasons: &[Reason], number: u64) -> Vec<Reason> {
    let named = |r: &Reason| Reason { remedy: r.remedy.replace("greenroom decide …", &format!("greenroom decide deployment {number}")), ..r.clone() };
    reasons.iter().map(named).collect()
}

/// What the deployments of a preview would wait for, each reason once.
pub fn waits(preview: &Preview) -> Vec<Reason> {
    let mut waits = Vec::new();
    for event in &preview.would {
        // what a newer server would write beside it does not change what is said here
        let Ok(Event::DeploymentRequested(asked)) = Event::decode(&event.kind, event.version, event.body.to_string().as_bytes()) else { continue };
        for reason in asked.rollouts.into_iter().flat_map(|r| r.reasons) {
            if !waits.contains(&reason) {
                waits.push(reason);
            }
        }
    }
    waits
}

/// One deployment with all its rollouts.
pub fn deployment(page: &mut Page, deployment: &Deployment) {
    let (mark, paint) = state(&deployment.state);
    page.pieces(&[(Paint::Strong, &format!("Deployment #{}", deployment.number)), (Paint::Plain, "  "), (paint, &format!("{mark} {}", deployment.state.replace('_', " ")))]);
    let urgency = if deployment.urgency == "normal" { String::new() } else { format!(" ({})", deployment.urgency) };
    page.fields(&[
        ("builds", list(&deployment.builds)),
        ("to", deployment.environment.to_string()),
        ("motive", format!("{}{urgency}", deployment.motive)),
        ("by", format!("{}, {} ({})", deployment.by, instant(deployment.at), ago(deployment.at))),
        ("ended", deployment.ended.map(|at| format!("{} ({})", instant(at), ago(at))).unwrap_or_default()),
        ("why", deployment.note.clone().unwrap_or_default()),
        ("after", if deployment.awaits.is_empty() { String::new() } else { format!("withdrawal of {}", list(&deployment.awaits)) }),
        ("id", deployment.id.to_string()),
    ]);
    if !deployment.rollouts.is_empty() {
        page.blank();
        let rows = deployment.rollouts.iter().map(|r| {
            let cancelling = if r.cancelling { " (being cancelled)" } else { "" };
            vec![cell(&r.service), cell(&r.version), cell(&r.target), state_cell(&format!("{}{cancelling}", r.state)).paint(state(&r.state).1), cell(ago(r.since))]
        });
        page.table(&["SERVICE", "VERSION", "TARGET", "STATE", "SINCE"], rows.collect(), "");
    }
    for rollout in deployment.rollouts.iter().filter(|r| !r.reasons.is_empty() || r.state == "unknown") {
        page.blank();
        page.line(Paint::Plain, format!("{} on {} is {}:", rollout.service, rollout.target, rollout.state.replace('_', " ")));
        page.reasons(2, &about(&rollout.reasons, deployment.number));
        if rollout.state == "unknown" {
            page.pieces(&[(Paint::Accent, "    → "), (Paint::Plain, &format!("if nobody will ever know: greenroom rollout abandon {}", rollout.id))]);
        }
    }
    let all: Vec<&Check> = deployment.rollouts.iter().flat_map(|r| &r.checks).collect();
    if !all.is_empty() {
        page.blank();
        checks(page, &all);
    }
    if !deployment.decisions.is_empty() {
        page.blank();
        decisions(page, &deployment.decisions);
    }
}

pub fn checks(page: &mut Page, checks: &[&Check]) {
    let rows = checks.iter().map(|c| {
        vec![
            cell(&c.service),
            cell(&c.name),
            cell(word(&c.kind)),
            cell(&c.environment),
            outcome(c.outcome),
            cell(&c.summary),
            cell(list(&c.requirements)),
            cell(ago(c.at)),
            cell(c.evidence.len().to_string()),
        ]
    });
    page.table(&["SERVICE", "CHECK", "KIND", "ENVIRONMENT", "OUTCOME", "SUMMARY", "CONFIRMS", "WHEN", "EVIDENCE"], rows.collect(), "no checks");
}

pub fn decisions(page: &mut Page, decisions: &[Decision]) {
    let rows = decisions.iter().map(|d| {
        let (mark, paint) = if d.verdict == "go" { ("✔ go", Paint::Good) } else { ("✖ no-go", Paint::Bad) };
        let counts = match &d.uncounted {
            _ if !d.valid => "void: the scope changed since, or it expired".to_owned(),
            Some(why) => format!("no: {why}"),
            None => format!("until {}", instant(d.expires)),
        };
        let alone = if d.separation { "" } else { " (separation of duties off)" };
        vec![
            cell(mark).paint(if d.valid && d.uncounted.is_none() { paint } else { Paint::Dim }),
            cell(d.role),
            cell(&d.by),
            cell(instant(d.at)),
            cell(format!("{counts}{alone}")),
            cell(d.note.as_deref().unwrap_or_default()),
        ]
    });
    page.table(&["DECISION", "AS", "BY", "AT", "COUNTS", "NOTE"], rows.collect(), "nobody has decided");
}

/// A rollout in one line, for progress.
pub fn rollout_line(rollout: &Rollout) -> String {
    let why = rollout.reasons.first().map(|r| format!(": {}", r.message)).unwrap_or_default();
    format!("{} {} on {} is {}{why}", rollout.service, rollout.version, rollout.target, rollout.state.replace('_', " "))
}
