//! Entry: may this build come to this target now? Every rule is asked, and every reason is said.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::actor::Actor;
use crate::decision::{self, Decision};
use crate::deployment::build::{Build, SchemaRange};
use crate::deployment::check::{CheckKind, Outcome, checks_pass};
use crate::deployment::deployment::{Item, Urgency};
use crate::deployment::environment::Environment;
use crate::deployment::placement::Placement;
use crate::deployment::policy::{Eligibility, Promotion, RollbackRule, Rule, WithdrawalRule};
use crate::hold::Plane;
use crate::id::{Digest, Name, PlacementKey, Requirement, RolloutId};
use crate::refusal::{Reason, ReasonCode};
use crate::state::State;
use crate::time::At;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub environment: &'a Environment,
    pub target: &'a Name,
    pub build: &'a Build,
    /// Absent while the request itself is judged.
    pub rollout: Option<RolloutId>,
    pub urgency: Urgency,
    /// By Greenroom itself rather than a person.
    pub automatic: bool,
    pub by: Actor,
    pub scope: &'a Digest,
    pub decisions: &'a [Decision],
    /// What else the same deployment brings.
    pub items: &'a [Item],
    /// What was good here last, or before that: eligibility and soak were settled then.
    pub back: bool,
}

/// The answer. Reasons to deny come before reasons to wait.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Entry {
    pub deny: Vec<Reason>,
    pub wait: Vec<Reason>,
}

impl Entry {
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.deny.is_empty() && self.wait.is_empty()
    }
}

/// Rules of all policies of `environment`.
pub fn rules<'a>(state: &'a State, environment: &'a Environment) -> impl Iterator<Item = &'a Rule> {
    environment.spec.policies.iter().filter_map(|name| state.policies.get(name)).flat_map(|p| p.spec.rules.iter())
}

/// Whether builds come to `environment` by themselves.
#[must_use]
pub fn promotes_itself(state: &State, environment: &Environment) -> bool {
    rules(state, environment).any(|r| *r == Rule::Promotion(Promotion::Automatic))
}

/// Whether a failed check takes a build back by itself; unless a policy says `manual`, it does.
#[must_use]
pub fn rolls_back_itself(state: &State, environment: &Environment) -> bool {
    !rules(state, environment).any(|r| *r == Rule::Rollback(RollbackRule::Manual))
}

/// When a withdrawal from `environment` is effective.
#[must_use]
pub fn withdrawal_rule(state: &State, environment: &Name) -> WithdrawalRule {
    let rules = state.environments.get(environment).into_iter().flat_map(|env| rules(state, env));
    let all = rules.filter_map(|rule| if let Rule::Withdrawal(rule) = rule { Some(*rule) } else { None });
    all.reduce(|a, b| WithdrawalRule { acknowledged: a.acknowledged.max(b.acknowledged), deadline: a.deadline.max(b.deadline) }).unwrap_or_default()
}

