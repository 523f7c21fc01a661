//! Builds and deployments, as people ask for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Stop, Work};
use crate::deployment::build::{Build, BuildSpec};
use crate::deployment::deployment::{AwaitedWithdrawal, Config, Item, Motive, Recipe, Urgency};
use crate::deployment::environment::{DriverKind, Environment, TargetSpec};
use crate::deployment::placement::Pair;
use crate::deployment::rollout::{Step, StepKind};
use crate::deployment::service::Service;
use crate::event::{BuildRegistered, DeploymentRequested, PlacementAdopted, PlannedRollout, ReleaseWithdrawing, RolloutCancelRequested, RolloutMoved};
use crate::id::{BuildLabel, DeploymentId, Digest, Name, PlacementKey, RolloutId, Version, digest_of};
use crate::judge;
use crate::link::{self, Through};
use crate::refusal::{Reason, ReasonCode, Refusal, RefusalKind};
use crate::release::plan::WithdrawSafety;
use crate::sealed::Sealed;
use crate::time::Span;

/// After this long a waiting rollout is looked at again, whatever it waits for.
const REVIEW: Span = Span::secs(24 * 3600);
/// Evaluators have this long to acknowledge before a withdrawal is called partial.
pub(crate) const WITHDRAW_DEADLINE: Span = Span::secs(30);

