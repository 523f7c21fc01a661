//! What happens to what is served when builds change under it.

use greenroom_domain::actor::{Actor, Part};
use greenroom_domain::command::{Command, Report};
use greenroom_domain::decision::{About, Verdict};
use greenroom_domain::deployment::placement::{Health, Observation};
use greenroom_domain::hold::{Plane, Scope, Stops};
use greenroom_domain::id::{Digest, PlacementKey};
use greenroom_domain::refusal::ReasonCode;
use greenroom_domain::release::release::{Course, CourseKind};
use greenroom_domain::role::Role;
use serde_json::json;

use crate::world::*;

fn there() -> PlacementKey {
    place(PRODUCTION, "p1", "web")
}

fn old() -> Digest {
    World::build_spec("web@1.0.0", &json!({})).digest()
}

fn new() -> Digest {
    World::build_spec("web@1.1.0", &json!({})).digest()
}

fn exposed() -> World {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.plan("summer", summer());
    w.ok(&World::start_command("summer"));
    w
}

#[test]
fn drift_below_a_need_takes_off_after_half_a_minute() {
    let mut w = exposed();
    w.drift(&there(), &old());
    w.pass(secs(29));
    assert_eq!(w.kind("summer"), CourseKind::Exposing);
    assert!(!w.audience("checkout").is_empty(), "a blip takes nothing off");
    w.pass(secs(1));
    assert!(matches!(w.course("summer"), Course::Paused { off: true, .. }));
    assert_eq!(w.audience("checkout").len(), 0);
    assert_eq!(w.refused(&Command::ResumeRelease { name: n("summer"), environment: None }), [ReasonCode::NeedUnmet]);
    w.drift(&there(), &new());
    w.pass(DAY);
    assert_eq!(w.audience("checkout").len(), 0, "until a person resumes");
    w.ok(&Command::ResumeRelease { name: n("summer"), environment: None });
    assert!(!w.audience("checkout").is_empty());
}

#[test]
fn pausing_what_is_contradicted_gains_it_no_time() {
    let mut w = exposed();
    w.drift(&there(), &old());
    w.pass(secs(20));
    w.ok(&Command::PauseRelease { name: n("summer"), environment: None, note: String::new() });
    w.pass(secs(9));
    assert!(matches!(w.course("summer"), Course::Paused { off: false, .. }));
    w.pass(secs(1));
    assert!(matches!(w.course("summer"), Course::Paused { off: true, .. }));
    assert_eq!(w.audience("checkout").len(), 0);
}

#[test]
fn a_blip_that_ends_counts_for_nothing() {
    let mut w = exposed();
    for _ in 0..5 {
        w.drift(&there(), &old());
        w.pass(secs(20));
        w.drift(&there(), &new());
        w.pass(secs(5));
    }
    assert_eq!(w.kind("summer"), CourseKind::Exposing);
    assert_eq!((w.happened("need.contradicted"), w.happened("need.restored")), (5, 5));
}

#[test]
fn a_build_that_nobody_registered_is_a_contradiction() {
    let mut w = exposed();
    w.drift(&there(), &digest("somebody's laptop"));
    w.pass(secs(31));
    assert_eq!(w.kind("summer"), CourseKind::Paused);
}

#[test]
fn after_closing_the_entry_in_the_baseline_is_blocked() {
    let mut w = exposed();
    w.ok(&World::start_command("summer"));
    w.ok(&Command::CloseRelease { name: n("summer"), environment: None });
    let resume = Command::ResumeRelease { name: n("summer"), environment: None };
    assert_eq!(w.refused(&resume), [ReasonCode::WrongState]);
    w.drift(&there(), &old());
    w.pass(secs(31));
    assert_eq!((w.kind("summer"), w.audience("checkout").len()), (CourseKind::Closed, 0));
    assert_eq!(w.refused(&resume), [ReasonCode::NeedUnmet]);
    w.pass(DAY);
    assert_eq!(w.happened("baseline.blocked"), 1);
    w.drift(&there(), &new());
    w.ok(&resume);
    assert_eq!(w.audience("checkout").len(), 1000);
}