/// Judges everything but the link.
pub fn judge(state: &State, ask: &Ask<'_>, now: At) -> Entry {
    let mut entry = Entry::default();
    busy(state, ask, &mut entry);
    if ask.urgency != Urgency::Normal {
        return entry;
    }
    holds(state, ask, now, &mut entry);
    if let Some(why) = &ask.build.quarantined {
        entry.deny.push(
            Reason::new(ReasonCode::Quarantined, format!("build/{}", ask.build.spec.label()), format!("`{}` is quarantined: {why}", ask.build.spec.label()))
                .remedy(format!("register and deploy a fixed build; or, if it was not the build's fault: greenroom build clear {}", ask.build.spec.label())),
        );
    }
    requires(state, ask, &mut entry);
    required(state, ask, &mut entry);
    schema(state, ask, &mut entry);
    if !ask.back {
        upstream(state, ask, now, &mut entry);
    }
    // all together: nobody signs for two roles, whatever policies they stand in
    let signed: Vec<_> = rules(state, ask.environment).filter_map(|r| if let Rule::Decision(rule) = r { Some(rule.clone()) } else { None }).collect();
    let missing = decision::missing(&signed, ask.decisions, ask.scope, &[ask.by], state.separation, now);
    // the request itself is judged before it has its number
    let known = ask.rollout.and_then(|id| state.rollouts.get(&id)).and_then(|r| state.deployments.get(&r.deployment)).map(|d| d.number);
    let command = format!("greenroom decide deployment {}", known.unwrap_or(state.numbers.deployments + 1));
    entry.wait.extend(missing.iter().map(|m| decision_reason(m, format!("environment/{}", ask.environment.name), &command)));
    if ask.build.spec.commit.is_none() && rules(state, ask.environment).any(|r| matches!(r, Rule::Provenance(_))) {
        entry.deny.push(
            Reason::new(ReasonCode::Provenance, format!("build/{}", ask.build.spec.label()), "the build does not name the commit it was made from")
                .remedy("register builds with --commit"),
        );
    }
    entry
}

/// What one missing decision is called; `command` is how to decide on it, up to the verdict.
#[must_use]
pub fn decision_reason(m: &decision::Missing, subject: String, command: &str) -> Reason {
    if m.no_go {
        return Reason::new(ReasonCode::DecisionNoGo, subject, format!("{} said no-go", m.role)).remedy(format!("settle it, then: {command} go --as {}", m.role));
    }
    let left = m.wanted.saturating_sub(m.have);
    let text = if m.by_author { "; its only author does not count" } else { "" };
    let code = if m.by_author { ReasonCode::Separation } else { ReasonCode::DecisionMissing };
    Reason::new(code, subject, format!("{left} more go by {} is missing{text}", m.role)).remedy(format!(
        "{}{command} go --as {}",
        if m.by_author { "another person: " } else { "" },
        m.role
    ))
}

fn busy(state: &State, ask: &Ask<'_>, entry: &mut Entry) {
    let key = PlacementKey { environment: ask.environment.name.clone(), target: ask.target.clone(), service: ask.build.spec.service.clone() };
    let Some(active) = state.placements.get(&key).and_then(|p| p.active) else { return };
    if ask.rollout == Some(active) {
        return;
    }
    let unknown = state.rollouts.get(&active).is_some_and(|r| r.step.kind() == crate::deployment::rollout::StepKind::Unknown);
    if unknown && ask.urgency == Urgency::Emergency {
        return;
    }
    let number = state.rollouts.get(&active).and_then(|r| state.deployments.get(&r.deployment)).map_or(0, |d| d.number);
    entry.wait.push(
        Reason::new(ReasonCode::Busy, format!("placement/{key}"), format!("deployment #{number} is under way on `{}`", ask.target)).remedy("it goes on when that one is over"),
    );
}

fn holds(state: &State, ask: &Ask<'_>, now: At, entry: &mut Entry) {
    for hold in state.holds.values() {
        if hold.stands(now) && hold.plane.covers(Plane::Deploy) && hold.stops.stops(ask.automatic) && hold.scope.covers_deployment(&ask.environment.name, &ask.build.spec.service) {
            entry.wait.push(hold.reason());
        }
    }
}

fn requires(state: &State, ask: &Ask<'_>, entry: &mut Entry) {
    for need in &ask.build.spec.requires {
        if !everywhere(state, ask.environment, need) {
            entry.wait.push(
                Reason::new(ReasonCode::Requires, format!("service/{}", need.service), format!("requires `{need}` in `{}`, which is not observed there", ask.environment.name))
                    .remedy(format!("greenroom deploy {}@{} --to {}", need.service, need.floor, ask.environment.name)),
            );
        }
    }
}

