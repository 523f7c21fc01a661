//! Builds and deployments, as people ask for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Stop, Work};
use crate::deployment::build::{Build, BuildSpec};
use crate::deployment::deployment::{AwaitedWithdrawal, Config, Item, Motive, Recipe, Urgency};
use crate::deployment::environment::Environment;
use crate::deployment::placement::Pair;
use crate::deployment::rollout::{Rollout, Step, StepKind};
use crate::event::{BuildCleared, BuildRegistered, DeploymentRequested, PlannedRollout, RolloutCancelRequested};
use crate::id::{BuildLabel, DeploymentId, Digest, Name, PlacementKey, RolloutId, digest_of};
use crate::judge;
use crate::link::{self, Through};
use crate::refusal::{Reason, ReasonCode, Refusal, RefusalKind};
use crate::sealed::Sealed;
use crate::time::Span;

/// After this long a waiting rollout is looked at again, whatever it waits for.
const REVIEW: Span = Span::secs(24 * 3600);
/// What was forgotten at registration cannot be added, and the same content under another version is no other build.
const NEW_ARTIFACT: &str = "a build never changes, and is known by its content: build the artifact anew so that its digest differs, and register that under a new version";

pub(super) fn register(work: &mut Work<'_>, build: &BuildSpec) -> Result<(), Stop> {
    let label = build.label();
    let Some(service) = work.state.services.get(&build.service).cloned() else { return Err(Refusal::not_found("service", &build.service).into()) };
    let digest = build.digest();
    let meaning = |b: &BuildSpec| (b.line.clone(), b.contains.clone(), b.requires.clone(), b.reads.clone(), b.schema.clone());
    let before = work.mark();
    if let Some(known) = work.build(&label)? {
        // nothing is registered: what came out of the archive to compare with stays there
        work.back_to(before);
        let other_commit = matches!((&known.spec.commit, &build.commit), (Some(known), Some(given)) if known != given);
        if known.digest == digest && meaning(&known.spec) == meaning(build) && !other_commit {
            return Ok(());
        }
        let same = known.digest == digest;
        let what = if same && other_commit {
            format!("another commit ({})", known.spec.commit.as_deref().unwrap_or_default())
        } else if same {
            "other line, requirements, features or schema".to_owned()
        } else {
            format!("other content ({}, this is {digest})", known.digest)
        };
        return Err(Refusal::conflict(
            ReasonCode::DigestDiffers,
            format!("build/{label}"),
            format!("`{label}` is registered with {what}"),
            if same { NEW_ARTIFACT } else { "a build never changes: register the new content under a new version" },
        )
        .into());
    }
    if let Some(same) = work.build_of(&digest)? {
        return Err(Refusal::conflict(
            ReasonCode::AlreadyExists,
            format!("build/{label}"),
            format!("the very same content is registered as `{}`", same.spec.label()),
            if meaning(&same.spec) == meaning(build) { format!("use `{}`: what a build is, is its content", same.spec.label()) } else { NEW_ARTIFACT.to_owned() },
        )
        .into());
    }
    let mut reasons = Vec::new();
    let subject = format!("build/{label}");
    let mut bad = |code, message: String, remedy: &str, path: String| reasons.push(Reason::new(code, &subject, message).remedy(remedy).path(path));
    for component in &service.spec.components {
        if build.artifacts.get(component).is_none_or(|a| a.digests.is_empty()) {
            bad(ReasonCode::Invalid, format!("component `{component}` has no artifact"), "add --artifact COMPONENT=PATH", format!("artifacts.{component}"));
        }
    }
    for component in build.artifacts.keys().filter(|c| !service.spec.components.contains(c)) {
        bad(ReasonCode::UnknownReference, format!("`{}` has no component `{component}`", build.service), "name one of its components", format!("artifacts.{component}"));
    }
    for (i, need) in build.requires.iter().enumerate() {
        let at = format!("requires[{i}]");
        if !work.state.services.contains_key(&need.service) {
            bad(ReasonCode::UnknownReference, format!("requires `{need}`, but there is no service `{}`", need.service), "correct the name, or define the service first", at);
        } else if need.service == build.service {
            bad(ReasonCode::Invalid, format!("requires `{need}`, which is itself"), "require other services only", at);
        }
    }
    for (key, reads) in build.reads.iter() {
        match work.state.features.get(key) {
            None => bad(ReasonCode::UnknownReference, format!("reads `{key}`, but there is no such feature"), "define the feature first", format!("reads.{key}")),
            Some(f) if f.spec.r#type != *reads => {
                bad(ReasonCode::Invalid, format!("reads `{key}` as {reads}, but it is {}", f.spec.r#type), "read it by its type", format!("reads.{key}"));
            }
            Some(_) => {}
        }
    }
    for (name, range) in build.schema.iter() {
        if range.min > range.max {
            bad(ReasonCode::Invalid, format!("schema `{name}`: min {} is over max {}", range.min, range.max), "swap them", format!("schema.{name}"));
        }
    }
    if service.spec.versioning == crate::deployment::service::Versioning::Semver && semver::Version::parse(build.version.as_str()).is_err() {
        bad(
            ReasonCode::Invalid,
            format!("`{}` is not a semantic version, and the service orders its builds by them", build.version),
            "use MAJOR.MINOR.PATCH, or `versioning: sequence`",
            "version".to_owned(),
        );
    }
    Refusal::unless_empty(RefusalKind::Invalid, reasons)?;
    let sequence = service.registered + 1;
    work.push(BuildRegistered { build: build.clone(), digest, sequence });
    Ok(())
}

/// What a deployment is to be.
pub(crate) struct Plan {
    pub motive: Motive,
    pub urgency: Urgency,
    pub note: Option<Sealed>,
    pub awaits: Vec<AwaitedWithdrawal>,
    pub undoes: Option<DeploymentId>,
    /// Restore these pairs of build and configuration instead of today's configuration.
    pub restore: BTreeMap<PlacementKey, Pair>,
    /// Only these places, instead of every one that hosts the service.
    pub only: Option<BTreeSet<PlacementKey>>,
}

impl Plan {
    pub fn new(motive: Motive) -> Self {
        Self { motive, urgency: Urgency::Normal, note: None, awaits: Vec::new(), undoes: None, restore: BTreeMap::new(), only: None }
    }
}

/// The build that `label` names, with the builds it requires at least: what cannot be compared is not met.
pub(super) fn find(work: &mut Work<'_>, label: &BuildLabel) -> Result<Arc<Build>, Stop> {
    if !work.state.services.contains_key(&label.service) {
        return Err(Refusal::not_found("service", &label.service).into());
    }
    let Some(build) = work.build(label)? else { return Err(Refusal::not_found("build", label).into()) };
    for need in &build.spec.requires {
        work.build(&BuildLabel { service: need.service.clone(), version: need.floor.clone() })?;
    }
    Ok(build)
}

pub(super) fn environment(work: &Work<'_>, name: &Name) -> Result<Arc<Environment>, Refusal> {
    work.state.environments.get(name).cloned().ok_or_else(|| Refusal::not_found("environment", name))
}

pub(super) fn deploy(work: &mut Work<'_>, environment_name: &Name, labels: &[BuildLabel], motive: Motive, note: Option<&str>) -> Result<(), Stop> {
    let env = environment(work, environment_name)?;
    if labels.is_empty() {
        return Err(Refusal::invalid("deployment", "there is nothing to deploy", "name a build as service@version").into());
    }
    if motive == Motive::Rollback {
        return Err(Refusal::invalid("deployment", "a rollback is asked for as one", format!("greenroom rollback SERVICE --env {environment_name}")).into());
    }
    let builds = labels.iter().map(|label| find(work, label)).collect::<Result<Vec<_>, _>>()?;
    let mut services = BTreeSet::new();
    if let Some(twice) = builds.iter().find(|b| !services.insert(&b.spec.service)) {
        return Err(Refusal::invalid("deployment", format!("`{}` is named twice", twice.spec.service), "name one build of each service").into());
    }
    let reasons: Vec<Reason> = builds.iter().flat_map(|build| back_under_a_release(work, &env, build)).collect();
    Refusal::unless_empty(RefusalKind::Refused, reasons)?;
    let mut plan = Plan::new(motive);
    plan.note = note.map(|n| work.seal(n));
    request(work, &env, &builds, plan)?;
    Ok(())
}

/// A build that would leave a need unmet is refused when asked for: use a rollback, which can withdraw first.
fn back_under_a_release(work: &Work<'_>, env: &Environment, build: &Build) -> Vec<Reason> {
    let remedy = format!("greenroom rollback {} --to-version {} --env {} --withdraw-first", build.spec.service, build.spec.version, env.name);
    let bound = link::would_unmet(&work.state, &env.name, &build.spec.service, Some(build));
    bound.iter().filter(|b| b.through != Through::Withdrawing).map(|b| link::would_unmet_reason(&env.name, b).remedy(remedy.clone())).collect()
}

/// Makes the deployment: freezes recipes, judges each entry once, and overtakes what still waits for the same places.
pub(crate) fn request(work: &mut Work<'_>, env: &Environment, builds: &[Arc<Build>], plan: Plan) -> Result<DeploymentId, Refusal> {
    let id = DeploymentId::new(work.id());
    let mut configs = BTreeMap::new();
    let mut rollouts: Vec<PlannedRollout> = Vec::new();
    let mut reasons = Vec::new();
    for build in builds {
        let Some(service) = work.state.services.get(&build.spec.service).cloned() else { continue };
        let mut any = false;
        for target in env.hosting(&service) {
            any = true;
            let key = PlacementKey { environment: env.name.clone(), target: target.name.clone(), service: service.name.clone() };
            if plan.only.as_ref().is_some_and(|only| !only.contains(&key)) {
                continue;
            }
            let digest = match plan.restore.get(&key).filter(|pair| pair.build == build.digest) {
                Some(pair) => pair.config.clone(),
                None => {
                    let Some((digest, config)) = Config::of(&service, target) else { continue };
                    if matches!(config.recipe, Recipe::Process(_)) && !config.endpoints.contains_key(&service.name) {
                        reasons.push(
                            Reason::new(ReasonCode::NoRecipe, format!("environment/{}", env.name), format!("target `{}` has no endpoint for `{}`", target.name, service.name))
                                .remedy(format!("add `endpoints: {{{}: 127.0.0.1:PORT}}` to the target", service.name)),
                        );
                    }
                    configs.insert(digest.clone(), config);
                    digest
                }
            };
            rollouts.push(PlannedRollout {
                id: RolloutId::new(work.id()),
                target: target.name.clone(),
                service: service.name.clone(),
                // waves are care for what is new; taking back is done everywhere at once
                wave: if plan.motive == Motive::Rollback { 0 } else { target.wave },
                build: build.digest.clone(),
                config: digest,
                reasons: Vec::new(),
                review: work.now + REVIEW,
            });
        }
        if !any {
            reasons.push(
                Reason::new(ReasonCode::NoRecipe, format!("service/{}", service.name), format!("no target of `{}` can run `{}`", env.name, service.name))
                    .remedy("give the service a recipe for a driver of one of its targets"),
            );
        }
    }
    Refusal::unless_empty(RefusalKind::Refused, std::mem::take(&mut reasons))?;
    let scope = scope(env, &rollouts);
    let items: Vec<Item> = builds.iter().map(|b| Item { service: b.spec.service.clone(), version: b.spec.version.clone(), build: b.digest.clone() }).collect();
    for planned in &mut rollouts {
        let Some(build) = work.state.builds.get(&planned.build).cloned() else { continue };
        let ask = judge::rollouts::ask(&work.state, env, &planned.target, &build, None, plan.urgency, work.automatic(), work.actor, &scope, &[], &items);
        let entry = judge::rollouts::judge_entry(&work.state, &ask, &plan.awaits, work.now);
        for reason in entry.deny {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        planned.reasons = entry.wait;
    }
    Refusal::unless_empty(RefusalKind::Refused, reasons)?;
    overtake(work, &rollouts, env, work.state.numbers.deployments + 1, plan.urgency);
    work.push(DeploymentRequested {
        id,
        number: work.state.numbers.deployments + 1,
        environment: env.name.clone(),
        items,
        motive: plan.motive,
        urgency: plan.urgency,
        scope,
        rollouts,
        configs,
        policies: env.spec.policies.clone(),
        awaits: plan.awaits,
        undoes: plan.undoes,
        note: plan.note,
    });
    Ok(id)
}

fn scope(env: &Environment, rollouts: &[PlannedRollout]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"greenroom/deployment-scope/1\n");
    hash.update(env.name.as_str());
    for r in rollouts {
        hash.update(format!("\n{} {} {} {}", r.target, r.service, r.build, r.config));
    }
    digest_of(hash)
}

/// Waiting rollouts for the same places are recorded as overtaken; what is under way is not touched, except that an
/// emergency takes over what nobody knows the outcome of and asks everything else to stop.
fn overtake(work: &mut Work<'_>, rollouts: &[PlannedRollout], env: &Environment, number: u64, urgency: Urgency) {
    let same = |key: &PlacementKey| key.environment == env.name && rollouts.iter().any(|p| p.target == key.target && p.service == key.service);
    let emergency = urgency == Urgency::Emergency;
    let waiting = work.state.waiting_in(&env.name);
    let active = work.state.active.iter().filter(|_| emergency);
    let all: Vec<Arc<Rollout>> = waiting.chain(active).filter_map(|id| work.state.rollouts.get(id)).filter(|r| same(&r.key)).cloned().collect();
    for old in all {
        if matches!(old.step.kind(), StepKind::Waiting | StepKind::Unknown) {
            let why = vec![Reason::new(ReasonCode::Earlier, format!("placement/{}", old.key), format!("overtaken by deployment #{number}"))];
            work.push(old.moved(Step::Superseded { why }));
        } else if !old.cancelling {
            work.push(RolloutCancelRequested { rollout: old.id, deployment: old.deployment });
        }
    }
}

pub(super) fn cancel(work: &mut Work<'_>, id: DeploymentId) -> Result<(), Stop> {
    let deployment = work.deployment(id)?;
    let mut any = false;
    for rollout in &deployment.rollouts {
        let Some(r) = work.state.rollouts.get(rollout).cloned() else { continue };
        match r.step.kind() {
            StepKind::Waiting => {
                any = true;
                let why = vec![Reason::new(ReasonCode::WrongState, format!("deployment/{id}"), "cancelled before it started")];
                work.push(r.moved(Step::Cancelled { why }));
            }
            kind if kind.holds() && !r.cancelling => {
                any = true;
                work.push(RolloutCancelRequested { rollout: r.id, deployment: id });
            }
            kind => any |= kind.holds(),
        }
    }
    if any {
        return Ok(());
    }
    Err(Refusal::conflict(ReasonCode::WrongState, format!("deployment/{id}"), format!("deployment #{} is over", deployment.number), "roll back instead").into())
}

/// What is not quarantined stays as it is.
pub(super) fn clear(work: &mut Work<'_>, label: &BuildLabel, note: Option<&str>) -> Result<(), Stop> {
    let Some(build) = work.build(label)? else { return Err(Refusal::not_found("build", label).into()) };
    if build.quarantined.is_some() {
        let note = note.map(|n| work.seal(n));
        work.push(BuildCleared { service: label.service.clone(), build: build.digest.clone(), note });
    }
    Ok(())
}

pub(super) fn abandon(work: &mut Work<'_>, id: RolloutId) -> Result<(), Refusal> {
    let Some(r) = work.state.rollouts.get(&id).cloned() else { return Err(Refusal::not_found("rollout", id)) };
    if r.step.kind() != StepKind::Unknown {
        return Err(Refusal::conflict(ReasonCode::WrongState, format!("rollout/{id}"), format!("the rollout is {}, not unknown", r.step.kind()), "cancel the deployment instead"));
    }
    let why = vec![Reason::new(ReasonCode::WrongState, format!("rollout/{id}"), "abandoned by a person, outcome unknown")];
    work.push(r.moved(Step::Failed { why }));
    Ok(())
}
