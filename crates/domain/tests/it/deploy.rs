//! Builds on their way through environments.

use greenroom_domain::command::{Command, Report};
use greenroom_domain::decision::{About, Verdict};
use greenroom_domain::deployment::check::{Outcome, checks_pass};
use greenroom_domain::deployment::deployment::Motive;
use greenroom_domain::deployment::placement::{Basis, Health, Observation};
use greenroom_domain::deployment::rollout::{Rollout, Step, StepKind};
use greenroom_domain::event::Event;
use greenroom_domain::few::Few;
use greenroom_domain::hold::{Plane, Scope, Stops};
use greenroom_domain::refusal::ReasonCode;
use greenroom_domain::role::Role;
use serde_json::json;

use crate::world::*;

/// The shop with rules for entering production.
fn with_rules(rules: &serde_json::Value) -> World {
    let mut w = World::shop();
    w.apply(vec![manifest("policy", "production", json!({ "rules": rules }))]);
    w
}

#[test]
fn a_build_reaches_production_only_through_staging() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    assert_eq!(w.refused(&World::deploy_command(&["web@1.1.0"], PRODUCTION)), [ReasonCode::NotEligible]);
    w.deploy("web@1.1.0", "staging");
    w.deploy("web@1.1.0", PRODUCTION);
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.1.0");
    let p = &w.state.placements[&place(PRODUCTION, "p1", "web")];
    assert_eq!(p.stable, p.desired);
    assert_ne!(p.previous, p.stable);
    assert!(p.active.is_none());
}

#[test]
fn what_was_verified_upstream_stays_eligible_when_staging_moves_on() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    w.deploy("web@1.1.0", PRODUCTION);
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.1.0");
}

#[test]
fn soak_waits_without_interruption_and_cannot_be_slipped_past() {
    let mut w = with_rules(&json!([{"soak": "1h"}]));
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    let id = w.deploy("web@1.1.0", PRODUCTION);
    assert_eq!(w.reasons(id), [ReasonCode::Soak]);
    w.pass(secs(3599));
    assert_eq!(w.step(id), StepKind::Waiting);
    w.pass(secs(2));
    assert_eq!(w.step(id), StepKind::Live);

    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    w.register("web@1.3.0");
    w.deploy("web@1.3.0", "staging");
    // it has left staging before its hour was over
    assert_eq!(w.refused(&World::deploy_command(&["web@1.2.0"], PRODUCTION)), [ReasonCode::Soak]);

    w.pass(secs(3000));
    let there = place("staging", "s1", "web");
    let (good, other) = (w.runs[&there].serving.keys().next().unwrap().clone(), digest("someone's own"));
    w.drift(&there, &other);
    w.drift(&there, &good);
    let id = w.deploy("web@1.3.0", PRODUCTION);
    w.pass(secs(3000));
    assert_eq!(w.reasons(id), [ReasonCode::Soak], "the hour began anew");
    w.pass(secs(601));
    assert_eq!(w.step(id), StepKind::Live);
}

#[test]
fn a_failed_try_elsewhere_does_not_unverify_what_goes_on_running() {
    let mut w = with_rules(&json!([{"soak": "1h"}]));
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    w.pass(secs(3000));
    w.manners.insert("web@1.2.0".to_owned(), Manner::NeverReady);
    w.register("web@1.2.0");
    let id = w.deploy("web@1.2.0", "staging");
    assert_eq!(w.step(id), StepKind::RolledBack);
    w.pass(secs(600));
    w.deploy("web@1.1.0", PRODUCTION);
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.1.0", "an hour of soak has passed");
}

#[test]
fn data_must_be_fresh_and_a_build_must_name_its_commit() {
    let mut checked = service();
    checked["checks"].as_array_mut().unwrap().push(json!({"name": "refresh", "kind": "data_refresh", "purposes": ["preview"], "run": {"http": {"path": "/"}}}));
    let mut w = with_rules(&json!([{"data_refresh": "1d"}, {"provenance": "commit"}]));
    w.apply(vec![manifest("service", "web", checked)]);
    w.register_with("web@1.1.0", &json!({"commit": null}));
    w.deploy("web@1.1.0", "staging");
    assert_eq!(w.refused(&World::deploy_command(&["web@1.1.0"], PRODUCTION)), [ReasonCode::Provenance]);
    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    let id = w.deploy("web@1.2.0", PRODUCTION);
    assert_eq!(w.reasons(id), [ReasonCode::DataRefresh]);
    w.record(&place("staging", "s1", "web"), &n("refresh"), Outcome::Pass, None);
    w.settle();
    assert_eq!(w.step(id), StepKind::Live);
}