/// Whether all that serves on every target of the environment meets `need`.
fn everywhere(state: &State, environment: &Environment, need: &Requirement) -> bool {
    let Some(service) = state.services.get(&need.service) else { return false };
    let mut placements = state.placements_of(&environment.name, &need.service).peekable();
    let meets = |p: &Arc<Placement>| {
        let serving = p.observed.as_ref().map(|o| &o.serving).filter(|serving| !serving.is_empty());
        serving.is_some_and(|serving| serving.keys().all(|d| state.builds.get(d).is_some_and(|b| state.meets(b, need))))
    };
    placements.peek().is_some() && placements.all(meets) && state.unplaced(environment, service).is_none()
}

/// What serves here may require more of this service than the build is: it has to go first, in the same deployment or
/// before. What it requires and has not got today is not made worse.
fn required(state: &State, ask: &Ask<'_>, entry: &mut Entry) {
    let (environment, service) = (&ask.environment.name, &ask.build.spec.service);
    let of = |p: &Arc<Placement>| p.observed.iter().flat_map(|o| o.serving.keys()).filter_map(|d| state.builds.get(d)).map(Arc::clone).collect::<Vec<_>>();
    let mut said = BTreeSet::new();
    for theirs in state.placements_in(environment).filter(|p| p.key.service != *service).flat_map(of) {
        for need in theirs.spec.requires.iter().filter(|need| need.service == *service && !state.meets(ask.build, need)) {
            let met = || state.placements_of(environment, service).flat_map(of).any(|build| state.meets(&build, need));
            if !said.insert((theirs.digest.clone(), need.clone())) || !met() {
                continue;
            }
            let label = theirs.spec.label();
            let reason = Reason::new(ReasonCode::Requires, format!("service/{}", label.service), format!("`{label}` serves in `{environment}` and requires `{need}`"))
                .remedy(format!("first another build of it: greenroom rollback {} --env {environment}", label.service));
            let replaced = ask.items.iter().any(|item| item.service == label.service && item.build != theirs.digest);
            if replaced { entry.wait.push(reason) } else { entry.deny.push(reason) }
        }
    }
}

/// Another build here must be able to work with the schema levels that this one needs, and the other way round.
fn schema(state: &State, ask: &Ask<'_>, entry: &mut Entry) {
    for placement in state.placements_in(&ask.environment.name) {
        if placement.key.service == ask.build.spec.service {
            continue;
        }
        for theirs in placement.observed.iter().flat_map(|o| o.serving.keys()).filter_map(|d| state.builds.get(d)) {
            let Some((name, range, other)) = apart(ask.build, theirs) else { continue };
            let reason = Reason::new(
                ReasonCode::Schema,
                format!("service/{}", theirs.spec.service),
                format!("schema `{name}`: needs {}–{}, but `{}` works with {}–{}", range.min, range.max, theirs.spec.label(), other.min, other.max),
            );
            entry.deny.push(reason.remedy("deploy a build of it that works with both first"));
        }
    }
}

/// The first schema of which no level suits both builds.
#[must_use]
pub fn apart<'a>(one: &'a Build, other: &'a Build) -> Option<(&'a Name, &'a SchemaRange, &'a SchemaRange)> {
    one.spec.schema.iter().find_map(|(name, ours)| {
        let theirs = other.spec.schema.get(name)?;
        (theirs.max < ours.min || theirs.min > ours.max).then_some((name, ours, theirs))
    })
}

