//! Going back: by a person, by automation, in an emergency.

use greenroom_domain::command::{Command, Report};
use greenroom_domain::deployment::check::Outcome;
use greenroom_domain::deployment::deployment::Motive;
use greenroom_domain::deployment::rollout::StepKind;
use greenroom_domain::event::Event;
use greenroom_domain::hold::{Plane, Scope, Stops};
use greenroom_domain::refusal::ReasonCode;
use greenroom_domain::release::release::{Course, CourseKind};
use serde_json::json;

use crate::world::*;

fn rollback(to: Option<&str>, withdraw_first: bool, emergency: bool) -> Command {
    Command::Rollback { environment: n(PRODUCTION), service: n("web"), to: to.map(version), withdraw_first, emergency, note: Some("because".to_owned()) }
}

/// `web@1.1.0` in production, and `summer` serving 10 % of everyone through it.
fn exposed() -> World {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.plan("summer", summer());
    w.ok(&World::start_command("summer"));
    w
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::kind).collect()
}

#[test]
fn refused_while_exposed_naming_release_and_share() {
    let mut w = exposed();
    let refusal = w.refusal(&rollback(None, false, false));
    assert!(refusal.contains("would-unmet") && refusal.contains("`summer`") && refusal.contains("10% of everyone") && refusal.contains("--withdraw-first"), "{refusal}");
    assert_eq!(w.refused(&World::deploy_command(&["web@1.0.0"], PRODUCTION)), [ReasonCode::WouldUnmet]);
    w.ok(&World::start_command("summer"));
    w.ok(&Command::CloseRelease { name: n("summer"), environment: None });
    let refusal = w.refusal(&rollback(None, false, false));
    assert!(refusal.contains("`summer`") && refusal.contains("everyone") && refusal.contains("closed"), "{refusal}");
    w.withdraw("summer");
    w.ok(&rollback(None, false, false));
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.0.0");
}

#[test]
fn a_newer_build_that_meets_the_need_is_no_rollback() {
    let mut w = exposed();
    w.ship("web@1.2.0");
    w.ok(&rollback(None, false, false));
    assert_eq!((w.running(PRODUCTION, "web").as_str(), w.kind("summer")), ("web@1.1.0", CourseKind::Exposing));
}

/// The strictest of what several policies say.
#[test]
fn whose_word_a_withdrawal_waits_for_and_how_long_is_a_policy() {
    let mut w = exposed();
    let rules = json!([{"withdrawal": {"acknowledged": "50%", "deadline": "2m"}}, {"withdrawal": {"acknowledged": "95%"}}]);
    w.apply(vec![manifest("policy", PRODUCTION, json!({"rules": rules}))]);
    w.evaluators = false;
    w.ok(&rollback(None, true, false));
    let id = w.last_deployment().id;
    let Course::Withdrawing { share, .. } = w.state.releases[&n("summer")].environments[&n(PRODUCTION)].course else { panic!("not withdrawing") };
    assert_eq!((share.to_string().as_str(), share.of(0), share.of(20), share.of(21)), ("95%", 0, 19, 20));
    w.pass(secs(119));
    assert_eq!(w.step(id), StepKind::Waiting);
    w.pass(secs(60));
    assert_eq!(w.step(id), StepKind::Live, "its deadline has passed");
}

#[test]
fn withdraw_first_waits_until_it_is_effective() {
    let mut w = exposed();
    w.evaluators = false;
    let events = w.ok(&rollback(None, true, false));
    assert_eq!(kinds(&events), ["release.withdrawing", "deployment.requested", "hold.set"]);
    let id = w.last_deployment().id;
    assert_eq!(w.reasons(id), [ReasonCode::Withdrawal]);
    w.pass(secs(20));
    assert_eq!((w.step(id), w.running(PRODUCTION, "web").as_str()), (StepKind::Waiting, "web@1.1.0"));
    w.evaluators = true;
    w.settle();
    assert_eq!((w.step(id), w.running(PRODUCTION, "web").as_str()), (StepKind::Live, "web@1.0.0"));
}

