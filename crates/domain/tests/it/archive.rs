//! What is over for a month is forgotten, and nobody can tell.

use greenroom_domain::command::{Command, Report};
use greenroom_domain::decision::{About, Verdict};
use greenroom_domain::deployment::rollout::StepKind;
use greenroom_domain::event::{Event, TokenKind};
use greenroom_domain::hold::{Plane, Scope, Stops};
use greenroom_domain::id::PlacementKey;
use greenroom_domain::refusal::ReasonCode;
use greenroom_domain::release::release::CourseKind;
use greenroom_domain::role::Role;
use greenroom_domain::state::State;
use serde_json::json;

use crate::audit;
use crate::world::*;

const MONTH: i64 = 32 * 24 * 3600;

/// A year of the shop in short: builds that came and went, a release withdrawn, one cancelled, one closed.
fn lived() -> World {
    let mut w = World::shop();
    let mut sequence = service();
    sequence["versioning"] = json!("sequence");
    w.apply(vec![manifest("service", "stock", sequence)]);
    w.register("stock@two");
    w.register_with("web@1.1.0", &json!({"requires": ["stock>=two"]}));
    w.deploy("stock@two", "staging");
    w.deploy("stock@two", PRODUCTION);
    w.deploy("web@1.1.0", "staging");
    w.deploy("web@1.1.0", PRODUCTION);
    w.register("web@1.1.9");
    w.manners.insert("web@1.1.9".to_owned(), Manner::CheckFails);
    w.deploy("web@1.1.9", "staging");
    for name in ["summer", "never"] {
        w.plan(name, json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.1.0"], "stages": [{"name": "all", "share": "50%"}]}));
    }
    w.ok(&World::start_command("summer"));
    w.withdraw("summer");
    w.ok(&Command::CancelRelease { name: n("never") });
    w.plan("kept", json!({"features": [{"key": "basket", "variant": "new"}], "needs": ["web>=1.2.0"], "stages": [{"name": "all", "share": "100%"}]}));
    for build in ["web@1.2.0", "stock@three", "web@1.3.0", "stock@four", "web@1.4.0", "stock@five"] {
        w.ship(build);
    }
    w.ok(&World::start_command("kept"));
    w.ok(&Command::CloseRelease { name: n("kept"), environment: None });
    w
}

/// The same history, remembered in full.
fn unforgetting(w: &World) -> World {
    let mut all = w.clone();
    let mut state = State::default();
    for recorded in w.ledger.iter().filter(|r| !matches!(r.event, Event::Archived(_))) {
        state.apply(recorded);
    }
    // the next event comes after the last of the ledger all the same
    (state.seq, state.at) = (w.state.seq, w.state.at);
    all.state = state;
    all.audited = false;
    all
}

#[test]
fn a_month_later_only_what_matters_is_at_hand() {
    let mut w = lived();
    w.pass(secs(29 * 24 * 3600));
    assert_eq!(w.happened("archived"), 0);
    w.pass(secs(3 * 24 * 3600));
    assert!(w.happened("archived") > 0);
    let labels: Vec<_> = {
        let mut all: Vec<_> = w.state.builds.values().map(|b| b.spec.label().to_string()).collect();
        all.sort();
        all
    };
    // newest, running, where a rollback goes (in staging too), and the floor of what is closed
    assert_eq!(labels, ["stock@five", "stock@four", "web@1.2.0", "web@1.3.0", "web@1.4.0"]);
    assert_eq!(w.state.versions.len(), 5);
    // of two services in two environments, what made each the one that runs: a process that dies is started again from it
    let stands = |key: &PlacementKey| {
        let stable = w.state.placements[key].stable.clone();
        w.state.rollouts.values().filter(|r| r.key == *key && r.step.kind() == StepKind::Live && Some(&r.build) == stable.as_ref().map(|pair| &pair.build)).count()
    };
    assert!(w.state.placements.keys().all(|key| stands(key) == 1));
    assert_eq!((w.state.deployments.len(), w.state.rollouts.len()), (4, 4));
    assert_eq!(w.state.releases.keys().map(ToString::to_string).collect::<Vec<_>>(), ["kept"], "a closed release goes on binding");
    let digests: Vec<_> = w.state.builds.keys().cloned().collect();
    assert!(w.state.lived.iter().chain(w.state.tried.iter()).all(|(_, d)| digests.contains(d)));
    assert!(w.state.checks.keys().all(|k| digests.contains(&k.build)));
    assert!(w.state.configs.len() <= 4);
    let before = w.state.seq;
    w.pass(secs(MONTH));
    assert_eq!(w.state.seq, before, "and that is all");
    w.ok(&World::rollback_command("stock"));
    assert_eq!(w.running(PRODUCTION, "stock"), "stock@four");
}

#[test]
fn a_floor_that_a_remaining_build_requires_is_kept() {
    let mut w = World::shop();
    let mut sequence = service();
    sequence["versioning"] = json!("sequence");
    w.apply(vec![manifest("service", "stock", sequence)]);
    w.ship("stock@floor");
    w.register_with("web@1.1.0", &json!({"requires": ["stock>=floor"]}));
    w.ship("stock@two");
    w.ship("stock@three");
    w.pass(secs(MONTH));
    assert!(w.state.versions.contains_key(&label("stock@floor")));
    w.deploy("web@1.1.0", "staging");
    assert_eq!(w.running("staging", "web"), "web@1.1.0");
}

#[test]
fn remembering_and_forgetting_decide_alike() {
    let mut w = lived();
    let ended = w.state.by_number.values().next().copied().unwrap();
    w.pass(secs(MONTH));
    assert!(!w.state.deployments.contains_key(&ended));
    let old = World::build_spec("web@1.1.0", &json!({"requires": ["stock>=two"]}));
    let decide = |about, role| Command::Decide { about, role, verdict: Verdict::Go, by: person_id(BEN), note: None, valid_for: None };
    let drifted = Report::Observed { key: place(PRODUCTION, "p1", "web"), seen: World::observation(&World::build_spec("web@1.3.0", &json!({})).digest(), None) };
    let ancient = Report::Observed { key: place(PRODUCTION, "p1", "web"), seen: World::observation(&old.digest(), None) };
    let stranger = Report::Observed { key: place(PRODUCTION, "p1", "web"), seen: World::observation(&digest("stranger"), None) };
    let mut commands = vec![
        World::deploy_command(&["web@1.1.0"], "staging"),
        World::deploy_command(&["web@1.1.0"], PRODUCTION),
        World::deploy_command(&["web@1.3.0"], PRODUCTION),
        World::deploy_command(&["web@1.1.9"], "staging"),
        World::deploy_command(&["web@7.7.7"], "staging"),
        World::deploy_command(&["stock@two"], PRODUCTION),
        World::deploy_command(&["stock@three"], "staging"),
        Command::RegisterBuild { build: old },
        Command::RegisterBuild { build: World::build_spec("web@1.1.0", &json!({})) },
        Command::RegisterBuild { build: World::build_spec("web@1.1.0", &json!({"version": "1.1.0-again"})) },
        Command::RegisterBuild { build: World::build_spec("web@1.1.0", &json!({"artifacts": {"app": {"uri": "x", "digests": [digest("x")]}}})) },
        Command::RegisterBuild { build: World::build_spec("web@8.0.0", &json!({})) },
        Command::Adopt { key: place("staging", "s1", "web"), version: version("1.1.0"), digest: None },
        Command::Adopt { key: place("staging", "s1", "web"), version: version("0.0.1"), digest: None },
        Command::CancelDeployment { id: ended },
        decide(About::Deployment(ended), Role::Approver),
        decide(About::Release(n("summer")), Role::Approver),
        decide(About::Release(n("never")), Role::Approver),
        decide(About::Release(n("unknown")), Role::Approver),
        Command::StartRelease { name: n("summer"), environment: None, stage: None },
        Command::WithdrawRelease { name: n("summer"), environment: None, confirm: true, note: None },
        Command::CancelRelease { name: n("summer") },
        Command::CancelRelease { name: n("never") },
        Command::SetHold { scope: Scope { release: Some(n("summer")), ..Scope::default() }, plane: Plane::Release, stops: Stops::Both, reason: String::new(), expires: None },
        Command::SetHold { scope: Scope { release: Some(n("unknown")), ..Scope::default() }, plane: Plane::Release, stops: Stops::Both, reason: String::new(), expires: None },
        World::plan_command("never", json!({"features": [{"key": "checkout", "variant": "on"}], "stages": [{"name": "all", "share": "100%"}]})),
        World::plan_command("summer", json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["stock>=two"], "stages": [{"name": "all", "share": "100%"}]})),
        World::plan_command(
            "fresh",
            json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["stock>=two"], "mode": "on_deploy", "stages": [{"name": "all", "share": "100%"}]}),
        ),
        World::plan_command("exact", json!({"services": ["web@1.1.0"], "stages": [{"name": "all", "share": "100%"}]})),
        World::plan_command("wrong", json!({"services": ["web@7.7.7"], "stages": [{"name": "all", "share": "100%"}]})),
    ];
    for to in [None, Some("1.1.0"), Some("1.3.0"), Some("1.1.9"), Some("7.7.7")] {
        for emergency in [false, true] {
            commands.push(Command::Rollback { environment: n(PRODUCTION), service: n("web"), to: to.map(version), withdraw_first: false, emergency, note: None });
        }
    }
    commands.extend([drifted, ancient, stranger].map(Command::Report));
    let mut forgetful = 0;
    for command in commands {
        let (mut short, mut long) = (w.clone(), unforgetting(&w));
        let before = short.ledger.len();
        let (brief, full) = (short.attempt(&command), long.attempt(&command));
        let kinds = |events: &[Event]| {
            events.iter().map(Event::kind).filter(|k| !matches!(*k, "build.recalled" | "archived" | "release.planned" | "release.scope_changed")).collect::<Vec<_>>()
        };
        match (&brief, &full) {
            (Ok(brief), Ok(full)) => assert_eq!(kinds(brief), kinds(full), "{command:?}"),
            (Err(brief), Err(full)) => assert_eq!(brief, full, "{command:?}"),
            _ => panic!("{command:?}\n{brief:#?}\n{full:#?}"),
        }
        forgetful += usize::from(short.ledger[before..].iter().any(|r| matches!(r.event, Event::BuildRecalled(_))));
        for world in [&mut short, &mut long] {
            world.pass(secs(120));
        }
        for name in ["summer", "never", "fresh", "exact"] {
            let plan = |w: &World| w.state.releases.get(&n(name)).map(|r| (r.spec.clone(), r.salt.clone(), r.number, r.environments[&n(PRODUCTION)].course.kind()));
            if let Some(brief) = plan(&short) {
                let mut full = plan(&long).unwrap();
                if !short.ledger[before..].iter().any(|r| matches!(&r.event, Event::ReleasePlanned(e) if e.number == brief.2 && e.salt == full.1)) {
                    // salts of new releases are drawn alike, those of old ones are kept
                    full.1.clone_from(&brief.1);
                }
                assert_eq!(brief, full, "{command:?}");
            }
        }
        assert_eq!((short.running(PRODUCTION, "web"), short.running("staging", "web")), (long.running(PRODUCTION, "web"), long.running("staging", "web")), "{command:?}");
        assert_eq!(short.audience("basket"), long.audience("basket"), "{command:?}");
        // what was decided is in the ledger and nowhere else
        let mut replayed = State::default();
        short.ledger.iter().for_each(|r| replayed.apply(r));
        audit::same(&replayed, &short.state);
        assert!(short.state.recalled.subjects.is_empty(), "what was asked back is not kept");
    }
    assert!(forgetful >= 8, "{forgetful}");
}

