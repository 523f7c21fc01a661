//! A withdrawal is over when every evaluator that names itself has said that it answers without the release.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

async fn release(world: &World, token: &str) -> Value {
    world.get(token, "/releases/spring").await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_each_evaluator_by_name() {
    let world = World::new().await;
    let (rosa, sdk) = (world.person("rosa", &["release-manager", "product-owner"]).await, world.token("sdk", Some("test")).await);
    let spec = json!({"features": [{"key": "button", "variant": "on"}], "environments": ["test"], "stages": [{"name": "all", "share": "100%"}]});
    let planned = world.put(&rosa, "/releases/spring", &json!({"spec": spec})).await;
    assert_eq!(planned.status, 200, "{planned:?}");
    let started = world.post(&rosa, "/releases/spring/start", &json!({})).await;
    assert_eq!(started.status, 200, "{started:?}");
    while world.evaluate(&sdk, "u").await.body["value"] != true {
        tokio::task::yield_now().await;
    }

    // who has a stream open stays in contact, however slow the machine
    let stream = |name: &str| world.request(Method::GET, &sdk, "/snapshot/stream").header("greenroom-instance", name).send();
    let open = (stream("web-1").await.unwrap(), stream("web-2").await.unwrap());
    let says = async |name: &str, revision: u64| {
        let said = world.post(&sdk, "/evaluators", &json!({"instance": name, "revision": revision})).await;
        assert_eq!(said.status, 204, "{said:?}");
    };
    let shown = started.seq();
    says("web-1", shown).await;
    says("web-2", shown).await;
    let taken = world.post(&rosa, "/releases/spring/withdraw", &json!({"confirm": true})).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    while world.evaluate(&sdk, "u").await.body["value"] != false {
        tokio::task::yield_now().await;
    }
    says("web-1", taken.seq()).await;
    let course = |release: &Value| release["environments"][0]["state"].as_str().unwrap_or_else(|| panic!("{release}")).to_owned();
    assert_eq!(course(&release(&world, &rosa).await), "withdrawing", "web-2 still answers with it");
    says("web-2", taken.seq()).await;
    while course(&release(&world, &rosa).await) != "withdrawn" {
        tokio::task::yield_now().await;
    }
    drop(open);
}