#[test]
fn a_closed_release_of_unflagged_builds_alone_says_nothing_again_and_again() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    w.deploy("web@1.1.0", "staging");
    w.plan("relaunch", json!({"services": ["web@1.1.0"], "stages": [{"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("relaunch"));
    w.ok(&Command::CloseRelease { name: n("relaunch"), environment: None });
    w.drift(&there(), &old());
    let before = w.state.seq;
    w.pass(DAY);
    assert_eq!(w.state.seq, before);
}

#[test]
fn not_knowing_freezes_and_takes_nothing_off() {
    let mut w = exposed();
    let some = w.audience("checkout");
    let lost = Command::Report(Report::NoContact { key: there(), since: w.now });
    w.silent.push(n("p1"));
    w.attempt_as(Actor::System(Part::Rollouts), &lost).unwrap();
    w.pass(DAY);
    assert_eq!((w.kind("summer"), w.audience("checkout")), (CourseKind::Exposing, some.clone()));
    assert!(matches!(w.refused(&World::start_command("summer")).as_slice(), [ReasonCode::NeedUnknown]));
    w.silent.clear();
    w.report(Report::Contact { key: there() });
    for (serving, health) in
        [(vec![], Health::Down), (vec![(new(), 1)], Health::Unhealthy), (vec![(new(), 1), (World::build_spec("web@1.2.0", &json!({})).digest(), 1)], Health::Progressing)]
    {
        w.register("web@1.2.0");
        let seen = Observation { serving: serving.into_iter().collect(), health, ..w.runs[&there()].clone() };
        w.report(Report::Observed { key: there(), seen });
        w.settle();
        w.pass(secs(3600));
        assert_eq!((w.kind("summer"), w.audience("checkout")), (CourseKind::Exposing, some.clone()), "{health}");
        assert!(matches!(w.refused(&World::start_command("summer")).as_slice(), [ReasonCode::NeedUnknown]));
    }
}

#[test]
fn lost_contact_stops_the_clock_of_a_contradiction() {
    let mut w = exposed();
    w.drift(&there(), &old());
    w.pass(secs(20));
    w.silent.push(n("p1"));
    w.report(Report::NoContact { key: there(), since: w.now });
    w.settle();
    w.pass(DAY);
    assert_eq!(w.kind("summer"), CourseKind::Exposing, "nothing is withdrawn for what nobody knows");
    w.silent.clear();
    w.report(Report::Contact { key: there() });
    w.settle();
    w.pass(secs(31));
    assert_eq!(w.kind("summer"), CourseKind::Paused);
}

#[test]
fn the_last_placement_is_not_taken_from_under_a_release() {
    let mut w = exposed();
    let targets = |names: &[(&str, u16)]| {
        let targets: Vec<_> = names.iter().map(|(name, port)| target(PRODUCTION, name, 0, *port)).collect();
        Command::Apply {
            set: n("shop"),
            manifests: vec![manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "targets": targets}))],
            prune: false,
        }
    };
    assert_eq!(w.refused(&targets(&[("p2", 7200)])), [ReasonCode::WouldUnmet]);
    w.ok(&targets(&[("p1", 7100), ("p2", 7200)]));
    w.deploy("web@1.1.0", PRODUCTION);
    w.ok(&targets(&[("p2", 7200)]));
    assert_eq!(w.kind("summer"), CourseKind::Exposing);
    w.ok(&World::start_command("summer"));
}

#[test]
fn the_control_plane_turns_nothing_on_before_it_has_looked() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.plan(
        "summer",
        json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.1.0"], "mode": {"scheduled": w.now + DAY},
        "stages": [{"name": "some", "share": "10%", "dwell": "1h"}, {"name": "all", "share": "100%"}]}),
    );
    w.pass(DAY);
    assert_eq!(w.stage("summer"), 1);
    // it was away while the hour ended
    w.seen.clear();
    w.fleet = false;
    w.pass(secs(3600));
    assert_eq!(w.stage("summer"), 1);
    w.fleet = true;
    w.settle();
    assert_eq!(w.kind("summer"), CourseKind::Exposed, "what was frozen by not having looked goes on");
}