#[test]
fn evidence_is_asked_for_and_an_error_is_not_a_pass() {
    let mut w = World::shop();
    w.manners.insert("web@1.1.0".to_owned(), Manner::Inconclusive);
    w.register("web@1.1.0");
    let id = w.deploy("web@1.1.0", "staging");
    assert_eq!(w.step(id), StepKind::Verifying);
    assert_eq!(w.refused(&World::deploy_command(&["web@1.1.0"], PRODUCTION)), [ReasonCode::NotEligible]);
    w.pass(secs(301));
    assert_eq!(w.step(id), StepKind::Failed, "not judged before the deadline");
    // a verdict is not unsaid by a later one that could not be had
    w.deploy("stock@1.0.0", "staging");
    let there = place("staging", "s1", "stock");
    w.record(&there, &n("real"), Outcome::Error, None);
    assert!(checks_pass(&w.state, &n("staging"), &n("stock"), w.runs[&there].serving.keys().next().unwrap()));
}

#[test]
fn a_check_of_what_changed_meanwhile_judges_nothing() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    let there = place("staging", "s1", "web");
    let old = w.state.observed_set(&n("staging"));
    w.deploy("web@1.1.0", "staging");
    let rollout = w.rollouts(w.last_deployment().id)[0].id;
    let record = |outcome| {
        Command::RecordCheck(greenroom_domain::command::RecordCheck {
            id: None,
            environment: n("staging"),
            service: n("web"),
            check: n("real"),
            outcome,
            summary: "late".to_owned(),
            set: old.clone(),
            rollout: Some(rollout),
            evidence: Vec::new(),
            requirements: Vec::new(),
        })
    };
    let before = checks_pass(&w.state, &n("staging"), &n("web"), &old[&n("web")]);
    w.ok(&record(Outcome::Pass));
    assert!(before && checks_pass(&w.state, &n("staging"), &n("web"), &old[&n("web")]), "the old build keeps its verdict");
    w.fleet = false;
    w.register("web@1.2.0");
    let id = w.deploy("web@1.2.0", "staging");
    w.work();
    w.work();
    assert_eq!(w.step(id), StepKind::Verifying);
    w.ok(&record(Outcome::Fail));
    assert_eq!((w.step(id), w.running("staging", "web").as_str()), (StepKind::Verifying, "web@1.2.0"), "a verdict on another build fails nobody");
    assert!(w.state.observed_set(&n("staging")).contains_key(&there.service));
}

#[test]
fn targets_verified_side_by_side_each_have_their_own_verdicts() {
    let mut w = World::shop();
    let targets = json!([target(PRODUCTION, "p1", 0, 7100), target(PRODUCTION, "p2", 0, 7200)]);
    w.apply(vec![manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "policies": ["production"], "targets": targets}))]);
    let check = |name: &str| json!({"name": name, "kind": "smoke", "purposes": ["production"], "run": {"http": {"path": "/"}}});
    let mut spec = service();
    spec["checks"].as_array_mut().unwrap().push(check("second"));
    w.apply(vec![manifest("service", "web", spec)]);
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    w.fleet = false;
    let id = w.deploy("web@1.1.0", PRODUCTION);
    w.work();
    w.work();
    let rollouts = w.rollouts(id);
    let [one, two] = &rollouts[..] else { panic!("two targets") };
    let say = |w: &mut World, r: &Rollout, check: &str, outcome| w.record(&r.key, &n(check), outcome, Some(r.id)).len();
    // neither unsays what the other was found to be, nor says it again
    assert_eq!(say(&mut w, one, "smoke", Outcome::Pass), 1);
    assert_eq!(say(&mut w, two, "smoke", Outcome::Pass), 1);
    for _ in 0..3 {
        say(&mut w, one, "second", Outcome::Inconclusive);
        say(&mut w, two, "second", Outcome::Error);
    }
    assert_eq!(w.ledger.iter().filter(|r| matches!(&r.event, Event::CheckRecorded(e) if e.result.name.as_str() == "second")).count(), 2);
    say(&mut w, one, "second", Outcome::Pass);
    assert_eq!(w.rollouts(id).iter().map(|r| r.step.kind()).collect::<Vec<_>>(), [StepKind::Live, StepKind::Verifying]);
    // somebody puts another build there: whatever is found of that says nothing about this one, and says it once
    w.fleet = false;
    w.drift(&two.key, &World::build_spec("web@1.0.0", &json!({})).digest());
    for _ in 0..3 {
        say(&mut w, two, "second", Outcome::Fail);
    }
    assert_eq!(w.rollouts(id)[1].step.kind(), StepKind::Verifying);
    assert!(!w.rollouts(id)[1].checks.get(&n("second")).unwrap().outcome.judged());
    // nothing that answers at all is a verdict
    w.runs.insert(two.key.clone(), Observation { serving: Few::default(), config: None, op: None, health: Health::Down, basis: Basis::Observed });
    let seen = w.runs[&two.key].clone();
    w.report(Report::Observed { key: two.key.clone(), seen });
    say(&mut w, two, "second", Outcome::Fail);
    assert_eq!(w.rollouts(id)[1].step.kind(), StepKind::Failed);
}

