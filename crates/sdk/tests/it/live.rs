//! Changes, however they come, and coming back.

use greenroom_sdk::NoAnswer;
use greenroom_sdk::exposure::Reason;
use greenroom_sdk::follow::{Broken, Contact, Pace};

use crate::host::Host;
use crate::{ANYONE, GOLD, at, connect, options, quick, until};

#[tokio::test]
async fn a_change_comes_as_a_delta() {
    let host = Host::start();
    let greenroom = connect(options(&host)).await;
    let before = at(&greenroom, 41).await.held.unwrap();
    let answer = greenroom.evaluate("gold", &GOLD).unwrap();
    assert_eq!((answer.variant.as_str(), answer.reason, answer.release.as_deref()), ("on", Reason::TargetingMatch, Some("autumn")));
    assert!(greenroom.boolean("plain", &ANYONE, false));

    host.plane.publish(42, false);
    let after = at(&greenroom, 42).await.held.unwrap();
    assert!(!greenroom.boolean("plain", &ANYONE, true));
    assert_eq!(host.plane.events(), ["snapshot", "delta"]);
    assert_eq!(before.snapshot().resolve("gold"), after.snapshot().resolve("gold"), "handles stay good");
    greenroom.close().await;
}

#[tokio::test]
async fn after_a_lost_delta_the_whole_comes() {
    let host = Host::start();
    let greenroom = connect(options(&host)).await;
    at(&greenroom, 41).await;
    host.plane.tap.lock().unwrap().lose = true;
    host.plane.publish(42, false);
    // rendered, and lost
    crate::eventually(|| (host.plane.events().len() == 2).then_some(())).await;
    host.plane.publish(43, false);
    at(&greenroom, 43).await;
    assert!(!greenroom.boolean("plain", &ANYONE, true));
    assert_eq!(host.plane.events(), ["snapshot", "delta", "delta", "snapshot"]);
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_and_told_where_we_are() {
    let host = Host::start();
    let greenroom = connect(options(&host).instance("shop-1")).await;
    at(&greenroom, 41).await;
    let host = host.restart(41);
    crate::eventually(|| (host.plane.presence.acknowledged("production", 41).acknowledged == 1).then_some(())).await;
    assert!(host.plane.events().is_empty(), "who has the latest is sent nothing");
    host.plane.publish(42, false);
    at(&greenroom, 42).await;
    assert!(!greenroom.boolean("plain", &ANYONE, true));
}

#[tokio::test]
async fn while_the_server_is_gone_the_last_answers_stand() {
    let mut host = Host::start();
    let greenroom = connect(options(&host)).await;
    at(&greenroom, 41).await;
    host.stop();
    let state = until(&greenroom, |state| matches!(&state.contact, Contact::Lost(why) if matches!(**why, Broken::Unreachable(_)))).await;
    assert_eq!(state.held.unwrap().revision(), 41);
    assert!(greenroom.boolean("plain", &ANYONE, false));
}

/// A connection that is there and says nothing is as good as none.
#[tokio::test]
async fn silence_is_a_break() {
    let host = Host::start();
    let silence = std::time::Duration::from_millis(200); // less than the second after which the server says something
    let greenroom = connect(options(&host).pace(Pace { silence, ..quick() })).await;
    until(&greenroom, |state| state.streams >= 3).await;
    assert!(greenroom.boolean("plain", &ANYONE, false));
}

#[tokio::test]
async fn a_handle_serves_from_revision_to_revision() {
    let host = Host::start();
    let greenroom = connect(options(&host)).await;
    let (plain, unheard) = (greenroom.feature("plain"), greenroom.feature("unheard"));
    assert!(plain.boolean(&ANYONE, false));
    assert_eq!(unheard.evaluate(&ANYONE), Err(NoAnswer::NotFound));
    host.plane.publish(42, false);
    at(&greenroom, 42).await;
    assert!(!plain.boolean(&ANYONE, true));
    // one revision for as long as it is held
    let now = greenroom.now().unwrap();
    host.plane.publish(43, true);
    at(&greenroom, 43).await;
    assert_eq!((plain.evaluate_in(&now, &ANYONE).unwrap().variant(), plain.boolean(&ANYONE, false)), ("off", true));
    assert!(plain.evaluate(&ANYONE).is_ok());
    assert_eq!(greenroom.feature("limit").integer(&ANYONE, 0), 10);
    assert_eq!(greenroom.feature("greeting").string(&ANYONE, ""), "say \"hi\"");
}

#[tokio::test]
async fn an_explanation_is_of_the_same_caller() {
    let host = Host::start();
    let greenroom = connect(options(&host)).await;
    let explained = greenroom.explain("new-build", &ANYONE).unwrap();
    assert_eq!((explained.answer.variant.as_str(), explained.revision), ("on", 41));
    assert!(explained.steps.iter().any(|step| step.clause.as_ref().is_some_and(|clause| clause.contains("app.version"))), "{explained:?}");
}