#[test]
fn what_is_asked_back_stays_a_month_and_goes_again() {
    let mut w = lived();
    w.pass(secs(MONTH));
    w.plan("floor", json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["stock>=two"], "stages": [{"name": "all", "share": "100%"}]}));
    assert!(w.state.versions.contains_key(&label("stock@two")));
    w.ok(&World::start_command("floor"));
    assert_eq!(w.kind("floor"), CourseKind::Exposed);
    w.withdraw("floor");
    w.pass(secs(MONTH));
    assert!(!w.state.versions.contains_key(&label("stock@two")));
    assert!(!w.state.releases.contains_key(&n("floor")));
}

#[test]
fn names_that_never_were_end_as_a_refusal() {
    let mut w = World::shop();
    for command in [
        World::deploy_command(&["web@6.6.6"], "staging"),
        Command::CancelDeployment { id: "dep_00000000000000000000000000000007".parse().unwrap() },
        Command::StartRelease { name: n("nothing"), environment: None, stage: None },
        World::plan_command("x", json!({"services": ["web@6.6.6"], "stages": []})),
    ] {
        assert_eq!(w.refused(&command), [ReasonCode::NotFound]);
    }
}

#[test]
fn what_is_under_way_is_never_forgotten() {
    let mut w = World::shop();
    w.register("web@1.1.0");
    w.manners.insert("web@1.1.0".to_owned(), Manner::Silent);
    let id = w.deploy("web@1.1.0", "staging");
    w.silent.push(n("s1"));
    for build in ["web@1.2.0", "web@1.3.0"] {
        w.register(build);
    }
    w.pass(secs(3 * MONTH));
    assert_eq!(w.step(id), StepKind::Unknown);
    assert!(w.state.versions.contains_key(&label("web@1.1.0")));
    assert!(!w.state.versions.contains_key(&label("web@1.2.0")));
}