/// Eligibility, evidence, soak and data refresh: what the environments before say.
fn upstream(state: &State, ask: &Ask<'_>, now: At, entry: &mut Entry) {
    let lifted = rules(state, ask.environment).any(|r| *r == Rule::Eligibility(Eligibility::None));
    if lifted {
        return;
    }
    let label = ask.build.spec.label();
    for name in &ask.environment.spec.after {
        let Some(before) = state.environments.get(name) else { continue };
        let service = &ask.build.spec.service;
        let mut since: Option<At> = Some(At(0));
        let mut any = false;
        for placement in state.placements_of(name, service) {
            any = true;
            let here = placement.stable.as_ref().is_some_and(|p| p.build == ask.build.digest) && placement.active.is_none();
            let runs = placement.observed.as_ref().and_then(|o| o.build()) == Some(&ask.build.digest);
            since = match (here && runs, placement.verified_at, since) {
                // without interruption: since it was verified and since it has been serving
                (true, Some(at), Some(so_far)) => Some(so_far.max(at).max(placement.observed_since)),
                _ => None,
            };
        }
        let since = since.filter(|_| any);
        // a build that was verified here before stays eligible: evidence is append-only
        let verified_before = || state.lived.contains(&(name.clone(), ask.build.digest.clone())) && checks_pass(state, name, service, &ask.build.digest);
        if since.is_none() && !verified_before() {
            entry.deny.push(
                Reason::new(ReasonCode::NotEligible, format!("environment/{name}"), format!("`{label}` is not verified in `{name}`"))
                    .remedy(format!("greenroom deploy {label} --to {name}")),
            );
            continue;
        }
        evidence(state, ask, before, entry);
        for rule in rules(state, ask.environment) {
            match rule {
                Rule::Soak(span) => {
                    // how long it soaked is not known once something else runs there
                    let Some(since) = since else {
                        entry.deny.push(
                            Reason::new(ReasonCode::Soak, format!("environment/{name}"), format!("`{label}` must soak in `{name}` for {span}, and does not run there any more"))
                                .remedy(format!("greenroom deploy {label} --to {name}")),
                        );
                        continue;
                    };
                    let until = since + *span;
                    if until > now {
                        entry.wait.push(Reason::new(ReasonCode::Soak, format!("environment/{name}"), format!("`{label}` soaks in `{name}` for {span}")).until(until));
                    }
                }
                Rule::DataRefresh(limit) => {
                    let latest = state.checks.values().filter(|c| c.environment == *name && c.kind == CheckKind::DataRefresh && c.outcome == Outcome::Pass).map(|c| c.at).max();
                    if latest.is_none_or(|at| now.since(at) > *limit) {
                        entry.wait.push(
                            Reason::new(ReasonCode::DataRefresh, format!("environment/{name}"), format!("data in `{name}` was not refreshed in the last {limit}"))
                                .remedy("run its data_refresh check"),
                        );
                    }
                }
                Rule::Promotion(_) | Rule::Eligibility(_) | Rule::Decision(_) | Rule::Evidence(_) | Rule::Rollback(_) | Rule::Provenance(_) | Rule::Withdrawal(_) => {}
            }
        }
    }
}

fn evidence(state: &State, ask: &Ask<'_>, before: &Environment, entry: &mut Entry) {
    let named = rules(state, ask.environment).find_map(|r| if let Rule::Evidence(kinds) = r { Some(kinds.as_slice()) } else { None });
    let strict = named.is_some();
    let kinds = named.unwrap_or_else(|| before.spec.purpose.exit_evidence());
    let Some(service) = state.services.get(&ask.build.spec.service) else { return };
    for kind in kinds {
        let mut specs = service.spec.checks.iter().filter(|c| c.kind == *kind && c.purposes.contains(&before.spec.purpose)).peekable();
        // a purpose without a check of its kind is a warning, unless a policy names the kind
        if specs.peek().is_none() && !strict {
            continue;
        }
        let mut any = false;
        let passed = specs.all(|c| {
            any = true;
            state.check(&before.name, &service.name, &ask.build.digest, &c.name).is_some_and(|r| r.outcome == Outcome::Pass)
        });
        if !any || !passed {
            entry.deny.push(
                Reason::new(
                    ReasonCode::Evidence,
                    format!("environment/{}", before.name),
                    format!("no {kind} check of `{}` has passed in `{}`", ask.build.spec.label(), before.name),
                )
                .remedy(format!("add or fix its {kind} checks, then redeploy it to `{}`", before.name)),
            );
        }
    }
}