#[test]
fn nobody_is_taken_off_for_what_was_seen_once() {
    let mut w = exposed();
    w.drift(&there(), &old());
    w.pass(secs(10));
    // the control plane is away, and comes back after the half minute
    w.fleet = false;
    w.seen.clear();
    w.pass(secs(3600));
    assert_eq!((w.kind("summer"), w.happened("need.contradicted")), (CourseKind::Exposing, 1));
    let mut better = w.clone();
    better.drift(&there(), &new());
    assert_eq!((better.kind("summer"), better.happened("need.restored")), (CourseKind::Exposing, 1), "it was put right meanwhile");
    w.fleet = true;
    w.settle();
    assert_eq!(w.kind("summer"), CourseKind::Paused, "it looked, and it still is so");
}

#[test]
fn what_is_taken_off_leaves_users_to_the_release_before_it() {
    let mut w = exposed();
    w.ok(&World::start_command("summer"));
    w.ok(&Command::CloseRelease { name: n("summer"), environment: None });
    w.ship("web@1.2.0");
    w.plan("autumn", json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.2.0"], "stages": [{"name": "all", "share": "100%"}]}));
    w.ok(&World::start_command("autumn"));
    w.ok(&Command::CloseRelease { name: n("autumn"), environment: None });
    w.drift(&there(), &new());
    w.pass(secs(30));
    assert_eq!(w.happened("baseline.blocked"), 1);
    assert_eq!(w.audience("checkout").len(), 1000, "by what `summer` left, whose need is met");
    w.withdraw("autumn");
    assert_eq!(w.audience("checkout").len(), 1000, "withdrawing turns nobody on");
    w.drift(&there(), &old());
    w.pass(secs(30));
    assert_eq!(w.audience("checkout").len(), 0);
}

#[test]
fn what_is_put_back_under_a_closed_release_asks_what_growth_asks() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    let mut spec = summer();
    spec["decisions"] = json!([{"role": "approver"}]);
    w.plan("summer", spec);
    w.decide_as(BEN, About::Release(n("summer")), Role::Approver, Verdict::Go);
    w.ok(&World::start_command("summer"));
    w.ok(&World::start_command("summer"));
    w.ok(&Command::CloseRelease { name: n("summer"), environment: None });
    w.drift(&there(), &old());
    w.pass(secs(31));
    w.drift(&there(), &new());
    let resume = Command::ResumeRelease { name: n("summer"), environment: None };
    w.ok(&Command::SetHold { scope: Scope::default(), plane: Plane::Release, stops: Stops::Both, reason: "freeze".to_owned(), expires: None });
    assert_eq!(w.refused(&resume), [ReasonCode::Hold]);
    let hold = *w.state.holds.keys().next().unwrap();
    w.ok(&Command::LiftHold { id: hold });
    w.pass(secs(8 * 24 * 3600));
    assert_eq!(w.refused(&resume), [ReasonCode::DecisionMissing], "their word has lapsed");
    w.decide_as(BEN, About::Release(n("summer")), Role::Approver, Verdict::Go);
    w.ok(&resume);
    assert_eq!(w.audience("checkout").len(), 1000);
}

#[test]
fn a_target_that_is_taken_away_stands_in_nobodys_way() {
    let mut w = World::shop();
    let targets = |names: &[(&str, u16)]| {
        let targets: Vec<_> = names.iter().map(|(name, port)| target(PRODUCTION, name, 0, *port)).collect();
        vec![manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "targets": targets}))]
    };
    w.apply(targets(&[("p1", 7100), ("p2", 7200)]));
    w.ship("web@1.1.0");
    w.drift(&place(PRODUCTION, "p2", "web"), &old());
    w.plan("summer", json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.1.0"], "mode": "on_deploy", "stages": [{"name": "all", "share": "100%"}]}));
    assert_eq!(w.kind("summer"), CourseKind::Armed);
    w.apply(targets(&[("p1", 7100)]));
    assert_eq!(w.kind("summer"), CourseKind::Exposed);
}
