//! Releases on their way to users, and back.

use greenroom_domain::command::{Command, Report};
use greenroom_domain::decision::{About, Verdict};
use greenroom_domain::deployment::check::Outcome;
use greenroom_domain::deployment::placement::{Basis, Health, Observation};
use greenroom_domain::deployment::rollout::StepKind;
use greenroom_domain::event::Event;
use greenroom_domain::hold::{Plane, Scope, Stops};
use greenroom_domain::refusal::ReasonCode;
use greenroom_domain::release::release::{Course, CourseKind};
use greenroom_domain::role::Role;
use greenroom_domain::state::Recorded;
use serde_json::{Value, json};

use crate::world::*;

#[test]
fn from_dark_in_production_to_everyone_and_into_the_baseline() {
    let mut w = World::shop();
    w.plan("summer", summer());
    let refusal = w.refusal(&World::start_command("summer"));
    assert!(refusal.contains("web>=1.1.0") && refusal.contains("p1") && refusal.contains("web@1.0.0"), "service, version and target: {refusal}");

    w.ship("web@1.1.0");
    assert_eq!(w.audience("checkout").len(), 0, "in production and dark");
    w.ok(&World::start_command("summer"));
    assert_eq!((w.kind("summer"), w.stage("summer")), (CourseKind::Exposing, 1));
    let some = w.audience("checkout");
    assert!((60..140).contains(&some.len()), "{}", some.len());

    assert_eq!(w.refused(&Command::CloseRelease { name: n("summer"), environment: None }), [ReasonCode::WrongState]);
    w.ok(&World::start_command("summer"));
    assert_eq!((w.kind("summer"), w.audience("checkout").len()), (CourseKind::Exposed, 1000));

    w.ok(&Command::CloseRelease { name: n("summer"), environment: None });
    assert_eq!((w.kind("summer"), w.audience("checkout").len()), (CourseKind::Closed, 1000));
    assert!(w.ok(&Command::CloseRelease { name: n("summer"), environment: None }).is_empty());

    w.withdraw("summer");
    assert_eq!((w.kind("summer"), w.audience("checkout").len()), (CourseKind::Withdrawn, 0));
}

#[test]
fn stages_follow_by_dwell_and_growth_keeps_everyone() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    let stages: Vec<Value> = [1, 5, 20, 60].iter().map(|share| json!({"name": format!("to-{share}"), "share": format!("{share}%"), "dwell": "1h"})).collect();
    w.plan("summer", json!({"features": [{"key": "checkout", "variant": "on"}, {"key": "basket", "variant": "new"}], "needs": ["web>=1.1.0"], "stages": stages}));
    w.ok(&World::start_command("summer"));
    let mut before = w.audience("checkout");
    for stage in 2..=4 {
        assert_eq!(w.audience("basket"), before, "a user has all of it or none");
        w.pass(secs(3601));
        let after = w.audience("checkout");
        assert!(before.iter().all(|user| after.contains(user)) && after.len() > before.len());
        before = after;
        if stage < 4 {
            assert_eq!(w.stage("summer"), stage);
        }
    }
    assert_eq!(w.kind("summer"), CourseKind::Exposed);
}

/// `summer` serves a tenth, and everyone after an hour.
fn started() -> World {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.plan(
        "summer",
        json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.1.0"],
        "stages": [{"name": "some", "share": "10%", "dwell": "1h"}, {"name": "all", "share": "100%"}]}),
    );
    w.ok(&World::start_command("summer"));
    w
}

#[test]
fn pausing_freezes_and_resuming_asks_what_starting_asks() {
    let mut w = started();
    let some = w.audience("checkout");
    let pause = Command::PauseRelease { name: n("summer"), environment: None, note: "looking".to_owned() };
    w.ok(&pause);
    assert!(w.ok(&pause).is_empty());
    w.pass(DAY);
    assert_eq!((w.kind("summer"), w.audience("checkout")), (CourseKind::Paused, some));
    let resume = Command::ResumeRelease { name: n("summer"), environment: None };
    w.silent.push(n("p1"));
    w.now = w.now + secs(120);
    assert_eq!(w.refused(&resume), [ReasonCode::NeedStale]);
    w.silent.clear();
    w.settle();
    w.ok(&resume);
    assert_eq!(w.stage("summer"), 1);
    w.pass(secs(3601));
    assert_eq!(w.kind("summer"), CourseKind::Exposed);
    w.ok(&pause);
    w.ok(&resume);
    assert_eq!(w.kind("summer"), CourseKind::Exposed, "resuming the last stage is being exposed");
}

