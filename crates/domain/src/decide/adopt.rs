//! Taking over what runs already, without deploying it.

use super::deploy::environment;
use super::{Stop, Work};
use crate::deployment::build::{Artifact, BuildSpec, main_line};
use crate::deployment::deployment::Config;
use crate::deployment::placement::Pair;
use crate::event::{BuildRegistered, PlacementAdopted};
use crate::few::{Few, FewSet};
use crate::id::{BuildLabel, Digest, PlacementKey, Version};
use crate::refusal::{ReasonCode, Refusal};

/// Desired and stable become the registered or a stub build; what is observed stays what is observed.
pub(super) fn adopt(work: &mut Work<'_>, key: &PlacementKey, version: &Version, digest: Option<&Digest>) -> Result<(), Stop> {
    let env = environment(work, &key.environment)?;
    let Some(service) = work.state.services.get(&key.service).cloned() else { return Err(Refusal::not_found("service", &key.service).into()) };
    let Some(target) = env.target(&key.target) else { return Err(Refusal::not_found("target", &key.target).into()) };
    let Some((config, content)) = Config::of(&service, target) else {
        return Err(Refusal::invalid(format!("service/{}", service.name), "the service has no recipe for this target", "add one").into());
    };
    if !target.hosts(&key.service) {
        return Err(Refusal::invalid(format!("environment/{}", env.name), format!("`{}` does not run `{}`", target.name, service.name), "add it to the target's `services`").into());
    }
    if let Some(active) = work.state.placements.get(key).and_then(|p| p.active) {
        return Err(Refusal::conflict(ReasonCode::Busy, format!("rollout/{active}"), format!("a rollout is under way on `{}`", key.target), "adopt when it is over").into());
    }
    let label = BuildLabel { service: key.service.clone(), version: version.clone() };
    let build = match (work.build(&label)?, digest) {
        (Some(build), Some(digest)) if *digest != build.digest && !build.spec.artifacts.values().any(|a| a.digests.contains(digest)) => {
            return Err(Refusal::conflict(
                ReasonCode::DigestDiffers,
                format!("build/{label}"),
                format!("`{label}` is registered with other content"),
                "name the version that really runs",
            )
            .into());
        }
        (Some(build), _) => build.digest.clone(),
        (None, Some(digest)) => {
            let artifacts = service.spec.components.iter().map(|c| (c.clone(), Artifact { uri: "adopted".to_owned(), digests: FewSet::from_iter([digest.clone()]) })).collect();
            let spec = BuildSpec {
                service: key.service.clone(),
                version: version.clone(),
                line: main_line(),
                contains: Vec::new(),
                commit: None,
                artifacts,
                requires: Vec::new(),
                reads: Few::default(),
                schema: Few::default(),
                changes: Vec::new(),
            };
            let stub = spec.digest();
            if let Some(same) = work.build_of(&stub)? {
                return Err(Refusal::conflict(
                    ReasonCode::AlreadyExists,
                    format!("build/{label}"),
                    format!("the very same content is registered as `{}`", same.spec.label()),
                    "adopt that version",
                )
                .into());
            }
            work.push(BuildRegistered { build: spec, digest: stub.clone(), sequence: service.registered + 1 });
            stub
        }
        (None, None) => return Err(Refusal::not_found("build", label).into()),
    };
    observed(work, key, &build)?;
    let pair = Pair { build, config };
    if work.state.placements.get(key).is_none_or(|p| p.stable.as_ref() != Some(&pair) || p.desired.as_ref() != Some(&pair)) {
        work.push(PlacementAdopted { key: key.clone(), build: pair.build, config: pair.config, content });
    }
    Ok(())
}

/// What is taken over must be what runs: else a build that never ran here would count as good here.
fn observed(work: &Work<'_>, key: &PlacementKey, build: &Digest) -> Result<(), Stop> {
    let serving = work.state.placements.get(key).and_then(|p| p.observed.as_ref()).map(|seen| &seen.serving).filter(|serving| !serving.is_empty());
    let Some(serving) = serving else {
        return Err(Refusal::conflict(
            ReasonCode::WrongState,
            format!("placement/{key}"),
            format!("nothing of `{}` is observed on `{}`", key.service, key.target),
            "adopt what runs once it is seen, or deploy it",
        )
        .into());
    };
    // a target that we did not deploy to knows the artifact it runs, not the build we make of it
    let artifacts = work.state.builds.get(build).map(|b| &b.spec.artifacts);
    let is = |seen: &Digest| seen == build || artifacts.is_some_and(|all| all.values().any(|a| a.digests.contains(seen)));
    if serving.keys().all(is) {
        return Ok(());
    }
    let runs = serving.keys().map(|digest| work.state.builds.get(digest).map_or_else(|| digest.to_string(), |b| b.spec.label().to_string())).collect::<Vec<_>>().join(", ");
    Err(Refusal::conflict(
        ReasonCode::DigestDiffers,
        format!("placement/{key}"),
        format!("`{}` is observed to run {runs}", key.target),
        "adopt what really runs, or deploy the other",
    )
    .into())
}