#[test]
fn waves_go_one_after_another_and_stop_at_the_first_failure() {
    let mut w = World::shop();
    let targets = json!([target(PRODUCTION, "p1", 0, 7100), target(PRODUCTION, "p2", 1, 7200), target(PRODUCTION, "p3", 1, 7300)]);
    w.apply(vec![manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "policies": ["production"], "targets": targets}))]);
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    w.fleet = false;
    let id = w.deploy("web@1.1.0", PRODUCTION);
    let steps = |w: &World| w.rollouts(id).iter().map(|r| r.step.kind()).collect::<Vec<_>>();
    assert_eq!(steps(&w), [StepKind::Applying, StepKind::Waiting, StepKind::Waiting]);
    w.fleet = true;
    w.settle();
    assert_eq!(steps(&w), [StepKind::Live; 3]);

    w.manners.insert("web@1.2.0".to_owned(), Manner::NeverReady);
    w.register("web@1.2.0");
    w.manners.insert("web@1.2.0".to_owned(), Manner::Good);
    w.deploy("web@1.2.0", "staging");
    w.manners.insert("web@1.2.0".to_owned(), Manner::NeverReady);
    let id = w.deploy("web@1.2.0", PRODUCTION);
    let steps: Vec<_> = w.rollouts(id).iter().map(|r| r.step.kind()).collect();
    assert_eq!(steps, [StepKind::RolledBack, StepKind::Cancelled, StepKind::Cancelled], "nobody waits for ever for a wave that failed");
    assert_eq!(w.state.observed_set(&n(PRODUCTION))[&n("web")], World::build_spec("web@1.1.0", &json!({})).digest());
}

#[test]
fn a_failed_check_in_the_second_wave_brings_the_first_back_too() {
    let mut w = World::shop();
    let targets = json!([target(PRODUCTION, "p1", 0, 7100), target(PRODUCTION, "p2", 1, 7200), target(PRODUCTION, "p3", 2, 7300)]);
    w.apply(vec![manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "targets": targets}))]);
    w.ship("web@1.1.0");
    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    w.fleet = false;
    let id = w.deploy("web@1.2.0", PRODUCTION);
    for _ in 0..20 {
        if w.rollouts(id)[1].step.kind() == StepKind::Verifying {
            break;
        }
        w.work();
        w.tick();
    }
    w.manners.insert("web@1.2.0".to_owned(), Manner::CheckFails);
    w.fleet = true;
    w.settle();
    let steps: Vec<_> = w.rollouts(id).iter().map(|r| r.step.kind()).collect();
    assert_eq!(steps, [StepKind::Live, StepKind::Failed, StepKind::Cancelled]);
    let back = w.last_deployment();
    assert_eq!((back.undoes, back.motive), (Some(id), Motive::Rollback));
    let places: Vec<_> = w.rollouts(back.id).iter().map(|r| r.key.target.to_string()).collect();
    assert_eq!(places, ["p1", "p2"], "the third was never changed");
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.1.0");
}

#[test]
fn newer_requests_overtake_waiting_ones_and_wait_for_those_under_way() {
    let mut w = with_rules(&json!([{"soak": "1h"}]));
    for build in ["web@1.1.0", "web@1.2.0"] {
        w.register(build);
        w.deploy(build, "staging");
    }
    let waiting = w.deploy("web@1.2.0", PRODUCTION);
    assert_eq!(w.step(waiting), StepKind::Waiting);
    assert_ne!(w.state.placements[&place(PRODUCTION, "p1", "web")].desired.as_ref().unwrap().build, w.rollouts(waiting)[0].build, "nothing is wanted before it may start");
    w.apply(vec![manifest("policy", "production", json!({"rules": [{"soak": "2h"}]}))]);
    let newer = w.deploy("web@1.2.0", PRODUCTION);
    assert_eq!((w.step(waiting), w.step(newer)), (StepKind::Superseded, StepKind::Waiting));
    w.fleet = false;
    w.pass(secs(7201));
    assert_eq!(w.step(newer), StepKind::Applying);
    let third = w.deploy("web@1.2.0", PRODUCTION);
    assert_eq!(w.reasons(third), [ReasonCode::Busy]);
    w.fleet = true;
    w.settle();
    assert_eq!((w.step(newer), w.step(third)), (StepKind::Live, StepKind::Live));
}