#[test]
fn on_deploy_starts_once_when_all_needs_are_first_met_together() {
    let mut w = World::shop();
    w.plan(
        "summer",
        json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.1.0", "stock>=1.1.0"], "mode": "on_deploy",
        "stages": [{"name": "all", "share": "100%"}]}),
    );
    assert_eq!(w.kind("summer"), CourseKind::Armed);
    w.ship("web@1.1.0");
    assert_eq!(w.kind("summer"), CourseKind::Armed);
    w.ship("web@1.2.0");
    w.fleet = false;
    w.register("stock@1.1.0");
    w.fleet = true;
    w.deploy("stock@1.1.0", "staging");
    w.manners.insert("stock@1.1.0".to_owned(), Manner::Inconclusive);
    w.deploy("stock@1.1.0", PRODUCTION);
    assert_eq!((w.running(PRODUCTION, "stock").as_str(), w.kind("summer")), ("stock@1.1.0", CourseKind::Armed), "observed, not yet verified");
    w.manners.clear();
    w.settle();
    assert_eq!(w.kind("summer"), CourseKind::Exposed);
    w.withdraw("summer");
    w.ship("stock@1.2.0");
    w.pass(DAY);
    assert_eq!((w.kind("summer"), w.happened("release.stage_started")), (CourseKind::Withdrawn, 1), "it never fires again by itself");
}

#[test]
fn on_deploy_that_expires_is_held_by_its_owner() {
    let mut w = World::shop();
    let expires = w.now + DAY;
    w.plan(
        "summer",
        json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.1.0"], "mode": "on_deploy", "expires": expires,
        "stages": [{"name": "all", "share": "100%"}]}),
    );
    w.pass(secs(24 * 3600 + 1));
    assert_eq!(w.kind("summer"), CourseKind::Planned);
    let hold = w.state.holds.values().next().expect("held").clone();
    assert_eq!((hold.plane, hold.owner, hold.scope.release.clone()), (Plane::Release, person(ANN), Some(n("summer"))));
    w.ship("web@1.1.0");
    w.pass(DAY);
    assert_eq!(w.kind("summer"), CourseKind::Planned);
    w.ok(&World::start_command("summer"));
    assert_eq!(w.kind("summer"), CourseKind::Exposed, "a person may");
}

#[test]
fn a_schedule_is_judged_again_when_it_fires() {
    let mut w = World::shop();
    let tomorrow = w.now + DAY;
    let mut spec = summer();
    spec["mode"] = json!({ "scheduled": tomorrow });
    w.plan("summer", spec.clone());
    assert_eq!(w.kind("summer"), CourseKind::Armed);
    w.pass(secs(24 * 3600 + 1));
    assert_eq!(w.kind("summer"), CourseKind::Planned);
    let inside = &w.release("summer").environments[&n(PRODUCTION)];
    assert_eq!(inside.refused.iter().map(|r| r.code).collect::<Vec<_>>(), [ReasonCode::NeedUnmet]);
    w.ship("web@1.1.0");
    w.pass(DAY);
    assert_eq!(w.kind("summer"), CourseKind::Planned, "what was refused does not start by itself later");

    spec["mode"] = json!({"scheduled": w.now + DAY});
    w.plan("summer", spec);
    w.pass(secs(24 * 3600 - 1));
    assert_eq!(w.kind("summer"), CourseKind::Armed);
    w.pass(secs(2));
    assert_eq!((w.kind("summer"), w.stage("summer")), (CourseKind::Exposing, 1));
}

#[test]
fn holds_and_kills_stop_growth_and_what_stood_in_the_way_lets_go() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.plan(
        "summer",
        json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.1.0"],
        "stages": [{"name": "some", "share": "10%", "dwell": "1h"}, {"name": "more", "share": "20%", "dwell": "1h"}, {"name": "all", "share": "100%", "dwell": "1h"}]}),
    );
    let scope = Scope { feature: Some(key("checkout")), ..Scope::default() };
    w.ok(&Command::SetHold { scope, plane: Plane::Release, stops: Stops::Both, reason: "legal".to_owned(), expires: None });
    assert_eq!(w.refused(&World::start_command("summer")), [ReasonCode::Hold]);
    let hold = *w.state.holds.keys().next().unwrap();
    w.ok(&Command::LiftHold { id: hold });
    w.ok(&World::start_command("summer"));
    w.ok(&Command::KillFeature { feature: key("checkout"), environment: n(PRODUCTION), reason: "smells".to_owned() });
    assert_eq!(w.audience("checkout").len(), 0);
    w.pass(DAY);
    assert_eq!(w.stage("summer"), 1, "what is killed does not grow");
    w.ok(&Command::RestoreFeature { feature: key("checkout"), environment: n(PRODUCTION) });
    assert_eq!(w.stage("summer"), 2, "and goes on when it is restored");
    w.ok(&Command::SetHold { scope: Scope::default(), plane: Plane::Release, stops: Stops::Automation, reason: "weekend".to_owned(), expires: Some(w.now + DAY) });
    w.pass(secs(24 * 3600 - 1));
    assert_eq!(w.stage("summer"), 2);
    w.pass(secs(2));
    assert_eq!(w.kind("summer"), CourseKind::Exposed);
}

