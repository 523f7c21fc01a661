//! Deploying, failing, cancelling, overtaking.

use greenroom_domain::deployment::placement::Health;
use greenroom_domain::time::Span;
use greenroom_drivers::{Driver as _, DriverError};
use rustix::process::Signal;

use crate::client::{Users, get};
use crate::world::{NOBODY, World, assert_settled, op, send, until, with_recipe};

/// Among them answers that take their time, so that some are under way at every moment.
const WAYS: [(&str, &str, &str); 3] = [("GET", "/", ""), ("POST", "/", "abc"), ("GET", "/slow/150", "")];

/// Where people are told to look: from the directory on that holds the target's own.
fn log_of(world: &World, number: u32) -> String {
    let all = world.place.dir.file_name().unwrap().to_str().unwrap();
    format!("{all}/target/services/web/{}.log", op(number).to_string().replace('/', "-"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_there_is_an_observation() {
    let world = World::new();
    let seen = world.observe().await;
    assert_eq!((seen.observation.health, seen.observation.op, seen.settled), (Health::Down, None, false));
    assert!(seen.observation.serving.is_empty() && seen.instances.is_empty() && seen.old_instances.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redeployment_costs_not_one_request() {
    let world = World::new();
    let stable = world.place.stable.unwrap();
    let first = world.desired("1.0", "well", 1);
    let plan = world.driver.plan(&first).await.unwrap();
    assert_eq!(plan.lines[0].to_string(), "build: nothing → web@1.0");
    world.deploy("1.0", 1).await;
    assert!(world.driver.plan(&first).await.unwrap().lines.is_empty());
    assert_eq!(get(stable, "/").await.unwrap(), "1.0 0");

    let users = Users::start(stable, &WAYS);
    until("answers of 1.0", || async { (users.count("1.0 0") > 50 && users.count("1.0 3") > 50).then_some(()) }).await;
    let seen = world.deploy("1.1", 2).await;
    until("answers of 1.1", || async { (users.count("1.1 0") > 50 && users.count("1.1 3") > 50).then_some(()) }).await;
    users.finish().await.assert_no_failure();

    assert_eq!(world.processes(1), NOBODY, "the old one is gone");
    assert_eq!(world.processes(2), [seen.instances[0].pid.unwrap()]);
    world.driver.apply(&world.desired("1.1", "well", 2)).await.unwrap();
    assert_eq!(world.processes(2), [seen.instances[0].pid.unwrap()], "applying it again changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_one_that_dies_leaves_the_old_one_serving() {
    let world = World::new();
    let before = world.deploy("1.0", 1).await;
    let users = Users::start(world.place.stable.unwrap(), &WAYS[..2]);
    let crashing = world.desired("1.1", "crash", 2);
    world.driver.apply(&crashing).await.unwrap();
    let seen = world.observe().await;
    assert_eq!(seen.taken_back, Some(op(2)));
    assert_eq!(seen.failure.as_deref(), Some(format!("exited with status 3; its log stands in {}", log_of(&world, 2)).as_str()), "its own words stay there");
    assert_eq!((seen.observation.op, seen.observation.health), (Some(op(1)), Health::Healthy));
    assert_eq!(seen.instances[0].pid, before.instances[0].pid);
    world.driver.apply(&crashing).await.unwrap();
    assert_eq!(world.processes(2), NOBODY, "an operation that was taken back is not tried again");
    until("answers", || async { (users.count("1.0 0") > 50).then_some(()) }).await;
    users.finish().await.assert_no_failure();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_one_that_is_never_ready_is_taken_back_at_its_deadline() {
    let world = World::new();
    world.deploy("1.0", 1).await;
    let desired = with_recipe(world.desired("1.1", "never-ready", 2), |r| r.deadline = Span::millis(500));
    world.driver.apply(&desired).await.unwrap();
    let seen = world.observe().await;
    assert_eq!(seen.taken_back, Some(op(2)));
    assert_eq!(seen.failure.as_deref(), Some("not ready within 500ms: status 503"));
    assert_eq!((seen.observation.op, world.processes(2).len()), (Some(op(1)), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_one_that_dies_once_it_serves_gives_the_address_back() {
    let world = World::new();
    world.deploy("1.0", 1).await;
    // Only requests that may be repeated: no proxy can save one that was being carried out when its process died.
    let users = Users::start(world.place.stable.unwrap(), &WAYS[..1]);
    let desired = with_recipe(world.desired("1.1", "well", 2), |r| r.min_stable = Span::secs(20));
    let driver = world.driver.clone();
    let applying = tokio::spawn(async move { driver.apply(&desired).await });
    until("answers of the new one", || async { (users.count("1.1 0") > 20).then_some(()) }).await;
    assert_eq!(world.observe().await.observation.health, Health::Progressing);
    send(world.processes(2)[0], Signal::KILL);
    applying.await.unwrap().unwrap();
    let before = users.count("1.0 0");
    until("answers of the old one", || async { (users.count("1.0 0") > before + 20).then_some(()) }).await;
    users.finish().await.assert_no_failure();
    let seen = world.observe().await;
    assert_eq!((seen.taken_back, seen.observation.op, seen.observation.health), (Some(op(2)), Some(op(1)), Health::Healthy));
    assert_eq!(seen.failure, Some(format!("was killed by signal 9; its log stands in {}", log_of(&world, 2))));
    assert_eq!(get(world.place.stable.unwrap(), "/").await.unwrap(), "1.0 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_one_that_fails_leaves_nothing() {
    let world = World::new();
    world.driver.apply(&world.desired("1.0", "crash", 1)).await.unwrap();
    let seen = world.observe().await;
    assert_eq!((seen.taken_back, seen.observation.health, seen.settled), (Some(op(1)), Health::Down, false));
    assert!(seen.observation.serving.is_empty());
    world.deploy("1.1", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_live_and_died_is_down_until_it_is_applied_again() {
    let world = World::new();
    let before = world.deploy("1.0", 1).await;
    send(before.instances[0].pid.unwrap(), Signal::KILL);
    let seen = until("down", || async { Some(world.observe().await).filter(|s| s.observation.health == Health::Down) }).await;
    let why = format!("was killed by signal 9; its log stands in {}", log_of(&world, 1));
    assert_eq!((seen.observation.op, seen.failure, seen.settled), (Some(op(1)), Some(why), false));
    let after = world.deploy("1.0", 1).await;
    assert_eq!(after.instances[0].restarts, 1);
    assert_ne!(after.instances[0].pid, before.instances[0].pid);
    assert_eq!(get(world.place.stable.unwrap(), "/").await.unwrap(), "1.0 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_mind_term_is_killed_when_its_time_is_over() {
    let world = World::new();
    let deaf = with_recipe(world.desired("1.0", "deaf", 1), |r| r.drain = Span::millis(300));
    world.driver.apply(&deaf).await.unwrap();
    assert_eq!(world.processes(1).len(), 1);
    world.deploy("1.1", 2).await;
    assert_eq!(world.processes(1), NOBODY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_fencing_number_is_refused_and_a_higher_one_takes_over() {
    let world = World::new();
    world.deploy("1.0", 5).await;
    let stale = world.driver.apply(&world.desired("0.9", "well", 4)).await.unwrap_err();
    assert!(matches!(stale, DriverError::Fenced { offered: 4, held: 5 }) && stale.is_final(), "{stale}");
    assert_eq!(world.processes(4), NOBODY);

    let (driver, hanging) = (world.driver.clone(), world.desired("1.1", "never-ready", 6));
    let overtaken = tokio::spawn(async move { driver.apply(&hanging).await });
    until("the first to start", || async { (!world.processes(6).is_empty()).then_some(()) }).await;
    assert_eq!(world.observe().await.underway, Some(op(6)));
    world.deploy("1.2", 7).await;
    assert!(matches!(overtaken.await.unwrap(), Err(DriverError::Fenced { offered: 6, held: 7 })));
    assert_eq!((world.processes(5).len(), world.processes(6).len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_one_is_stopped_and_the_old_one_stays() {
    let world = World::new();
    world.deploy("1.0", 1).await;
    let desired = world.desired("1.1", "never-ready", 2);
    let (driver, hanging) = (world.driver.clone(), desired.clone());
    let applying = tokio::spawn(async move { driver.apply(&hanging).await });
    until("it to start", || async { (!world.processes(2).is_empty()).then_some(()) }).await;
    world.driver.cancel(&desired.place(), op(2)).await.unwrap();
    applying.await.unwrap().unwrap();
    let seen = world.observe().await;
    assert_eq!((seen.taken_back, seen.failure.as_deref(), seen.observation.op), (Some(op(2)), Some("cancelled"), Some(op(1))));
    assert_eq!(world.processes(2), NOBODY);

    world.driver.cancel(&desired.place(), op(1)).await.unwrap();
    assert_eq!(world.observe().await.observation.op, Some(op(1)), "what is done stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_artifact_changes_nothing() {
    let world = World::new();
    world.deploy("1.0", 1).await;
    let mut desired = world.desired("1.1", "well", 2);
    std::fs::write(&desired.artifacts.values().next().unwrap().uri, "something else").unwrap();
    let wrong = world.driver.apply(&desired).await.unwrap_err();
    assert!(wrong.to_string().starts_with("component `server`: wanted sha256:") && wrong.is_final(), "{wrong}");
    desired = with_recipe(world.desired("1.1", "well", 2), |r| r.run.push("{endpoint:nobody}".into()));
    assert!(matches!(world.driver.apply(&desired).await, Err(DriverError::Template(_))));
    assert_eq!(world.observe().await.underway, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_a_stable_address_is_driven_too() {
    let mut world = World::new();
    world.place.stable = None;
    world.deploy("1.0", 1).await;
    world.deploy("1.1", 2).await;
    assert_eq!(world.processes(1), NOBODY);
    world.driver.apply(&world.desired("1.2", "crash", 3)).await.unwrap();
    let seen = world.observe().await;
    assert_eq!((seen.taken_back, seen.observation.op, seen.observation.health), (Some(op(3)), Some(op(2)), Health::Healthy));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_someone_else_holds_is_named_with_its_holder() {
    let world = World::new();
    let squatter = std::net::TcpListener::bind(world.place.stable.unwrap()).unwrap();
    world.driver.apply(&world.desired("1.0", "well", 1)).await.unwrap();
    let seen = world.observe().await;
    let why = seen.failure.clone().unwrap();
    let wanted = format!("cannot listen on {}: address in use by pid {} (", world.place.stable.unwrap(), std::process::id());
    assert!(why.starts_with(&wanted), "{why}");
    assert_eq!(seen.taken_back, Some(op(1)));
    drop(squatter);
    let desired = world.desired("1.0", "well", 2);
    world.driver.apply(&desired).await.unwrap();
    assert_settled(&world.observe().await, &desired);
}