#[test]
fn withdraw_first_goes_on_at_the_deadline() {
    let mut w = exposed();
    w.evaluators = false;
    w.ok(&rollback(None, true, false));
    w.pass(secs(29));
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.1.0");
    w.pass(secs(4));
    assert_eq!((w.running(PRODUCTION, "web").as_str(), w.kind("summer")), ("web@1.0.0", CourseKind::Withdrawing));
}

#[test]
fn withdraw_first_does_not_slip_past_a_confirmation() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    let mut spec = summer();
    spec["features"][0]["withdraw_safety"] = json!("needs_migration");
    w.plan("summer", spec);
    w.ok(&World::start_command("summer"));
    assert_eq!(w.refused(&rollback(None, true, false)), [ReasonCode::ConfirmRequired]);
    w.ok(&rollback(None, true, true));
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.0.0");
}

#[test]
fn in_an_emergency_everything_happens_at_once() {
    let mut w = exposed();
    w.ok(&Command::SetHold { scope: Scope::default(), plane: Plane::Both, stops: Stops::Both, reason: "freeze".to_owned(), expires: None });
    w.apply(vec![manifest("policy", "production", json!({"rules": [{"decision": {"role": "approver"}}, {"soak": "1d"}]}))]);
    w.evaluators = false;
    w.fleet = false;
    let events = w.ok(&rollback(None, false, true));
    assert_eq!(kinds(&events)[..2], ["release.withdrawing", "deployment.requested"]);
    assert_eq!(w.step(w.last_deployment().id), StepKind::Applying, "it waits for nobody");
    assert_eq!(w.audience("checkout").len(), 0);
    w.fleet = true;
    w.settle();
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.0.0");
}

#[test]
fn an_emergency_takes_over_what_nobody_knows_and_stops_what_is_under_way() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    w.manners.insert("web@1.2.0".to_owned(), Manner::Silent);
    let stuck = w.deploy("web@1.2.0", PRODUCTION);
    w.silent.push(n("p1"));
    w.pass(secs(120));
    assert_eq!(w.step(stuck), StepKind::Unknown);
    let fence = w.rollouts(stuck)[0].fence;
    w.silent.clear();
    let mut later = w.clone();
    w.fleet = false;
    w.ok(&rollback(Some("1.1.0"), false, true));
    let id = w.last_deployment().id;
    assert_eq!((w.step(stuck), w.step(id)), (StepKind::Superseded, StepKind::Applying));
    assert!(w.rollouts(id)[0].fence > fence, "the target refuses what the older one still sends");

    let op = later.rollouts(stuck)[0].op();
    later.fleet = false;
    later.report(Report::Applied { op });
    later.ok(&rollback(Some("1.1.0"), false, true));
    assert!(later.rollouts(stuck)[0].cancelling);
    later.fleet = true;
    later.settle();
    assert_eq!((later.step(stuck), later.running(PRODUCTION, "web").as_str()), (StepKind::Cancelled, "web@1.1.0"));
}

#[test]
fn no_way_around_policy_leads_through_a_rollback() {
    let mut w = World::shop();
    w.register("web@9.0.0");
    assert_eq!(w.refused(&rollback(Some("9.0.0"), false, true)), [ReasonCode::NotEligible]);
    let by_motive = Command::Deploy { environment: n(PRODUCTION), builds: vec![label("web@9.0.0")], motive: Motive::Rollback, note: None };
    assert_eq!(w.refused(&by_motive), [ReasonCode::Invalid]);
    assert_eq!(w.refused(&rollback(Some("7.0.0"), false, false)), [ReasonCode::NotFound]);
    assert_eq!(w.refused(&rollback(None, false, false)), [ReasonCode::NoPreviousBuild]);
}