pub(super) fn register(work: &mut Work<'_>, build: &BuildSpec) -> Result<(), Stop> {
    let label = build.label();
    let Some(service) = work.state.services.get(&build.service).cloned() else { return Err(Refusal::not_found("service", &build.service).into()) };
    let digest = build.digest();
    if let Some(known) = work.state.versions.get(&label) {
        if *known == digest {
            return Ok(());
        }
        return Err(Refusal::conflict(
            ReasonCode::DigestDiffers,
            format!("build/{label}"),
            format!("`{label}` is registered with other content ({known}, this is {digest})"),
            "a build never changes: register the new content under a new version",
        )
        .into());
    }
    let mut reasons = Vec::new();
    let subject = format!("build/{label}");
    let mut bad = |code, message: String, remedy: &str, path: &str| reasons.push(Reason::new(code, &subject, message).remedy(remedy).path(path));
    for component in &service.spec.components {
        if build.artifacts.get(component).is_none_or(|a| a.digests.is_empty()) {
            bad(ReasonCode::Invalid, format!("component `{component}` has no artifact"), "add --artifact COMPONENT=PATH", "artifacts");
        }
    }
    for component in build.artifacts.keys().filter(|c| !service.spec.components.contains(c)) {
        bad(ReasonCode::UnknownReference, format!("`{}` has no component `{component}`", build.service), "name one of its components", "artifacts");
    }
    for need in &build.requires {
        if !work.state.services.contains_key(&need.service) {
            bad(ReasonCode::UnknownReference, format!("requires `{need}`, but there is no service `{}`", need.service), "correct the name, or define the service first", "requires");
        }
        if need.service == build.service {
            bad(ReasonCode::Invalid, format!("requires `{need}`, which is itself"), "require other services only", "requires");
        }
    }
    for (key, reads) in &build.reads {
        match work.state.features.get(key) {
            None => bad(ReasonCode::UnknownReference, format!("reads `{key}`, but there is no such feature"), "define the feature first", "reads"),
            Some(f) if f.spec.r#type != *reads => bad(ReasonCode::Invalid, format!("reads `{key}` as {reads}, but it is {}", f.spec.r#type), "read it by its type", "reads"),
            Some(_) => {}
        }
    }
    for (name, range) in &build.schema {
        if range.min > range.max {
            bad(ReasonCode::Invalid, format!("schema `{name}`: min {} is over max {}", range.min, range.max), "swap them", "schema");
        }
    }
    if service.spec.versioning == crate::deployment::service::Versioning::Semver && semver::Version::parse(build.version.as_str()).is_err() {
        bad(ReasonCode::Invalid, format!("`{}` is not a semantic version, and the service orders its builds by them", build.version), "use MAJOR.MINOR.PATCH, or `versioning: sequence`", "version");
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
}

impl Plan {
    pub fn new(motive: Motive) -> Self {
        Self { motive, urgency: Urgency::Normal, note: None, awaits: Vec::new(), undoes: None, restore: BTreeMap::new() }
    }
}

fn find(work: &Work<'_>, label: &BuildLabel) -> Result<Arc<Build>, Stop> {
    if !work.state.services.contains_key(&label.service) {
        return Err(Refusal::not_found("service", &label.service).into());
    }
    work.state.build(label).cloned().ok_or_else(|| Stop::Recall(vec![format!("version/{}/{}", label.service, label.version)]))
}

fn environment(work: &Work<'_>, name: &Name) -> Result<Arc<Environment>, Refusal> {
    work.state.environments.get(name).cloned().ok_or_else(|| Refusal::not_found("environment", name))
}

pub(super) fn deploy(work: &mut Work<'_>, environment_name: &Name, labels: &[BuildLabel], motive: Motive, note: Option<&str>) -> Result<(), Stop> {
    let env = environment(work, environment_name)?;
    if labels.is_empty() {
        return Err(Refusal::invalid("deployment", "there is nothing to deploy", "name a build as service@version").into());
    }
    let builds = labels.iter().map(|label| find(work, label)).collect::<Result<Vec<_>, _>>()?;
    let mut services = BTreeSet::new();
    if let Some(twice) = builds.iter().find(|b| !services.insert(&b.spec.service)) {
        return Err(Refusal::invalid("deployment", format!("`{}` is named twice", twice.spec.service), "name one build of each service").into());
    }
    for build in &builds {
        back_under_a_release(work, &env, build)?;
    }
    let mut plan = Plan::new(motive);
    plan.note = note.map(|n| work.seal(n));
    request(work, &env, &builds, plan)?;
    Ok(())
}

/// A build that would leave a need unmet is refused when asked for: use a rollback, which can withdraw first.
fn back_under_a_release(work: &Work<'_>, env: &Environment, build: &Build) -> Result<(), Refusal> {
    let bound: Vec<_> = link::would_unmet(&work.state, &env.name, &build.spec.service, Some(build)).into_iter().filter(|b| b.through != Through::Withdrawing).collect();
    let mut reasons: Vec<Reason> = bound.iter().map(|b| link::would_unmet_reason(&env.name, b)).collect();
    for reason in &mut reasons {
        reason.remedy = format!("greenroom rollback {} --to-version {} --env {} --withdraw-first", build.spec.service, build.spec.version, env.name);
    }
    Refusal::unless_empty(RefusalKind::Refused, reasons)
}

/// Targets of `env` that host `service`.
fn targets<'a>(env: &'a Environment, service: &'a Service) -> impl Iterator<Item = &'a TargetSpec> {
    env.spec.targets.iter().filter(|t| t.hosts(&service.name) && service.spec.recipes.supports(t.driver))
}

fn config(service: &Service, target: &TargetSpec) -> Option<(Digest, Config)> {
    let recipe = match target.driver {
        DriverKind::Process => Recipe::Process(service.spec.recipes.process.clone()?),
        DriverKind::Command => Recipe::Command(service.spec.recipes.command.clone()?),
    };
    let config = Config { address: target.address.clone(), recipe, endpoints: target.endpoints.clone() };
    let mut hash = Sha256::new();
    hash.update(b"greenroom/config/1\n");
    hash.update(serde_json::to_vec(&config).unwrap_or_default());
    Some((digest_of(hash), config))
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
        for target in targets(env, &service) {
            any = true;
            let key = PlacementKey { environment: env.name.clone(), target: target.name.clone(), service: service.name.clone() };
            let digest = match plan.restore.get(&key) {
                Some(pair) => pair.config.clone(),
                None => {
                    let Some((digest, config)) = config(&service, target) else { continue };
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
                wave: target.wave,
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
    for planned in &mut rollouts {
        let Some(build) = work.state.builds.get(&planned.build).cloned() else { continue };
        let ask = judge::rollouts::ask(&work.state, env, &planned.target, &build, None, plan.urgency, work.automatic(), work.actor, &scope, &[]);
        let entry = judge::rollouts::judge_entry(&work.state, &ask, &plan.awaits, work.now);
        reasons.extend(entry.deny);
        planned.reasons = entry.wait;
    }
    reasons.dedup();
    Refusal::unless_empty(RefusalKind::Refused, reasons)?;
    overtake(work, &rollouts, env, work.state.numbers.deployments + 1, plan.urgency);
    let items = builds.iter().map(|b| Item { service: b.spec.service.clone(), version: b.spec.version.clone(), build: b.digest.clone() }).collect();
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
/// emergency takes over what nobody knows the outcome of.
fn overtake(work: &mut Work<'_>, rollouts: &[PlannedRollout], env: &Environment, number: u64, urgency: Urgency) {
    let same = |key: &PlacementKey| key.environment == env.name && rollouts.iter().any(|p| p.target == key.target && p.service == key.service);
    let waiting = work.state.waiting.iter().filter(|(e, _)| *e == env.name).map(|(_, r)| *r);
    let unknown = work.state.active.iter().copied().filter(|_| urgency == Urgency::Emergency);
    let all: Vec<RolloutId> = waiting.chain(unknown).collect();
    for id in all {
        let Some(old) = work.state.rollouts.get(&id).cloned() else { continue };
        if same(&old.key) && matches!(old.step.kind(), StepKind::Waiting | StepKind::Unknown) {
            let why = vec![Reason::new(ReasonCode::Earlier, format!("placement/{}", old.key), format!("overtaken by deployment #{number}"))];
            work.push(RolloutMoved { rollout: id, deployment: old.deployment, key: old.key.clone(), from: old.step.kind(), to: Step::Superseded { why }, op: old.op() });
        }
    }
}

pub(super) fn rollback(
    work: &mut Work<'_>,
    environment_name: &Name,
    service: &Name,
    to: Option<&Version>,
    withdraw_first: bool,
    emergency: bool,
    note: Option<&str>,
) -> Result<(), Stop> {
    let env = environment(work, environment_name)?;
    if !work.state.services.contains_key(service) {
        return Err(Refusal::not_found("service", service).into());
    }
    let placements: Vec<_> = work.state.placements_of(environment_name, service).cloned().collect();
    let mut restore = BTreeMap::new();
    for placement in &placements {
        // from a failed or unverified build back to the last good one; from a good one to the one before
        let runs = placement.observed.as_ref().and_then(|o| o.build());
        let back = match &placement.stable {
            Some(stable) if runs.is_some_and(|r| *r != stable.build) => Some(stable.clone()),
            _ => placement.previous.clone(),
        };
        if let Some(pair) = back {
            restore.insert(placement.key.clone(), pair);
        }
    }
    let build = match to {
        Some(version) => {
            let label = BuildLabel { service: service.clone(), version: version.clone() };
            let build = find(work, &label)?;
            restore.retain(|_, pair| pair.build == build.digest);
            build
        }
        None => {
            let digest = restore.values().next().map(|p| p.build.clone());
            let known = digest.as_ref().and_then(|d| work.state.builds.get(d).cloned());
            match (digest, known) {
                (Some(_), Some(build)) => build,
                (Some(digest), None) => return Err(Stop::Recall(vec![format!("build/{digest}")])),
                (None, _) => {
                    return Err(Refusal::one(
                        RefusalKind::Refused,
                        Reason::new(ReasonCode::NoPreviousBuild, format!("service/{service}"), format!("`{service}` has no earlier good build in `{environment_name}`"))
                            .remedy("name one: --to-version VERSION, or withdraw the release instead"),
                    )
                    .into());
                }
            }
        }
    };
    let bound = link::would_unmet(&work.state, environment_name, service, Some(&build));
    let mut awaits: Vec<AwaitedWithdrawal> = Vec::new();
    if emergency || withdraw_first {
        awaits = withdraw_for(work, environment_name, &bound, note)?;
    } else {
        let mut reasons: Vec<Reason> = bound.iter().map(|b| link::would_unmet_reason(environment_name, b)).collect();
        for reason in reasons.iter_mut().filter(|r| r.code == ReasonCode::WouldUnmet) {
            reason.remedy = format!("greenroom rollback {service} --env {environment_name} --withdraw-first");
        }
        Refusal::unless_empty(RefusalKind::Refused, reasons)?;
    }
    let mut plan = Plan::new(Motive::Rollback);
    plan.note = note.map(|n| work.seal(n));
    plan.restore = restore;
    if emergency {
        plan.urgency = Urgency::Emergency;
    } else {
        plan.awaits = awaits;
    }
    request(work, &env, &[build], plan)?;
    judge::rollouts::hold_automation(work, environment_name, service);
    Ok(())
}

/// Withdraws every release in `bound` and says what to wait for.
pub(crate) fn withdraw_for(work: &mut Work<'_>, environment: &Name, bound: &[link::Bound], note: Option<&str>) -> Result<Vec<AwaitedWithdrawal>, Refusal> {
    let mut awaits = Vec::new();
    let names: BTreeSet<&Name> = bound.iter().map(|b| &b.release).collect();
    for name in names {
        let withdrawing = bound.iter().any(|b| b.release == *name && b.through == Through::Withdrawing);
        if !withdrawing {
            let note = note.map(|n| work.seal(n));
            work.push(ReleaseWithdrawing { name: name.clone(), environment: environment.clone(), deadline: work.now + WITHDRAW_DEADLINE, note });
        }
        awaits.push(AwaitedWithdrawal { release: name.clone(), environment: environment.clone() });
    }
    Ok(awaits)
}

/// Whether taking everything in `bound` back is harmless: only `clean` features.
pub(crate) fn all_clean(work: &Work<'_>, bound: &[link::Bound]) -> bool {
    bound.iter().filter_map(|b| work.state.releases.get(&b.release)).all(|r| r.spec.features.iter().all(|f| f.withdraw_safety == WithdrawSafety::Clean))
}

pub(super) fn cancel(work: &mut Work<'_>, id: DeploymentId) -> Result<(), Stop> {
    let Some(deployment) = work.state.deployments.get(&id).cloned() else { return Err(Stop::Recall(vec![format!("deployment/{id}")])) };
    let mut any = false;
    for rollout in &deployment.rollouts {
        let Some(r) = work.state.rollouts.get(rollout).cloned() else { continue };
        match r.step.kind() {
            StepKind::Waiting => {
                any = true;
                let why = vec![Reason::new(ReasonCode::WrongState, format!("deployment/{id}"), "cancelled before it started")];
                work.push(RolloutMoved { rollout: r.id, deployment: id, key: r.key.clone(), from: StepKind::Waiting, to: Step::Cancelled { why }, op: r.op() });
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

pub(super) fn abandon(work: &mut Work<'_>, id: RolloutId) -> Result<(), Refusal> {
    let Some(r) = work.state.rollouts.get(&id).cloned() else { return Err(Refusal::not_found("rollout", id)) };
    if r.step.kind() != StepKind::Unknown {
        return Err(Refusal::conflict(ReasonCode::WrongState, format!("rollout/{id}"), format!("the rollout is {}, not unknown", r.step.kind()), "cancel the deployment instead"));
    }
    let why = vec![Reason::new(ReasonCode::WrongState, format!("rollout/{id}"), "abandoned by a person, outcome unknown")];
    work.push(RolloutMoved { rollout: id, deployment: r.deployment, key: r.key.clone(), from: StepKind::Unknown, to: Step::Failed { why }, op: r.op() });
    Ok(())
}

/// Takes over what runs already, without deploying: desired = stable on a registered or stub build.
pub(super) fn adopt(work: &mut Work<'_>, key: &PlacementKey, version: &Version, digest: Option<&Digest>) -> Result<(), Stop> {
    let env = environment(work, &key.environment)?;
    let Some(service) = work.state.services.get(&key.service).cloned() else { return Err(Refusal::not_found("service", &key.service).into()) };
    let Some(target) = env.target(&key.target) else { return Err(Refusal::not_found("target", &key.target).into()) };
    let Some((config, _)) = config(&service, target) else {
        return Err(Refusal::invalid(format!("service/{}", service.name), "the service has no recipe for this target", "add one").into());
    };
    let label = BuildLabel { service: key.service.clone(), version: version.clone() };
    let build = match (work.state.build(&label).cloned(), digest) {
        (Some(build), _) => build.digest.clone(),
        (None, Some(digest)) => {
            let artifacts = service
                .spec
                .components
                .iter()
                .map(|c| (c.clone(), crate::deployment::build::Artifact { uri: "adopted".to_owned(), digests: [digest.clone()].into() }))
                .collect();
            let spec = BuildSpec {
                service: key.service.clone(),
                version: version.clone(),
                line: crate::deployment::build::main_line(),
                contains: Vec::new(),
                commit: None,
                artifacts,
                requires: Vec::new(),
                reads: BTreeMap::new(),
                schema: BTreeMap::new(),
                changes: Vec::new(),
            };
            let stub = spec.digest();
            work.push(BuildRegistered { build: spec, digest: stub.clone(), sequence: service.registered + 1 });
            stub
        }
        (None, None) => return Err(Refusal::not_found("build", label).into()),
    };
    work.push(PlacementAdopted { key: key.clone(), build, config });
    Ok(())
}