/// The same on every replay: no clock, but the time of a later event says that they are over.
#[test]
fn tokens_that_ended_long_ago_are_forgotten_when_another_is_made() {
    let mut w = World::shop();
    let create = |w: &World, text: &str, days: i64| Command::CreateToken {
        kind: TokenKind::Ci,
        hash: digest(text),
        person: None,
        environment: None,
        title: text.to_owned(),
        expires: w.now + secs(days * 24 * 3600),
    };
    for (text, days) in [("short", 1), ("long", 200), ("gone", 1)] {
        w.ok(&create(&w.clone(), text, days));
    }
    let id = w.state.tokens[&digest("gone")].id;
    w.ok(&Command::RevokeToken { id });
    let known = |w: &World| w.state.tokens.values().map(|t| t.title.clone()).collect::<std::collections::BTreeSet<_>>();
    w.now = w.now + secs(20 * 24 * 3600);
    w.ok(&create(&w.clone(), "second", 1));
    assert_eq!(known(&w), ["long", "second", "short"].map(str::to_owned).into(), "whoever still uses it is told that it expired");
    w.now = w.now + secs(MONTH);
    w.ok(&create(&w.clone(), "third", 1));
    assert_eq!(known(&w), ["long", "third"].map(str::to_owned).into());
    assert_eq!((w.state.token_ids.len(), w.state.expiring.len()), (2, 2));
    let mut again = State::default();
    w.ledger.iter().for_each(|recorded| again.apply(recorded));
    audit::same_maps(&again, &w.state);
    audit::same_maps(&State::from_checkpoint(&w.state.to_checkpoint()).unwrap(), &w.state);
}