#[test]
fn a_cohort_that_changes_lets_people_go_at_once_and_takes_nobody_in() {
    let mut w = World::shop();
    let cohort = |users: &[&str]| vec![manifest("cohort", "friends", json!({ "users": users }))];
    w.apply(cohort(&["ida", "joe"]));
    w.plan(
        "summer",
        json!({"features": [{"key": "checkout", "variant": "on"}], "stages": [{"name": "friends", "cohort": "friends", "share": "100%"}, {"name": "all", "share": "100%"}]}),
    );
    w.ok(&World::start_command("summer"));
    let served = |w: &World| ["ida", "joe", "kim"].map(|user| w.served("checkout", user));
    assert_eq!(served(&w), ["on", "on", "off"]);
    w.apply(cohort(&["joe", "kim"]));
    assert_eq!(served(&w), ["off", "on", "off"], "nobody decided on Kim");
    w.apply(cohort(&["ida", "joe", "kim"]));
    assert_eq!(served(&w), ["on", "on", "off"]);
    assert_eq!(w.state.earlier_cohorts.len(), 1, "versions that nobody named are gone");

    // what is only planned is planned anew, and decided on anew
    w.withdraw("summer");
    w.plan("summer", serde_json::to_value(&w.release("summer").spec).unwrap());
    w.ok(&World::start_command("summer"));
    assert_eq!(served(&w), ["on", "on", "on"]);
    w.plan(
        "autumn",
        json!({"features": [{"key": "basket", "variant": "new"}], "decisions": [{"role": "approver"}], "stages": [{"name": "friends", "cohort": "friends", "share": "100%"}]}),
    );
    w.decide_as(BEN, About::Release(n("autumn")), Role::Approver, Verdict::Go);
    w.apply(cohort(&["everyone"]));
    w.ok(&World::start_command("autumn"));
    assert_eq!(w.served("basket", "everyone"), "off");
    let before = w.release("autumn").spec.clone();
    let mut again = World::shop();
    again.apply(cohort(&["ida"]));
    again.plan("autumn", serde_json::to_value(&before).unwrap());
    again.apply(cohort(&["ida", "joe"]));
    again.plan("autumn", serde_json::to_value(&before).unwrap());
    assert_eq!(again.happened("release.scope_changed"), 1, "the cohort is part of the scope");
}

#[test]
fn two_claims_on_a_feature_agree_and_closing_changes_nobody() {
    let mut w = World::shop();
    let one = |variant: &str, share: &str| json!({"features": [{"key": "basket", "variant": variant}], "stages": [{"name": "s", "share": share}]});
    w.plan("first", one("new", "50%"));
    w.plan("second", one("other", "30%"));
    w.ok(&World::start_command("first"));
    assert_eq!(w.refused(&World::start_command("second")), [ReasonCode::VariantConflict]);
    assert_eq!(w.refused(&World::plan_command("third", one("other", "10%"))), [ReasonCode::VariantConflict]);
    w.ok(&Command::CloseRelease { name: n("first"), environment: None });
    w.ok(&World::start_command("second"));
    let served = |w: &World| (0..200).map(|i| w.served("basket", &format!("user-{i}"))).collect::<Vec<_>>();
    let before = served(&w);
    assert!(before.iter().any(|v| v == "other") && before.iter().any(|v| v == "new"));
    w.ok(&Command::CloseRelease { name: n("second"), environment: None });
    assert_eq!(served(&w), before);
    w.withdraw("second");
    assert!(served(&w).iter().all(|v| v != "other"));
}

#[test]
fn what_waits_for_another_claim_goes_on_when_it_is_gone() {
    let mut w = World::shop();
    w.plan(
        "later",
        json!({"features": [{"key": "basket", "variant": "other"}], "mode": "on_deploy", "decisions": [{"role": "approver"}], "stages": [{"name": "s", "share": "100%"}]}),
    );
    w.plan("first", json!({"features": [{"key": "basket", "variant": "new"}], "stages": [{"name": "s", "share": "50%"}]}));
    w.ok(&World::start_command("first"));
    w.decide_as(BEN, About::Release(n("later")), Role::Approver, Verdict::Go);
    w.settle();
    assert_eq!(w.kind("later"), CourseKind::Armed);
    w.withdraw("first");
    assert_eq!(w.kind("later"), CourseKind::Exposed);
}