/// What was never tried has proved nothing: a taken port or a full disk is no verdict on a build.
#[test]
fn only_a_verdict_on_the_build_quarantines_it_and_a_person_may_clear_it() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    let build = |w: &World| w.state.build(&label("web@1.1.0")).unwrap().quarantined.clone();
    w.fleet = false;
    for blamed in [false, true] {
        let id = w.deploy("web@1.1.0", "staging");
        let r = w.rollouts(id)[0].clone();
        let seen = w.runs[&r.key].clone();
        w.report(Report::TakenBack { op: r.op(), why: "the port is taken".to_owned(), blamed, seen });
        assert_eq!((w.step(id), build(&w).is_some()), (StepKind::RolledBack, blamed));
    }
    assert_eq!(w.refused(&World::deploy_command(&["web@1.1.0"], "staging")), [ReasonCode::Quarantined]);
    let clear = Command::ClearBuild { build: label("web@1.1.0"), note: Some("it was the port".to_owned()) };
    assert!(matches!(w.ok(&clear).as_slice(), [Event::BuildCleared(_)]));
    assert_eq!((build(&w), w.ok(&clear).len()), (None, 0), "again it changes nothing");
    let id = w.deploy("web@1.1.0", "staging");
    let r = w.rollouts(id)[0].clone();
    w.report(Report::Failed { op: r.op(), why: "no such file".to_owned() });
    assert_eq!((w.step(id), build(&w)), (StepKind::Failed, None));
    assert_eq!(w.refused(&Command::ClearBuild { build: label("web@9.0.0"), note: None }), [ReasonCode::NotFound]);
}

#[test]
fn cancelling_ends_when_it_is_seen_and_blames_nobody() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    w.fleet = false;
    let id = w.deploy("web@1.1.0", "staging");
    w.ok(&Command::CancelDeployment { id });
    w.ok(&Command::CancelDeployment { id });
    assert_eq!(w.step(id), StepKind::Applying, "not over before it is seen to be");
    let r = w.rollouts(id)[0].clone();
    w.report(Report::Applied { op: r.op() });
    let seen = w.runs[&r.key].clone();
    w.report(Report::TakenBack { op: r.op(), why: "asked to".to_owned(), blamed: true, seen });
    assert_eq!(w.step(id), StepKind::Cancelled);
    assert!(w.state.builds[&r.build].quarantined.is_none());
    assert_eq!(w.refused(&Command::CancelDeployment { id }), [ReasonCode::WrongState]);
    let waiting = {
        w.ok(&Command::SetHold { scope: Scope::default(), plane: Plane::Deploy, stops: Stops::People, reason: "freeze".to_owned(), expires: None });
        w.deploy("web@1.1.0", "staging")
    };
    let wanted = w.state.placements[&r.key].desired.clone();
    w.ok(&Command::CancelDeployment { id: waiting });
    assert_eq!(w.step(waiting), StepKind::Cancelled);
    assert_eq!(w.state.placements[&r.key].desired, wanted);
    assert_eq!(wanted.unwrap().build, w.runs[&r.key].serving.keys().next().unwrap().clone());
}

#[test]
fn silence_is_unknown_keeps_the_lock_and_is_left_by_an_observation() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    w.manners.insert("web@1.1.0".to_owned(), Manner::Silent);
    let id = w.deploy("web@1.1.0", "staging");
    assert_eq!(w.step(id), StepKind::Observing);
    w.silent.push(n("s1"));
    w.pass(secs(120));
    assert_eq!(w.step(id), StepKind::Unknown);
    let next = w.deploy("web@1.1.0", "staging");
    assert_eq!(w.reasons(next), [ReasonCode::Busy]);
    w.silent.clear();
    w.manners.clear();
    w.settle();
    assert_eq!((w.step(id), w.step(next)), (StepKind::Live, StepKind::Live));
}

#[test]
fn what_answers_again_half_way_goes_on_where_it_stands() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    w.manners.insert("web@1.1.0".to_owned(), Manner::Silent);
    let id = w.deploy("web@1.1.0", "staging");
    let op = w.rollouts(id)[0].op();
    w.report(Report::Lost { op, why: "no answer".to_owned() });
    assert_eq!(w.step(id), StepKind::Unknown);
    w.report(Report::Applied { op });
    assert!(matches!(w.rollouts(id)[0].step, Step::Observing { deadline } if deadline > w.now));
}