/// Recalled, a release is folded from its own events alone: what it rests on stands in them.
#[test]
fn a_release_says_which_cohorts_it_was_planned_with() {
    let mut w = World::shop();
    let staff = |mail: &str| vec![manifest("cohort", "staff", json!({"any_of": [[{"attribute": "mail", "op": "ends_with", "values": [mail]}]]}))];
    w.apply(staff("@a.test"));
    let stages = |share: &str| json!({"features": [{"key": "checkout", "variant": "on"}], "stages": [{"name": "staff", "cohort": "staff", "share": share}]});
    w.plan("summer", stages("50%"));
    let pinned = |w: &World| {
        let mut alone = State::default();
        w.ledger.iter().filter(|r| r.event.subjects().iter().any(|s| s == "release/summer")).for_each(|r| alone.apply(r));
        let cohorts = alone.releases[&n("summer")].cohorts.clone();
        assert_eq!(cohorts, w.state.releases[&n("summer")].cohorts);
        cohorts[&n("staff")]
    };
    assert_eq!(pinned(&w), 2);
    let events = w.apply(staff("@b.test"));
    assert!(matches!(&events[..], [Event::CohortDefined(e)] if e.version == Some(3)), "{events:?}");
    assert_eq!(pinned(&w), 2);
    w.plan("summer", stages("60%"));
    assert_eq!(pinned(&w), 3);
}