#[test]
fn an_unflagged_service_comes_and_goes_with_its_release() {
    let mut w = World::shop();
    let mut unflagged = service();
    unflagged["release"] = json!("required");
    w.apply(vec![manifest("service", "web", unflagged)]);
    w.register("web@2.0.0");
    w.plan("relaunch", json!({"services": ["web@2.0.0"], "features": [{"key": "checkout", "variant": "on"}], "stages": [{"name": "all", "share": "100%"}]}));
    let refusal = w.refusal(&World::start_command("relaunch"));
    assert!(refusal.contains("not-eligible"), "{refusal}");
    assert_eq!(w.kind("relaunch"), CourseKind::Planned, "a start that cannot deploy starts nothing");
    w.deploy("web@2.0.0", "staging");
    assert_eq!(w.refused(&World::deploy_command(&["web@2.0.0"], PRODUCTION)), [ReasonCode::NotReleased]);
    w.fleet = false;
    w.ok(&World::start_command("relaunch"));
    assert_eq!((w.stage("relaunch"), w.audience("checkout").len()), (0, 0), "its build comes first");
    w.fleet = true;
    w.settle();
    assert_eq!((w.kind("relaunch"), w.running(PRODUCTION, "web").as_str(), w.audience("checkout").len()), (CourseKind::Exposed, "web@2.0.0", 1000));

    assert_eq!(w.refused(&World::rollback_command("web")), [ReasonCode::WouldUnmet]);
    w.withdraw("relaunch");
    w.ok(&World::rollback_command("web"));
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.0.0");
    // and is not let in again by having been there
    assert_eq!(w.refused(&World::deploy_command(&["web@2.0.0"], PRODUCTION)), [ReasonCode::NotReleased]);
    assert_eq!(w.refused(&World::rollback_command("web")), [ReasonCode::NoPreviousBuild]);
}

#[test]
fn a_start_never_takes_an_unflagged_service_back_and_does_not_meet_what_its_build_does_not_reach() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.ship("web@1.2.0");
    w.plan("late", json!({"services": ["web@1.1.0"], "stages": [{"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("late"));
    assert_eq!((w.kind("late"), w.running(PRODUCTION, "web").as_str()), (CourseKind::Exposed, "web@1.2.0"));
    w.plan("torn", json!({"services": ["web@1.1.0"], "needs": ["web>=2.0.0"], "stages": [{"name": "all", "share": "100%"}]}));
    assert_eq!(w.refused(&World::start_command("torn")), [ReasonCode::NeedUnmet]);
}

#[test]
fn pausing_while_the_unflagged_build_is_on_its_way() {
    let mut w = World::shop();
    let mut unflagged = service();
    unflagged["release"] = json!("required");
    w.apply(vec![manifest("service", "web", unflagged)]);
    w.register("web@2.0.0");
    w.deploy("web@2.0.0", "staging");
    w.plan("relaunch", json!({"services": ["web@2.0.0"], "features": [{"key": "checkout", "variant": "on"}], "stages": [{"name": "all", "share": "100%"}]}));
    w.fleet = false;
    w.ok(&World::start_command("relaunch"));
    w.ok(&Command::PauseRelease { name: n("relaunch"), environment: None, note: String::new() });
    w.ok(&Command::ResumeRelease { name: n("relaunch"), environment: None });
    assert_eq!(w.stage("relaunch"), 0);
    w.ok(&Command::PauseRelease { name: n("relaunch"), environment: None, note: String::new() });
    w.fleet = true;
    w.settle();
    assert_eq!((w.kind("relaunch"), w.audience("checkout").len()), (CourseKind::Paused, 0));
    w.ok(&Command::ResumeRelease { name: n("relaunch"), environment: None });
    assert_eq!(w.kind("relaunch"), CourseKind::Exposed);
}

#[test]
fn needs_count_only_what_is_observed_healthy_verified_and_stays() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.plan("summer", summer());
    let there = place(PRODUCTION, "p1", "web");
    let good = w.runs[&there].clone();
    for (what, health, basis) in [("unhealthy", Health::Unhealthy, Basis::Observed), ("reported", Health::Healthy, Basis::Reported)] {
        let seen = Observation { health, basis, ..good.clone() };
        w.report(Report::Observed { key: there.clone(), seen });
        assert_eq!(w.refused(&World::start_command("summer")), [ReasonCode::NeedUnknown], "{what}");
    }
    w.report(Report::Observed { key: there, seen: good });
    // a rollback that has begun counts already, though the build is still there
    w.fleet = false;
    w.ok(&World::rollback_command("web"));
    assert_eq!(w.step(w.last_deployment().id), StepKind::Applying);
    assert_eq!(w.refused(&World::start_command("summer")), [ReasonCode::NeedUnknown]);
    let id = w.last_deployment().id;
    w.ok(&Command::CancelDeployment { id });
    w.fleet = true;
    w.settle();
    w.ok(&World::start_command("summer"));
    // on every placement
    w.apply(vec![manifest(
        "environment",
        PRODUCTION,
        json!({"purpose": "production", "after": ["staging"], "targets": [target(PRODUCTION, "p1", 0, 7100), target(PRODUCTION, "p2", 0, 7200)]}),
    )]);
    let seen = World::observation(&World::build_spec("web@1.0.0", &json!({})).digest(), None);
    w.runs.insert(place(PRODUCTION, "p2", "web"), seen.clone());
    w.report(Report::Observed { key: place(PRODUCTION, "p2", "web"), seen });
    assert_eq!(w.refused(&World::start_command("summer")), [ReasonCode::NeedUnmet]);
}

#[test]
fn a_build_named_under_not_meets_nothing() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    let mut spec = summer();
    spec["not"] = json!(["web@1.1.0"]);
    w.plan("summer", spec);
    assert_eq!(w.refused(&World::start_command("summer")), [ReasonCode::NeedUnmet]);
    w.ship("web@1.1.1");
    w.ok(&World::start_command("summer"));
}

#[test]
fn builds_are_ordered_by_version_by_line_and_by_registration() {
    let mut w = World::shop();
    let mut sequence = service();
    sequence["versioning"] = json!("sequence");
    w.apply(vec![manifest("service", "stock", sequence)]);
    for build in ["stock@b", "stock@a"] {
        w.register(build);
    }
    w.register_with("stock@patch", &json!({"line": "old"}));
    w.register_with("stock@patched", &json!({"line": "old", "contains": ["b"]}));
    w.plan("summer", json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["stock>=b"], "stages": [{"name": "all", "share": "100%"}]}));
    let there = place(PRODUCTION, "p1", "stock");
    for (build, meets) in [("a", true), ("patch", false), ("b", true), ("1.0.0", false), ("patched", true)] {
        let id = w.state.versions[&label(&format!("stock@{build}"))].clone();
        w.drift(&there, &id);
        w.record(&there, &n("smoke"), Outcome::Pass, None);
        let start = w.clone().attempt(&World::start_command("summer"));
        assert_eq!(start.is_ok(), meets, "{build}");
    }
}