#[test]
fn a_person_may_give_up_on_what_nobody_knows() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    w.manners.insert("web@1.1.0".to_owned(), Manner::Silent);
    let id = w.deploy("web@1.1.0", "staging");
    let rollout = w.rollouts(id)[0].id;
    assert_eq!(w.refused(&Command::AbandonRollout { id: rollout }), [ReasonCode::WrongState]);
    w.silent.push(n("s1"));
    w.pass(secs(120));
    w.ok(&Command::AbandonRollout { id: rollout });
    assert_eq!(w.step(id), StepKind::Failed);
    assert!(w.state.placements[&place("staging", "s1", "web")].active.is_none());
}

#[test]
fn repeated_late_and_foreign_reports_change_nothing_twice() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    let id = w.deploy("web@1.1.0", "staging");
    let r = w.rollouts(id)[0].clone();
    let seen = w.runs[&r.key].clone();
    for report in [
        Report::Applied { op: r.op() },
        Report::Settled { op: r.op(), seen: seen.clone() },
        Report::Failed { op: r.op(), why: "late".to_owned() },
        Report::TakenBack { op: r.op(), why: "late".to_owned(), blamed: true, seen: seen.clone() },
        Report::Lost { op: r.op(), why: "late".to_owned() },
        Report::Stopped { op: r.op() },
        Report::Overtaken { op: r.op(), why: "late".to_owned() },
        Report::Observed { key: r.key.clone(), seen: seen.clone() },
        Report::Contact { key: r.key.clone() },
        Report::Observed { key: place("staging", "nowhere", "web"), seen },
    ] {
        assert_eq!(w.report(report.clone()), [], "{report:?}");
    }
}

#[test]
fn an_idle_fleet_writes_nothing() {
    let mut w = World::shop();
    w.pass(secs(40 * 24 * 3600));
    let before = w.state.seq;
    for _ in 0..100 {
        w.now = w.now + MINUTE;
        let all: Vec<_> = w.runs.clone().into_iter().collect();
        for (key, seen) in all {
            w.report(Report::Observed { key, seen });
        }
        w.settle();
    }
    assert_eq!(w.state.seq, before);
}

#[test]
fn several_builds_go_together_and_requirements_order_them() {
    let mut w = World::shop();
    w.register("stock@2.0.0");
    w.register_with("web@2.0.0", &json!({"requires": ["stock>=2.0.0"]}));
    w.fleet = false;
    w.ok(&World::deploy_command(&["web@2.0.0", "stock@2.0.0"], "staging"));
    let id = w.last_deployment().id;
    assert_eq!(w.reasons(id), [ReasonCode::Requires]);
    w.fleet = true;
    w.settle();
    assert_eq!(w.step(id), StepKind::Live);
    assert_eq!(w.refused(&World::deploy_command(&["web@2.0.0", "web@1.0.0"], "staging")), [ReasonCode::Invalid]);
    assert_eq!(w.refused(&World::deploy_command(&[], "staging")), [ReasonCode::Invalid]);
}

/// Production on two targets, one after the other.
fn two_waves(w: &mut World) {
    let targets = json!([target(PRODUCTION, "p1", 0, 7100), target(PRODUCTION, "p2", 1, 7200)]);
    w.apply(vec![manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "policies": ["production"], "targets": targets}))]);
}

#[test]
fn what_others_of_an_earlier_wave_require_goes_before_them() {
    let mut w = World::shop();
    two_waves(&mut w);
    w.apply(vec![manifest("service", "store", service())]);
    for build in ["stock@1.1.0", "web@1.1.0"] {
        w.ship(build);
    }
    w.register("stock@2.0.0");
    w.register_with("web@2.0.0", &json!({"requires": ["stock>=2.0.0"]}));
    w.ok(&World::deploy_command(&["web@2.0.0", "stock@2.0.0"], "staging"));
    w.fleet = false;
    w.ok(&World::deploy_command(&["web@2.0.0", "stock@2.0.0"], PRODUCTION));
    let id = w.last_deployment().id;
    let place = |r: &Rollout| format!("{}@{}", r.key.service, r.key.target);
    let applying = |w: &World| w.rollouts(id).iter().filter(|r| r.step.kind() == StepKind::Applying).map(|r| place(r)).collect::<Vec<_>>();
    assert_eq!(applying(&w), ["stock@p1"]);
    w.fleet = true;
    w.settle();
    assert_eq!(w.step(id), StepKind::Live, "{:?}", w.last_steps());
    let order: Vec<String> = w
        .ledger
        .iter()
        .filter_map(|r| {
            if let Event::RolloutMoved(e) = &r.event { (e.deployment == id && e.to.kind() == StepKind::Live).then(|| format!("{}@{}", e.key.service, e.key.target)) } else { None }
        })
        .collect();
    assert_eq!(order, ["stock@p1", "stock@p2", "web@p1", "web@p2"]);
}

