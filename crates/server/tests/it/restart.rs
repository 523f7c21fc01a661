//! What a start finds: exposure before the ledger, and nothing but exposure when the ledger is no ledger any more.

use std::os::unix::fs::FileExt as _;

use reqwest::Method;
use serde_json::json;

use crate::world::World;

const BASELINE: &str = "/features/button/baseline";

async fn shown(world: &World, token: &str) {
    while world.evaluate(token, "u").await.body["value"] != true {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_everything_and_the_same_revision() {
    let mut world = World::new().await;
    let eva = world.person("eva", &["engineer"]).await;
    let sdk = world.token("sdk", Some("test")).await;
    world.put(&eva, BASELINE, &json!({"environment": "test", "variant": "on"})).await;
    shown(&world, &sdk).await;
    let before = (world.get(&eva, "/features/button").await.body, world.evaluate(&sdk, "u").await.body, world.get(&eva, "/board").await.seq());
    world.restart().await;
    assert_eq!(world.get(&eva, "/readyz").await.status, 200);
    assert_eq!((world.get(&eva, "/features/button").await.body, world.evaluate(&sdk, "u").await.body, world.get(&eva, "/board").await.seq()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_ledger_refuses_writes_and_serves_what_was_published() {
    let mut world = World::new().await;
    let eva = world.person("eva", &["engineer"]).await;
    let sdk = world.token("sdk", Some("test")).await;
    world.put(&eva, BASELINE, &json!({"environment": "test", "variant": "on"})).await;
    shown(&world, &sdk).await;
    world.stop().await;
    let file = std::fs::OpenOptions::new().write(true).open(world.dir.path().join("data/greenroom.db")).unwrap();
    file.write_all_at(&[0xa5; 8192], 0).unwrap();
    drop(file);
    let running = crate::world::start(&world.dir.path().join("data")).await;
    assert!(running.trouble.is_some());
    world.url = format!("http://{}", running.address);
    assert_eq!(world.evaluate(&sdk, "u").await.body["value"], true);
    assert_eq!(world.evaluate("gr_sdk_other", "u").await.status, 401);
    for refused in [world.put(&eva, BASELINE, &json!({"environment": "test", "variant": "off"})).await, world.get(&eva, "/readyz").await] {
        assert_eq!((refused.status.as_u16(), refused.code()), (503, "storage-unavailable"), "{refused:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_is_not_served_any_more() {
    let mut world = World::new().await;
    let sdk = world.token("sdk", Some("test")).await;
    while world.evaluate(&sdk, "u").await.status != 200 {
        tokio::task::yield_now().await;
    }
    let yaml = "apiVersion: greenroom/v1\nkind: Feature\nmetadata: { name: button }\nspec: { type: boolean, variants: { \"on\": true, \"off\": false }, \"off\": \"off\" }\n";
    let pruned = world.put(&world.admin, "/manifests/here", &json!({"documents": [{"file": "here.yaml", "text": yaml}], "prune": true})).await;
    assert_eq!(pruned.status, 200, "{pruned:?}");
    while world.evaluate(&sdk, "u").await.status == 200 {
        tokio::task::yield_now().await;
    }
    world.restart().await;
    assert_ne!(world.evaluate(&sdk, "u").await.status, 200);
    assert!(!world.dir.path().join("data/snapshots/test").exists());
}

/// Else a start would serve for a moment, or from a torn ledger for ever, what was switched off since.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_could_not_be_written_is_written_later() {
    let world = World::new().await;
    let eva = world.person("eva", &["engineer", "release-manager"]).await;
    let sdk = world.token("sdk", Some("test")).await;
    world.put(&eva, BASELINE, &json!({"environment": "test", "variant": "on"})).await;
    shown(&world, &sdk).await;
    let (kept, away) = (world.dir.path().join("data/snapshots"), world.dir.path().join("away"));
    std::fs::rename(&kept, &away).unwrap();
    std::fs::write(&kept, "no directory").unwrap();
    let killed = world.post(&eva, "/features/button/kill", &json!({"environment": "test", "reason": "it hurts"})).await;
    assert_eq!(killed.status, 200, "{killed:?}");
    std::fs::remove_file(&kept).unwrap();
    std::fs::rename(&away, &kept).unwrap();
    while !std::fs::read_to_string(kept.join("test")).unwrap_or_default().contains("killed") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_text_is_nowhere() {
    let mut world = World::new().await;
    let request = world.request(Method::POST, &world.admin, "/people").header("idempotency-key", "k").json(&json!({"name": "Wilhelmine Unvergessen", "roles": []}));
    let id = world.send(request).await.body["id"].as_str().unwrap().to_owned();
    let present = world.post(&world.admin, "/erase", &json!({"person": id})).await;
    assert_eq!(present.code(), "conflict", "{present:?}");
    let unknown = world.post(&world.admin, "/erase", &json!({"sealed": [format!("sha256:{}", "0".repeat(64))]})).await;
    assert_eq!(unknown.code(), "not-found", "{unknown:?}");
    world.send(world.request(Method::DELETE, &world.admin, &format!("/people/{id}")).json(&json!({}))).await;
    let erased = world.post(&world.admin, "/erase", &json!({"person": id})).await;
    assert_eq!(erased.status, 200, "{erased:?}");
    assert_eq!(world.post(&world.admin, "/ledger/verify", &json!({})).await.status, 200, "the chain still verifies");
    world.restart().await;
    let people = world.get(&world.admin, "/people").await;
    assert!(!people.body.to_string().contains("Unvergessen"), "{people:?}");
    world.stop().await;
    let bytes = std::fs::read(world.dir.path().join("data/greenroom.db")).unwrap();
    assert!(!bytes.windows(10).any(|w| w == b"Unvergesse"), "the name stands in the file");
}

/// Who follows with a token hears nothing more once it is revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_the_streams_that_it_opened() {
    let world = World::new().await;
    let (eva, sdk) = (world.person("eva", &["engineer"]).await, world.token("sdk", Some("test")).await);
    let mut stream = world.request(Method::GET, &sdk, "/snapshot/stream").send().await.unwrap();
    let mut heard = String::new();
    while !heard.contains("event: snapshot") {
        heard.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().expect("it is open")).unwrap());
    }
    let tokens = world.get(&world.admin, "/tokens").await;
    let id = tokens.body["items"].as_array().unwrap().iter().find(|t| t["environment"] == "test").unwrap()["id"].as_str().unwrap().to_owned();
    let revoked = world.send(world.request(Method::DELETE, &world.admin, &format!("/tokens/{id}")).json(&json!({}))).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let set = world.put(&eva, "/features/button/baseline", &json!({"environment": "test", "variant": "on"})).await;
    assert_eq!(set.status, 200, "{set:?}");
    let mut rest = String::new();
    while let Ok(Some(chunk)) = stream.chunk().await {
        rest.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(!rest.contains("event: delta") && !rest.contains("event: snapshot"), "{rest}");
}