#[test]
fn a_withdrawal_waits_for_evaluators_and_stays_open_when_partial() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.plan("summer", summer());
    w.ok(&World::start_command("summer"));
    w.evaluators = false;
    w.withdraw("summer");
    assert_eq!(w.audience("checkout").len(), 0, "published at once");
    assert!(matches!(w.course("summer"), Course::Withdrawing { partial: false, .. }));
    assert!(w.withdraw("summer").is_empty());
    w.pass(secs(33));
    assert!(matches!(w.course("summer"), Course::Withdrawing { partial: true, .. }));
    w.pass(secs(3600));
    assert_eq!((w.happened("withdrawal.partial"), w.kind("summer")), (1, CourseKind::Withdrawing));
    w.evaluators = true;
    w.settle();
    assert_eq!(w.kind("summer"), CourseKind::Withdrawn);
    // leads on only by a new plan, for the same users
    assert_eq!(w.refused(&World::start_command("summer")), [ReasonCode::WrongState]);
    let salt = w.release("summer").salt.clone();
    w.plan("summer", summer());
    assert_eq!((w.kind("summer"), &w.release("summer").salt), (CourseKind::Planned, &salt));
    w.ok(&World::start_command("summer"));
}

#[test]
fn what_cannot_simply_be_taken_back_asks_for_confirmation_and_nothing_more() {
    let mut w = World::shop();
    w.plan("summer", json!({"features": [{"key": "checkout", "variant": "on", "withdraw_safety": "one_way"}], "stages": [{"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("summer"));
    w.ok(&Command::SetHold { scope: Scope::default(), plane: Plane::Both, stops: Stops::Both, reason: "everything".to_owned(), expires: None });
    assert_eq!(w.refused(&Command::WithdrawRelease { name: n("summer"), environment: None, confirm: false, note: None }), [ReasonCode::ConfirmRequired]);
    w.ok(&Command::WithdrawRelease { name: n("summer"), environment: None, confirm: true, note: Some("sorry".to_owned()) });
}

#[test]
fn cancelling_is_for_what_has_not_started() {
    let mut w = World::shop();
    w.plan("summer", summer());
    w.ok(&Command::CancelRelease { name: n("summer") });
    assert!(w.ok(&Command::CancelRelease { name: n("summer") }).is_empty());
    assert_eq!(w.refused(&World::plan_command("summer", summer())), [ReasonCode::WrongState]);
    w.plan("autumn", json!({"features": [{"key": "checkout", "variant": "on"}], "stages": [{"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("autumn"));
    assert_eq!(w.refused(&Command::CancelRelease { name: n("autumn") }), [ReasonCode::WrongState]);
    assert_eq!(w.refused(&Command::CancelRelease { name: n("never") }), [ReasonCode::NotFound]);
}

#[test]
fn environments_of_one_release_go_their_own_ways() {
    let mut w = World::shop();
    w.apply(vec![manifest("environment", "far", json!({"purpose": "production", "after": ["staging"], "targets": [target("far", "f1", 0, 7400)]}))]);
    w.ship("web@1.1.0");
    w.plan("summer", summer());
    let there = |environment: &str| Command::StartRelease { name: n("summer"), environment: Some(n(environment)), stage: None };
    w.ok(&there(PRODUCTION));
    assert_eq!(w.refused(&there("far")), [ReasonCode::NeedUnknown]);
    // without a name: whatever can
    w.ok(&Command::PauseRelease { name: n("summer"), environment: None, note: String::new() });
    assert_eq!(w.kind("summer"), CourseKind::Paused);
    assert_eq!(w.release("summer").environments[&n("far")].course, Course::Planned);
    w.withdraw("summer");
    assert_eq!(w.kind("summer"), CourseKind::Withdrawn);
    assert_eq!(w.release("summer").environments[&n("far")].course, Course::Planned);
    assert_eq!(w.refused(&there("nowhere")), [ReasonCode::Invalid]);
}

#[test]
fn outside_production_engineers_set_baselines_and_in_production_nobody_does() {
    let mut w = World::shop();
    let set =
        |environment: &str, variant: &str| Command::SetBaseline { feature: key("basket"), environment: n(environment), rules: None, variant: Some(crate::world::variant(variant)) };
    let events = w.ok(&set("staging", "new"));
    assert!(matches!(events.as_slice(), [Event::BaselineSet(_)]));
    assert!(w.ok(&set("staging", "new")).is_empty());
    assert_eq!(w.refused(&set(PRODUCTION, "new")), [ReasonCode::NotReleased]);
    assert_eq!(w.refused(&set("staging", "nothing")), [ReasonCode::Invalid]);
    assert_eq!(w.refused(&Command::SetBaseline { feature: key("none"), environment: n("staging"), rules: None, variant: Some(variant("new")) }), [ReasonCode::NotFound]);
}

#[test]
fn a_plan_that_cannot_be_is_refused_with_every_place() {
    let mut w = World::shop();
    let refusal = w
        .attempt(&World::plan_command(
            "summer",
            json!({
                "features": [{"key": "none", "variant": "on"}, {"key": "checkout", "variant": "purple"}, {"key": "basket", "variant": "off"}],
                "needs": ["nothing>=1.0.0"], "environments": ["nowhere"], "mode": {"scheduled": w.now},
                "decisions": [{"role": "approver", "quorum": 0}],
                "stages": [{"name": "a", "share": "50%"}, {"name": "a", "share": "20%"}, {"name": "b", "cohort": "nobody", "share": "100%"}],
            }),
        ))
        .unwrap_err();
    let mut said: Vec<_> = refusal.reasons.iter().map(|r| (r.path.clone().unwrap(), r.code)).collect();
    said.sort();
    let expected = [
        ("spec.decisions[0].quorum", ReasonCode::Invalid),
        ("spec.environments[0]", ReasonCode::UnknownReference),
        ("spec.features[0].key", ReasonCode::UnknownReference),
        ("spec.features[1].variant", ReasonCode::UnknownReference),
        ("spec.features[2].variant", ReasonCode::Invalid),
        ("spec.mode.scheduled", ReasonCode::InThePast),
        ("spec.needs[0]", ReasonCode::UnknownReference),
        ("spec.stages[1].name", ReasonCode::Invalid),
        ("spec.stages[1].share", ReasonCode::Shrinks),
        ("spec.stages[2].cohort", ReasonCode::UnknownReference),
    ];
    assert_eq!(said, expected.map(|(path, code)| (path.to_owned(), code)));
    assert!(refusal.reasons.iter().all(|r| !r.remedy.is_empty() && r.subject == "release/summer"));
    assert!(w.state.releases.is_empty());
    assert_eq!(w.refused(&World::plan_command("summer", json!({"services": ["web@9.9.9"], "stages": []}))), [ReasonCode::NotFound]);
}

#[test]
fn shares_over_the_whole_do_not_even_parse() {
    let spec = json!({"features": [{"key": "checkout", "variant": "on"}], "stages": [{"name": "all", "share": "101%"}]});
    let error = serde_json::from_value::<greenroom_domain::release::plan::ReleaseSpec>(spec).unwrap_err().to_string();
    assert!(error.contains("`101%` is not a share: use 0% to 100%"), "{error}");
}

/// The shop with a second production environment, `web@1.1.0` in both.
fn near_and_far() -> World {
    let mut w = World::shop();
    w.apply(vec![manifest("environment", "far", json!({"purpose": "production", "after": ["staging"], "targets": [target("far", "f1", 0, 7400)]}))]);
    w.ship("web@1.1.0");
    w
}

fn armed(w: &World, environment: &str) -> bool {
    w.release("summer").environments[&n(environment)].course == Course::Armed
}

#[test]
fn what_is_stopped_in_one_place_does_not_start_by_itself_in_another() {
    for pause in [false, true] {
        let mut w = near_and_far();
        let mut spec = summer();
        spec["mode"] = json!("on_deploy");
        w.plan("summer", spec);
        assert_eq!((w.kind("summer"), armed(&w, "far")), (CourseKind::Exposing, true));
        let stop = match pause {
            true => Command::PauseRelease { name: n("summer"), environment: None, note: String::new() },
            false => Command::WithdrawRelease { name: n("summer"), environment: None, confirm: false, note: None },
        };
        w.ok(&stop);
        assert_eq!(w.kind("summer"), if pause { CourseKind::Paused } else { CourseKind::Withdrawn });
        w.deploy("web@1.1.0", "far");
        w.pass(DAY);
        let far = w.release("summer").environments[&n("far")].clone();
        assert_eq!((far.course, far.refused.iter().map(|r| r.code).collect::<Vec<_>>()), (Course::Planned, vec![ReasonCode::Hold]));
        w.ok(&Command::StartRelease { name: n("summer"), environment: Some(n("far")), stage: None });
    }
}

#[test]
fn starting_begins_before_it_grows_and_a_stage_that_is_named_is_the_next() {
    let mut w = near_and_far();
    w.deploy("web@1.1.0", "far");
    w.plan("summer", summer());
    let start = |environment: Option<&str>, stage| Command::StartRelease { name: n("summer"), environment: environment.map(n), stage };
    let stages = |w: &World| {
        let stage = |e: &str| match w.release("summer").environments[&n(e)].course {
            Course::Exposing { stage, .. } => stage,
            Course::Exposed { .. } => 2,
            _ => 0,
        };
        (stage(PRODUCTION), stage("far"))
    };
    assert_eq!(w.refused(&start(None, Some(2))), [ReasonCode::WrongState]);
    w.ok(&start(Some(PRODUCTION), Some(1)));
    assert_eq!(w.refused(&start(Some(PRODUCTION), Some(1))), [ReasonCode::WrongState], "asked twice, it goes one step");
    w.ok(&start(None, None));
    assert_eq!(stages(&w), (1, 1), "it begins where it has not, and grows nowhere");
    w.ok(&start(Some("far"), Some(2)));
    w.ok(&start(None, Some(2)));
    assert_eq!(stages(&w), (2, 2));
}

#[test]
fn lifting_a_kill_asks_for_what_started_under_it_too() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    let staged =
        json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.1.0"], "decisions": [{"role": "approver"}], "stages": [{"name": "all", "share": "100%"}]});
    w.plan("summer", staged);
    w.decide_as(BEN, About::Release(n("summer")), Role::Approver, Verdict::Go);
    w.ok(&World::start_command("summer"));
    // a kill that says it silenced nobody
    let reason = greenroom_domain::sealed::Sealed(digest("smells"));
    let event = greenroom_domain::event::FeatureKilled {
        feature: key("checkout"),
        environment: n(PRODUCTION),
        silenced: Vec::new(),
        deadline: None,
        share: greenroom_domain::time::Share::ALL,
        reason,
    };
    let killed = Recorded { seq: w.state.seq + 1, at: w.now, actor: person(ANN), event: event.into() };
    w.state.apply(&killed);
    w.ledger.push(killed);
    w.pass(secs(8 * 24 * 3600));
    let restore = Command::RestoreFeature { feature: key("checkout"), environment: n(PRODUCTION) };
    assert_eq!(w.refused(&restore), [ReasonCode::DecisionMissing]);
    w.decide_as(BEN, About::Release(n("summer")), Role::Approver, Verdict::Go);
    w.ok(&restore);
}

#[test]
fn what_a_closed_release_serves_is_in_no_claims_way_when_a_kill_is_lifted() {
    let mut w = World::shop();
    let one = |variant: &str| json!({"features": [{"key": "basket", "variant": variant}], "stages": [{"name": "s", "share": "50%"}]});
    w.plan("first", one("new"));
    w.ok(&World::start_command("first"));
    w.ok(&Command::CloseRelease { name: n("first"), environment: None });
    w.plan("second", one("other"));
    w.ok(&World::start_command("second"));
    w.ok(&Command::KillFeature { feature: key("basket"), environment: n(PRODUCTION), reason: String::new() });
    w.ok(&Command::RestoreFeature { feature: key("basket"), environment: n(PRODUCTION) });
}

#[test]
fn what_no_need_looks_at_cannot_be_ruled_out_and_one_service_has_one_build() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    w.register("web@1.2.0");
    let all = json!([{"name": "all", "share": "100%"}]);
    let refusal = w
        .attempt(&World::plan_command(
            "summer",
            json!({"features": [{"key": "checkout", "variant": "on"}], "services": ["web@1.1.0", "web@1.2.0"], "not": ["stock@1.0.0", "nothing@1", "web@1.3.0"], "stages": all}),
        ))
        .unwrap_err();
    let said: Vec<_> = refusal.reasons.iter().map(|r| (r.path.as_deref().unwrap(), r.code)).collect();
    assert_eq!(said, [("spec.services[1]", ReasonCode::Invalid), ("spec.not[0]", ReasonCode::Invalid), ("spec.not[1]", ReasonCode::UnknownReference)]);
    assert!(refusal.reasons[1].remedy.contains("stock>=VERSION"));
}

#[test]
fn a_build_is_verified_on_each_target_of_its_own() {
    let mut w = World::shop();
    let targets = json!([target(PRODUCTION, "p1", 0, 7100), target(PRODUCTION, "p2", 1, 7200)]);
    w.apply(vec![manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "targets": targets}))]);
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    w.plan("summer", summer());
    w.fleet = false;
    let id = w.deploy("web@1.1.0", PRODUCTION);
    for _ in 0..20 {
        if w.rollouts(id)[1].step.kind() == StepKind::Verifying {
            break;
        }
        w.work();
        w.tick();
    }
    assert_eq!(w.rollouts(id).iter().map(|r| r.step.kind()).collect::<Vec<_>>(), [StepKind::Live, StepKind::Verifying]);
    w.look();
    let refusal = w.refusal(&World::start_command("summer"));
    assert!(refusal.contains("need-unknown") && refusal.contains("p2"), "{refusal}");
    w.fleet = true;
    w.settle();
    w.ok(&World::start_command("summer"));
}

#[test]
fn a_target_where_nothing_was_ever_seen_is_no_ground_to_show_anything() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.plan("summer", summer());
    let wide = |more: &[Value]| {
        let targets: Vec<_> = [target(PRODUCTION, "p1", 0, 7100)].into_iter().chain(more.iter().cloned()).collect();
        manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "targets": targets}))
    };
    w.apply(vec![wide(&[target(PRODUCTION, "p2", 0, 7200)])]);
    let refusal = w.refusal(&World::start_command("summer"));
    assert!(refusal.contains("need-unknown: needs `web>=1.1.0` in `production`: nothing of `web` was ever observed on `p2`"), "{refusal}");
    // a target that is not for it does not count
    let mut other = target(PRODUCTION, "p2", 0, 7200);
    other["services"] = json!(["stock"]);
    let mut apart = w.clone();
    apart.apply(vec![wide(&[other])]);
    apart.ok(&World::start_command("summer"));
    w.deploy("web@1.1.0", PRODUCTION);
    w.ok(&World::start_command("summer"));
    // one that comes later stops growth, and takes nothing away
    w.apply(vec![wide(&[target(PRODUCTION, "p2", 0, 7200), target(PRODUCTION, "p3", 0, 7300)])]);
    w.pass(MINUTE);
    assert_eq!(w.kind("summer"), CourseKind::Exposing);
    assert_eq!(w.refused(&World::start_command("summer")), [ReasonCode::NeedUnknown]);
}

#[test]
fn what_was_due_while_nobody_had_looked_waits_a_little() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    let mut spec = summer();
    spec["mode"] = json!({"scheduled": w.now + DAY});
    w.plan("summer", spec);
    w.fleet = false;
    w.seen.clear();
    w.now = w.now + secs(24 * 3600 + 100);
    w.tick();
    assert_eq!(w.kind("summer"), CourseKind::Armed, "it has just come up");
    let mut blind = w.clone();
    blind.pass(secs(30));
    assert_eq!((blind.kind("summer"), blind.release("summer").environments[&n(PRODUCTION)].refused[0].code), (CourseKind::Planned, ReasonCode::NeedStale));
    w.fleet = true;
    w.settle();
    assert_eq!(w.kind("summer"), CourseKind::Exposing);
}

#[test]
fn a_stage_that_was_due_and_refused_says_so_once() {
    let mut w = started();
    w.ok(&Command::SetHold { scope: Scope::default(), plane: Plane::Release, stops: Stops::Automation, reason: "weekend".to_owned(), expires: None });
    w.pass(secs(3601));
    w.ship("web@1.2.0");
    w.pass(DAY);
    assert_eq!((w.stage("summer"), w.happened("release.refused")), (1, 1));
    assert_eq!(w.release("summer").environments[&n(PRODUCTION)].refused[0].code, ReasonCode::Hold);
    let hold = *w.state.holds.keys().next().unwrap();
    w.ok(&Command::LiftHold { id: hold });
    assert_eq!(w.kind("summer"), CourseKind::Exposed);
    assert!(w.release("summer").environments[&n(PRODUCTION)].refused.is_empty());
}