#[test]
fn build_and_configuration_come_back_as_a_pair() {
    let mut w = World::shop();
    let there = place(PRODUCTION, "p1", "web");
    let old = w.state.placements[&there].stable.clone().unwrap();
    let mut changed = service();
    changed["recipes"]["process"]["env"] = json!({"MODE": "new"});
    w.apply(vec![manifest("service", "web", changed)]);
    w.ship("web@1.1.0");
    let new = w.state.placements[&there].stable.clone().unwrap();
    assert_ne!(new.config, old.config);
    w.ok(&rollback(None, false, false));
    assert_eq!(w.state.placements[&there].stable, Some(old.clone()));
    assert_eq!(w.runs[&there].config, Some(old.config));
}

#[test]
fn automatic_rollback_withdraws_quarantines_holds_and_restores() {
    let mut w = exposed();
    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    // 1.1.0 meets the need too, so `summer` stays
    w.manners.insert("web@1.2.0".to_owned(), Manner::CheckFails);
    let id = w.deploy("web@1.2.0", PRODUCTION);
    assert_eq!(w.step(id), StepKind::Failed);
    let back = w.last_deployment().clone();
    assert_eq!((back.undoes, back.motive), (Some(id), Motive::Rollback));
    assert_eq!((w.running(PRODUCTION, "web").as_str(), w.kind("summer")), ("web@1.1.0", CourseKind::Exposing));
    let bad = &w.rollouts(id)[0].build;
    assert!(w.state.builds[bad].quarantined.as_deref().is_some_and(|why| why.contains("smoke")));
    assert_eq!(w.state.holds.len(), 1);
    assert_eq!(w.refused(&World::deploy_command(&["web@1.2.0"], PRODUCTION)), [ReasonCode::Quarantined]);
    let requested = w.happened("deployment.requested");
    w.pass(DAY);
    assert_eq!(w.happened("deployment.requested"), requested, "once");
}