#[test]
fn nothing_goes_back_under_what_requires_it() {
    let mut w = World::shop();
    w.register("stock@2.0.0");
    w.register_with("web@2.0.0", &json!({"requires": ["stock>=2.0.0"]}));
    w.ok(&World::deploy_command(&["web@2.0.0", "stock@2.0.0"], "staging"));
    w.ok(&World::deploy_command(&["web@2.0.0", "stock@2.0.0"], PRODUCTION));
    for back in [World::rollback_command("stock"), World::deploy_command(&["stock@1.0.0"], PRODUCTION)] {
        let refusal = w.refusal(&back);
        assert!(refusal.starts_with("requires: `web@2.0.0` serves in `production` and requires `stock>=2.0.0`"), "{refusal}");
    }
    // both together: first who requires, then what was required
    w.fleet = false;
    w.ok(&World::deploy_command(&["stock@1.0.0", "web@1.0.0"], PRODUCTION));
    let id = w.last_deployment().id;
    let steps: Vec<_> = w.rollouts(id).iter().map(|r| (r.key.service.to_string(), r.step.kind())).collect();
    assert_eq!(steps, [("stock".to_owned(), StepKind::Waiting), ("web".to_owned(), StepKind::Applying)]);
    w.fleet = true;
    w.settle();
    assert_eq!((w.running(PRODUCTION, "stock").as_str(), w.running(PRODUCTION, "web").as_str()), ("stock@1.0.0", "web@1.0.0"));
    // an emergency asks nobody
    w.ok(&World::deploy_command(&["web@2.0.0", "stock@2.0.0"], PRODUCTION));
    w.ok(&Command::Rollback { environment: n(PRODUCTION), service: n("stock"), to: None, withdraw_first: false, emergency: true, note: None });
    assert_eq!(w.running(PRODUCTION, "stock"), "stock@1.0.0");
}

#[test]
fn schema_levels_that_do_not_meet_are_refused() {
    let mut w = World::shop();
    w.register_with("stock@1.1.0", &json!({"schema": {"db": {"min": 1, "max": 2}}}));
    w.deploy("stock@1.1.0", "staging");
    w.register_with("web@1.1.0", &json!({"schema": {"db": {"min": 3, "max": 4}}}));
    assert_eq!(w.refused(&World::deploy_command(&["web@1.1.0"], "staging")), [ReasonCode::Schema]);
}

#[test]
fn decisions_gate_the_door_and_nobody_sits_on_two_chairs() {
    let mut w = with_rules(&json!([{"decision": {"role": "approver"}}, {"decision": {"role": "on-call"}}]));
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    let id = w.deploy("web@1.1.0", PRODUCTION);
    assert_eq!(w.reasons(id), [ReasonCode::DecisionMissing; 2]);
    let about = || About::Deployment(id);
    w.decide_as(BEN, about(), Role::Approver, Verdict::Go);
    w.decide_as(BEN, about(), Role::OnCall, Verdict::Go);
    w.settle();
    assert_eq!(w.reasons(id), [ReasonCode::DecisionMissing]);
    w.decide_as(ANN, about(), Role::OnCall, Verdict::Go);
    w.settle();
    assert_eq!(w.reasons(id), [ReasonCode::Separation], "who asked for it does not decide on it");
    // either order of signatures fills both seats
    w.decide_as(CLEO, about(), Role::Approver, Verdict::Go);
    w.settle();
    assert_eq!(w.step(id), StepKind::Live);
    assert_eq!(
        w.refused(&Command::Decide { about: about(), role: Role::Approver, verdict: Verdict::Go, by: person_id(BEN), note: None, valid_for: None }),
        [ReasonCode::WrongState]
    );
}

#[test]
fn holds_stop_whom_they_name_until_lifted_or_over() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    let scope = Scope { environment: Some(n("staging")), ..Scope::default() };
    let expires = Some(w.now + secs(600));
    w.ok(&Command::SetHold { scope: scope.clone(), plane: Plane::Both, stops: Stops::People, reason: "quiet".to_owned(), expires });
    let id = w.deploy("web@1.1.0", "staging");
    assert_eq!(w.reasons(id), [ReasonCode::Hold]);
    w.pass(secs(599));
    assert_eq!(w.step(id), StepKind::Waiting);
    w.pass(secs(2));
    assert_eq!(w.step(id), StepKind::Live);
    assert!(w.state.holds.is_empty());

    w.ok(&Command::SetHold { scope, plane: Plane::Deploy, stops: Stops::Automation, reason: "manual only".to_owned(), expires: None });
    w.register("web@1.2.0");
    let id = w.deploy("web@1.2.0", "staging");
    assert_eq!(w.step(id), StepKind::Live, "it stops automation only");
    let held = *w.state.holds.keys().next().unwrap();
    w.ok(&Command::LiftHold { id: held });
    assert_eq!(w.refused(&Command::LiftHold { id: held }), [ReasonCode::NotFound]);
    let past = Command::SetHold { scope: Scope::default(), plane: Plane::Both, stops: Stops::Both, reason: String::new(), expires: Some(w.now) };
    assert_eq!(w.refused(&past), [ReasonCode::InThePast]);
}

