//! A control plane that is killed between any two steps; the next one goes on from what it sees.

use std::time::Duration;

use greenroom_domain::deployment::placement::Health;
use greenroom_domain::time::Span;
use greenroom_drivers::Driver as _;

use crate::client::{Users, get};
use crate::world::{NOBODY, World, assert_settled, op, until, with_recipe};

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_the_same_operation_is_finished_by_the_next_with_exactly_one_process() {
    for (point, serving) in [("after_start", "1.0"), ("before_switch", "1.0"), ("after_switch", "1.1"), ("before_stop_old", "1.1")] {
        let world = World::new();
        world.deploy("1.0", 1).await;
        let users = Users::start(world.place.stable.unwrap(), &[("GET", "/", ""), ("POST", "/", "abc")]);
        world.crash_engine("1.1", 2, point).await;

        let started = world.processes(2);
        assert_eq!((world.processes(1).len(), started.len()), (1, 1), "{point}: both survive");
        assert_eq!(get(world.place.stable.unwrap(), "/").await.unwrap(), format!("{serving} 0"), "{point}");
        let seen = world.observe().await;
        assert!(!seen.settled && seen.underway == Some(op(2)) && seen.taken_back.is_none(), "{point}: {seen:?}");
        assert_eq!((seen.observation.health, seen.old_instances.len()), (Health::Progressing, usize::from(point != "after_start")), "{point}: {seen:?}");

        let desired = world.desired("1.1", "well", 2);
        world.driver.apply(&desired).await.unwrap();
        assert_settled(&world.observe().await, &desired);
        assert_eq!((world.processes(1), world.processes(2)), (vec![], started), "{point}: the one that was started, and no other");
        until("answers", || async { (users.count("1.1 0") > 20).then_some(()) }).await;
        users.finish().await.assert_no_failure();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_the_operation_can_still_be_cancelled_or_overtaken() {
    for point in ["after_start", "before_switch", "after_switch"] {
        let world = World::new();
        world.deploy("1.0", 1).await;
        let users = Users::start(world.place.stable.unwrap(), &[("GET", "/", ""), ("POST", "/", "abc")]);
        world.crash_engine("1.1", 2, point).await;
        if point == "after_start" {
            world.deploy("1.2", 3).await;
            assert_eq!(world.processes(2), NOBODY, "{point}");
        } else {
            world.driver.cancel(&world.desired("1.1", "well", 2).place(), op(2)).await.unwrap();
            let seen = world.observe().await;
            assert_eq!((seen.taken_back, seen.observation.op, seen.observation.health), (Some(op(2)), Some(op(1)), Health::Healthy), "{point}");
            assert_eq!(get(world.place.stable.unwrap(), "/").await.unwrap(), "1.0 0", "{point}");
        }
        users.finish().await.assert_no_failure();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_record_is_made_again_from_the_process() {
    let world = World::new();
    let before = world.deploy("1.0", 1).await;
    std::fs::remove_dir_all(world.place.target().join("services")).unwrap();
    let seen = world.observe().await;
    assert_eq!((seen.observation.op, seen.observation.build()), (Some(op(1)), before.observation.build()));
    let after = world.deploy("1.0", 1).await;
    assert_eq!(after.instances[0].pid, before.instances[0].pid, "the same process");

    std::fs::remove_dir_all(world.place.target().join("services")).unwrap();
    world.deploy("1.1", 2).await;
    assert_eq!(world.processes(1), NOBODY, "the one without a record is found and stopped");
}

/// What became ready while nobody looked is not condemned for a deadline that passed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_late_asks_before_it_judges() {
    let world = World::new();
    world.deploy("1.0", 1).await;
    world.crash_engine("1.1", 2, "after_start").await;
    let listen = world.record(2)["listen"].as_str().unwrap().parse().unwrap();
    until("it is ready", || async { get(listen, "/ready").await.ok() }).await;
    let desired = with_recipe(world.desired("1.1", "well", 2), |r| r.deadline = Span::millis(1));
    world.driver.apply(&desired).await.unwrap();
    assert_settled(&world.observe().await, &desired);
}

/// Not only at the points that have a name.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_next_goes_on_and_users_notice_nothing() {
    let world = World::new();
    world.deploy("1.0", 1).await;
    let users = Users::start(world.place.stable.unwrap(), &[("GET", "/", ""), ("POST", "/", "abc")]);
    let rounds = std::env::var("GREENROOM_ROUNDS").map_or(4, |n| n.parse().unwrap());
    let mut random = u64::from(std::process::id()) | 1;
    for number in 2..2 + rounds {
        let version = format!("1.{number}");
        let desired = world.desired(&version, "well", number);
        let mut kills = Vec::new();
        loop {
            // xorshift64
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let within = Duration::from_micros(random % 600_000);
            if world.engine_killed_after(&version, number, within).await {
                kills.push(within);
                continue;
            }
            break;
        }
        let seen = world.observe().await;
        assert_settled(&seen, &desired);
        assert_eq!((world.processes(number - 1), world.processes(number).len()), (vec![], 1), "round {number}, killed after {kills:?}");
        assert!(users.failures().is_empty(), "round {number}, killed after {kills:?}: {:?}", users.failures());
    }
    users.finish().await.assert_no_failure();
}

/// Found where a new process got the port of an earlier one, after the control plane that had given it away was gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_process_is_not_taken_for_the_one_that_has_its_port_now() {
    let world = World::new();
    world.deploy("1.0", 1).await;
    world.deploy("1.1", 2).await;
    let mut dead = world.record(1);
    dead["listen"] = world.record(2)["listen"].clone();
    std::fs::write(world.record_file(1), dead.to_string()).unwrap();
    assert_settled(&world.observe().await, &world.desired("1.1", "well", 2));
    world.deploy("1.2", 3).await;
    assert_ne!(world.record(3)["listen"], dead["listen"], "a port that is remembered is not given away");
}
