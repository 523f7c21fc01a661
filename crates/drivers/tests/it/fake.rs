//! The fake keeps the same contract.

use greenroom_domain::deployment::placement::Health;
use greenroom_drivers::fake::{FakeDriver, Next};
use greenroom_drivers::{Desired, Driver, DriverError, Seen};

use crate::world::{Place, fresh_dir, op, until};

fn desired(number: u32) -> Desired {
    let place = Place { dir: fresh_dir(), stable: None };
    let desired = place.desired(&format!("1.{number}"), "well", number);
    std::fs::remove_dir_all(place.dir).unwrap();
    desired
}

async fn see(driver: &dyn Driver, desired: &Desired) -> Seen {
    driver.observe(&desired.place()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_it_is_told() {
    let fake = FakeDriver::new();
    let (first, second, third) = (desired(1), desired(2), desired(3));
    let key = &first.key;
    assert_eq!(see(&fake, &first).await.observation.health, Health::Down);

    fake.script(key, Next::SlowReady(2));
    fake.apply(&first).await.unwrap();
    let settled = [see(&fake, &first).await.settled, see(&fake, &first).await.settled, see(&fake, &first).await.settled];
    assert_eq!(settled, [false, false, true]);

    fake.script(key, Next::TakeBack("exited with status 3".into()));
    fake.apply(&second).await.unwrap();
    fake.apply(&second).await.unwrap();
    let seen = see(&fake, &second).await;
    assert_eq!((seen.taken_back, seen.observation.op), (Some(op(2)), Some(op(1))));
    assert!(matches!(fake.apply(&first).await, Err(DriverError::Fenced { offered: 1, held: 2 })));

    fake.script(key, Next::Fail("no".into()));
    assert!(matches!(fake.apply(&third).await, Err(DriverError::Failed(_))));

    fake.script(key, Next::Hang);
    let (driver, hanging) = (fake.clone(), third.clone());
    let applying = tokio::spawn(async move { driver.apply(&hanging).await });
    until("underway", || async { (see(&fake, &third).await.underway == Some(op(3))).then_some(()) }).await;
    fake.release(key);
    applying.await.unwrap().unwrap();
    assert_eq!(see(&fake, &third).await.observation.build(), Some(&third.digest));

    fake.kill(key);
    assert_eq!(see(&fake, &third).await.observation.health, Health::Down);
    fake.apply(&third).await.unwrap();
    assert_eq!(see(&fake, &third).await.instances[0].restarts, 1);

    fake.cut_off(key);
    let seen = see(&fake, &third).await;
    assert!(seen.unreachable.is_some() && !seen.settled && !seen.observation.serving.is_empty(), "{seen:?}");
    fake.trouble(key, Some("no space left"));
    assert!(fake.apply(&third).await.is_err_and(|e| !e.is_final()));
    fake.trouble(key, None);
    fake.apply(&third).await.unwrap();
    assert!(see(&fake, &third).await.unreachable.is_none());

    fake.break_contact(key);
    assert!(fake.observe(&third.place()).await.is_err());
    assert!(matches!(fake.apply(&third).await, Err(DriverError::NoContact(_))));
    fake.restore_contact(key);
    fake.tamper(key, first.digest.clone());
    let seen = see(&fake, &third).await;
    assert_eq!((seen.observation.op, seen.observation.build(), seen.settled), (None, Some(&first.digest), false));
}
