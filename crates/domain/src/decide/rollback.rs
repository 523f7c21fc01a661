//! Going back: what a rollback restores, and what must be withdrawn from users before.

use std::collections::{BTreeMap, BTreeSet};

use super::deploy::{Plan, environment, find, request};
use super::release;
use super::{Stop, Work};
use crate::deployment::deployment::{AwaitedWithdrawal, Motive, Urgency};
use crate::deployment::placement::Pair;
use crate::id::{BuildLabel, Name, PlacementKey, Version};
use crate::judge;
use crate::link::{self, Through};
use crate::refusal::{Reason, ReasonCode, Refusal, RefusalKind};
use crate::release::plan::WithdrawSafety;

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
    let mut restore: BTreeMap<PlacementKey, Pair> = work.state.placements_of(environment_name, service).filter_map(|p| Some((p.key.clone(), p.good_before()?.clone()))).collect();
    let build = match to {
        Some(version) => {
            let build = find(work, &BuildLabel { service: service.clone(), version: version.clone() })?;
            // what never ran here has proved nothing here: no way around policy leads through a rollback
            if !work.state.lived.contains(&(environment_name.clone(), build.digest.clone())) {
                let reason =
                    Reason::new(ReasonCode::NotEligible, format!("build/{}", build.spec.label()), format!("`{}` was never live in `{environment_name}`", build.spec.label()));
                return Err(Refusal::one(RefusalKind::Refused, reason.remedy(format!("greenroom deploy {} --to {environment_name}", build.spec.label()))).into());
            }
            build
        }
        None => match restore.values().next().map(|pair| pair.build.clone()) {
            Some(digest) => work.build_of(&digest)?.ok_or_else(|| Refusal::not_found("build", digest))?,
            None => {
                return Err(Refusal::one(
                    RefusalKind::Refused,
                    Reason::new(ReasonCode::NoPreviousBuild, format!("service/{service}"), format!("`{service}` has no earlier good build in `{environment_name}`"))
                        .remedy("name one: --to-version VERSION, or withdraw the release instead"),
                )
                .into());
            }
        },
    };
    restore.retain(|_, pair| pair.build == build.digest);
    let bound = link::would_unmet(&work.state, environment_name, service, Some(&build));
    let mut awaits: Vec<AwaitedWithdrawal> = Vec::new();
    if emergency || withdraw_first {
        // on call, speed comes first; else a person looks at the preview of what cannot simply be taken back
        if !emergency {
            confirmed(work, environment_name, &bound)?;
        }
        awaits = withdraw_for(work, environment_name, &bound, note);
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
pub(crate) fn withdraw_for(work: &mut Work<'_>, environment: &Name, bound: &[link::Bound], note: Option<&str>) -> Vec<AwaitedWithdrawal> {
    let mut awaits = Vec::new();
    let names: BTreeSet<&Name> = bound.iter().map(|b| &b.release).collect();
    for name in names {
        let withdrawing = bound.iter().any(|b| b.release == *name && b.through == Through::Withdrawing);
        if !withdrawing {
            release::begin_withdrawal(work, name, environment, note);
        }
        awaits.push(AwaitedWithdrawal { release: name.clone(), environment: environment.clone() });
    }
    awaits
}

/// Refuses to withdraw on the way what a person must confirm.
fn confirmed(work: &Work<'_>, environment: &Name, bound: &[link::Bound]) -> Result<(), Refusal> {
    let mut reasons: Vec<Reason> = Vec::new();
    for b in bound.iter().filter(|b| b.through != Through::Withdrawing && !all_clean(work, std::slice::from_ref(b))) {
        let reason = Reason::new(ReasonCode::ConfirmRequired, format!("release/{}", b.release), format!("release `{}` has features that cannot simply be taken back", b.release))
            .remedy(format!("greenroom release withdraw {} --env {environment} --confirm, then roll back", b.release));
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Refusal::unless_empty(RefusalKind::Refused, reasons)
}

/// Whether taking everything in `bound` back is harmless: only `clean` features.
pub(crate) fn all_clean(work: &Work<'_>, bound: &[link::Bound]) -> bool {
    bound.iter().filter_map(|b| work.state.releases.get(&b.release)).all(|r| r.spec.features.iter().all(|f| f.withdraw_safety == WithdrawSafety::Clean))
}