/// A release needs the build whose check fails, and the last good one lies below its floor.
fn failing_under(safety: &str) -> World {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    w.deploy("web@1.2.0", PRODUCTION);
    w.plan("autumn", json!({"features": [{"key": "checkout", "variant": "on", "withdraw_safety": safety}], "needs": ["web>=1.1.5"], "stages": [{"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("autumn"));
    w.evaluators = false;
    w.manners.insert("web@1.2.0".to_owned(), Manner::CheckFails);
    w.deploy("web@1.2.0", PRODUCTION);
    w
}

#[test]
fn automatic_rollback_withdraws_clean_features_first() {
    let mut w = failing_under("clean");
    assert_eq!((w.kind("autumn"), w.audience("checkout").len()), (CourseKind::Withdrawing, 0));
    assert_eq!(w.reasons(w.last_deployment().id), [ReasonCode::Withdrawal]);
    w.pass(secs(33));
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.1.0");
}

#[test]
fn what_began_to_serve_while_a_rollback_waited_is_withdrawn_before_it_starts() {
    let mut w = failing_under("clean");
    let back = w.last_deployment().id;
    // somebody looks again, is content, and starts another release on the same build
    w.record(&place(PRODUCTION, "p1", "web"), &n("smoke"), Outcome::Pass, None);
    w.settle();
    w.plan("winter", json!({"features": [{"key": "basket", "variant": "new"}], "needs": ["web>=1.2.0"], "stages": [{"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("winter"));
    assert_eq!((w.step(back), w.audience("basket").len()), (StepKind::Waiting, 1000));
    w.pass(secs(33));
    assert_eq!((w.kind("winter"), w.step(back), w.audience("basket").len()), (CourseKind::Withdrawing, StepKind::Waiting, 0));
    w.pass(secs(33));
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.1.0");
}

#[test]
fn an_automatic_rollback_that_waited_stops_at_what_cannot_simply_be_taken_back() {
    let mut w = failing_under("clean");
    let back = w.last_deployment().id;
    w.record(&place(PRODUCTION, "p1", "web"), &n("smoke"), Outcome::Pass, None);
    w.settle();
    let one_way = json!([{"key": "basket", "variant": "new", "withdraw_safety": "one_way"}]);
    w.plan("winter", json!({"features": one_way, "needs": ["web>=1.2.0"], "stages": [{"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("winter"));
    w.pass(secs(33));
    assert_eq!((w.step(back), w.reasons(back), w.kind("winter")), (StepKind::Cancelled, vec![ReasonCode::WouldUnmet], CourseKind::Exposed));
}

#[test]
fn an_emergency_that_had_to_wait_withdraws_what_began_to_serve_meanwhile() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    w.plan("summer", summer());
    w.fleet = false;
    w.deploy("web@1.2.0", PRODUCTION);
    w.ok(&rollback(Some("1.0.0"), false, true));
    let back = w.last_deployment().id;
    assert_eq!(w.reasons(back), [ReasonCode::Busy]);
    w.look();
    w.ok(&World::start_command("summer"));
    w.fleet = true;
    w.settle();
    assert_eq!((w.running(PRODUCTION, "web").as_str(), w.kind("summer"), w.audience("checkout").len()), ("web@1.0.0", CourseKind::Withdrawn, 0));
    let at = |wanted: &dyn Fn(&Event) -> bool| w.ledger.iter().find(|r| wanted(&r.event)).unwrap().seq;
    let withdrawn = at(&|e| matches!(e, Event::ReleaseWithdrawing(_)));
    let applying = at(&|e| matches!(e, Event::RolloutMoved(m) if m.deployment == back && m.to.kind() == StepKind::Applying));
    assert!(withdrawn < applying);
}

#[test]
fn automatic_rollback_stops_at_what_is_one_way() {
    let mut w = failing_under("one_way");
    w.pass(DAY);
    assert_eq!((w.kind("autumn"), w.running(PRODUCTION, "web").as_str(), w.audience("checkout").len()), (CourseKind::Exposed, "web@1.2.0", 1000));
    assert_eq!((w.state.holds.len(), w.last_deployment().motive), (1, Motive::Promote), "held, and a person is needed");
}

#[test]
fn automatic_rollback_stops_where_the_schema_has_moved_on() {
    let mut w = World::shop();
    w.register_with("web@1.1.0", &json!({"schema": {"db": {"min": 1, "max": 1}}}));
    w.deploy("web@1.1.0", "staging");
    w.deploy("web@1.1.0", PRODUCTION);
    w.register_with("web@1.2.0", &json!({"schema": {"db": {"min": 2, "max": 2}}}));
    w.deploy("web@1.2.0", "staging");
    w.manners.insert("web@1.2.0".to_owned(), Manner::CheckFails);
    let id = w.deploy("web@1.2.0", PRODUCTION);
    assert_eq!((w.last_deployment().id, w.step(id), w.state.holds.len()), (id, StepKind::Failed, 1));
}

#[test]
fn a_policy_may_leave_taking_back_to_people() {
    let mut w = World::shop();
    w.apply(vec![manifest("policy", "production", json!({"rules": [{"rollback": "manual"}]}))]);
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    w.manners.insert("web@1.1.0".to_owned(), Manner::CheckFails);
    let id = w.deploy("web@1.1.0", PRODUCTION);
    assert_eq!((w.last_deployment().id, w.running(PRODUCTION, "web").as_str()), (id, "web@1.1.0"));
    w.ok(&rollback(None, false, false));
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.0.0");
}

#[test]
fn the_first_deployment_of_a_place_has_nowhere_to_go_back_to() {
    let mut w = World::empty();
    w.apply(shop());
    w.register("web@1.0.0");
    w.manners.insert("web@1.0.0".to_owned(), Manner::CheckFails);
    let id = w.deploy("web@1.0.0", "staging");
    assert_eq!((w.step(id), w.last_deployment().id, w.state.holds.len()), (StepKind::Failed, id, 1));
}

#[test]
fn a_crash_while_verifying_takes_back_too() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    w.fleet = false;
    let id = w.deploy("web@1.1.0", PRODUCTION);
    w.work();
    w.work();
    assert_eq!(w.step(id), StepKind::Verifying);
    let op = w.rollouts(id)[0].op();
    w.report(Report::Failed { op, why: "exited with 1".to_owned() });
    w.fleet = true;
    w.settle();
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.0.0");
    assert_eq!(w.last_deployment().undoes, Some(id));
}