#[test]
fn automation_promotes_what_is_verified_and_nothing_twice() {
    let mut w = with_rules(&json!([{"promotion": "automatic"}]));
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.1.0");
    w.manners.insert("web@1.2.0".to_owned(), Manner::NeverReady);
    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.1.0", "it never became ready in staging");
    let before = w.happened("deployment.requested");
    w.pass(DAY);
    assert_eq!(w.happened("deployment.requested"), before);
}

#[test]
fn after_a_rollback_automation_does_not_bring_it_back() {
    let mut w = with_rules(&json!([{"promotion": "automatic"}]));
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.1.0");
    w.ok(&World::rollback_command("web"));
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.0.0");
    let requested = w.happened("deployment.requested");
    w.pass(DAY);
    // not even when the hold is lifted
    let hold = *w.state.holds.keys().next().expect("a rollback holds automation, visibly");
    w.ok(&Command::LiftHold { id: hold });
    w.pass(DAY);
    assert_eq!((w.running(PRODUCTION, "web").as_str(), w.happened("deployment.requested")), ("web@1.0.0", requested));
    // the next build does come
    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    assert_eq!(w.running(PRODUCTION, "web"), "web@1.2.0");
}

#[test]
fn automation_never_overtakes_what_a_person_asked_for() {
    let mut w = with_rules(&json!([{"promotion": "automatic"}, {"decision": {"role": "approver"}}]));
    w.apply(vec![manifest("policy", "production", json!({"rules": [{"promotion": "automatic"}]}))]);
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    w.ok(&Command::SetHold { scope: Scope::default(), plane: Plane::Deploy, stops: Stops::People, reason: "freeze".to_owned(), expires: None });
    w.ok(&World::rollback_command("web"));
    let back = w.last_deployment().id;
    assert_eq!(w.step(back), StepKind::Waiting);
    w.attempt_as(greenroom_domain::actor::Actor::System(greenroom_domain::actor::Part::Host), &World::deploy_command(&["web@1.1.0"], "staging")).unwrap();
    assert_eq!(w.step(back), StepKind::Waiting);
    assert_eq!(w.last_deployment().environment, n("staging"));
}

#[test]
fn adopting_takes_over_without_deploying() {
    let mut w = World::empty();
    w.apply(shop());
    let there = place(PRODUCTION, "p1", "web");
    let adopt = |version_: &str, content: Option<&str>| Command::Adopt { key: there.clone(), version: version(version_), digest: content.map(digest) };
    assert_eq!(w.refused(&adopt("0.9.0", None)), [ReasonCode::NotFound]);
    assert_eq!(w.refused(&adopt("0.9.0", Some("what runs"))), [ReasonCode::WrongState], "nothing was seen there");
    let seen = World::observation(&digest("what runs"), None);
    w.runs.insert(there.clone(), seen.clone());
    w.report(Report::Observed { key: there.clone(), seen });
    assert_eq!(w.refused(&adopt("0.9.0", Some("what does not"))), [ReasonCode::DigestDiffers]);
    let events = w.ok(&adopt("0.9.0", Some("what runs")));
    assert!(matches!(events.as_slice(), [Event::BuildRegistered(_), Event::PlacementAdopted(_)]));
    assert_eq!(w.ok(&adopt("0.9.0", Some("what runs"))), [], "again changes nothing");
    assert_eq!(w.refused(&adopt("0.9.0", Some("something else"))), [ReasonCode::DigestDiffers]);
    assert_eq!(w.refused(&adopt("0.9.1", Some("what runs"))), [ReasonCode::AlreadyExists]);
    let p = &w.state.placements[&there];
    assert_eq!(p.desired, p.stable);
    assert!(w.state.configs.contains_key(&p.stable.as_ref().unwrap().config), "a rollback finds what it restores");
    assert_eq!(w.happened("deployment.requested"), 0);
    // what was adopted is where a rollback goes
    w.register("web@1.0.0");
    w.deploy("web@1.0.0", "staging");
    w.deploy("web@1.0.0", PRODUCTION);
    w.ok(&World::rollback_command("web"));
    assert_eq!(w.running(PRODUCTION, "web"), "web@0.9.0");
}

#[test]
fn what_does_not_run_is_not_adopted() {
    let mut w = World::shop();
    w.register("web@6.6.6");
    let adopt = |version_: &str| Command::Adopt { key: place(PRODUCTION, "p1", "web"), version: version(version_), digest: None };
    let refusal = w.refusal(&adopt("6.6.6"));
    assert!(refusal.contains("digest-differs") && refusal.contains("web@1.0.0"), "{refusal}");
    assert_eq!(w.ok(&adopt("1.0.0")), []);
}

#[test]
fn a_missing_decision_says_what_to_type() {
    let mut w = with_rules(&json!([{"decision": {"role": "approver"}}]));
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    let id = w.deploy("web@1.1.0", PRODUCTION);
    let number = w.last_deployment().number;
    let said = |w: &World| w.rollouts(id)[0].step.reasons()[0].remedy.clone();
    assert_eq!(said(&w), format!("greenroom decide deployment {number} go --as approver"));
    w.decide_as(ANN, About::Deployment(id), Role::Approver, Verdict::Go);
    w.settle();
    assert_eq!(said(&w), format!("another person: greenroom decide deployment {number} go --as approver"));
}

#[test]
fn registering_says_what_is_wrong_and_never_changes_a_build() {
    let mut w = World::shop();
    let bad = |more| Command::RegisterBuild { build: World::build_spec("web@2.0.0", &more) };
    for (more, code, path) in [
        (json!({"requires": ["nothing>=1.0.0"]}), ReasonCode::UnknownReference, "requires[0]"),
        (json!({"requires": ["web>=1.0.0"]}), ReasonCode::Invalid, "requires[0]"),
        (json!({"reads": {"nothing": "boolean"}}), ReasonCode::UnknownReference, "reads.nothing"),
        (json!({"reads": {"checkout": "string"}}), ReasonCode::Invalid, "reads.checkout"),
        (json!({"schema": {"db": {"min": 2, "max": 1}}}), ReasonCode::Invalid, "schema.db"),
        (json!({"version": "two"}), ReasonCode::Invalid, "version"),
        (json!({"artifacts": {}}), ReasonCode::Invalid, "artifacts.app"),
    ] {
        let refusal = w.attempt(&bad(more)).unwrap_err();
        assert_eq!(refusal.reasons.iter().map(|r| (r.code, r.path.as_deref().unwrap())).collect::<Vec<_>>(), [(code, path)]);
        assert!(!refusal.reasons[0].remedy.is_empty());
    }
    w.register("web@2.0.0");
    assert_eq!(w.ok(&bad(json!({}))), []);
    assert_eq!(w.refused(&bad(json!({"requires": ["stock>=1.0.0"]}))), [ReasonCode::DigestDiffers]);
    assert_eq!(w.refused(&bad(json!({"artifacts": {"app": {"uri": "file:///x", "digests": [digest("x")]}}}))), [ReasonCode::DigestDiffers]);
    let refusal = w.refusal(&bad(json!({"commit": "decaf"})));
    assert!(refusal.contains("digest-differs") && refusal.contains("c0ffee"), "{refusal}");
    assert_eq!(w.ok(&bad(json!({"commit": null}))), [], "who does not say contradicts nothing");
    // the same content under another name would be the same build twice, its quarantine forgotten
    let twin = World::build_spec("web@2.0.0", &json!({"version": "2.0.1"}));
    assert_eq!(w.refused(&Command::RegisterBuild { build: twin }), [ReasonCode::AlreadyExists]);
}

#[test]
fn taking_a_target_away_ends_what_waits_for_it() {
    let mut w = World::shop();
    w.apply(vec![manifest(
        "environment",
        PRODUCTION,
        json!({"purpose": "production", "after": ["staging"], "targets": [target(PRODUCTION, "p1", 0, 7100), target(PRODUCTION, "p2", 1, 7200)]}),
    )]);
    w.ship("web@1.1.0");
    w.register("web@1.2.0");
    w.deploy("web@1.2.0", "staging");
    w.fleet = false;
    let id = w.deploy("web@1.2.0", PRODUCTION);
    let one = || vec![manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "targets": [target(PRODUCTION, "p1", 0, 7100)]}))];
    let none = || vec![manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "targets": [target(PRODUCTION, "p2", 1, 7200)]}))];
    assert_eq!(w.refused(&Command::Apply { set: n("shop"), manifests: none(), prune: false }), [ReasonCode::Busy]);
    w.apply(one());
    w.fleet = true;
    w.settle();
    assert_eq!(w.rollouts(id).iter().map(|r| r.step.kind()).collect::<Vec<_>>(), [StepKind::Live, StepKind::Cancelled]);
    assert!(!w.state.placements.contains_key(&place(PRODUCTION, "p2", "web")), "what is gone says nothing about what serves");
}
