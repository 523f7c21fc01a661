//! Features over HTTP: taken over from other products, what protocols make of them, and how much they are evaluated.

use greenroom_server::Doors;
use greenroom_server::config::{Admission, Flagd};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

fn unleash(features: &Value) -> String {
    json!({"version": 2, "features": features}).to_string()
}

/// What an SDK token's holder is answered.
async fn value(world: &World, sdk: &str, feature: &str, context: &Value) -> Value {
    let asked = world.request(Method::POST, sdk, &format!("/ofrep/v1/evaluate/flags/{feature}")).json(&json!({"context": context}));
    world.send(asked).await.body["value"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_of_another_product_are_taken_over_at_once_or_not_at_all() {
    let world = World::new().await;
    let (eva, sdk) = (world.person("eva", &["engineer"]).await, world.token("sdk", Some("test")).await);
    let gold = json!([{"name": "default", "constraints": [{"contextName": "plan", "operator": "IN", "values": ["gold"]}]}]);
    let text = unleash(&json!([{"name": "search", "enabled": true, "strategies": gold}, {"name": "odd", "enabled": true, "strategies": [{"name": "our-own"}]}]));
    let request = json!({"from": "unleash", "environment": "test", "text": text});

    let head = world.get(&eva, "/features").await.seq();
    let planned = world.post(&eva, "/imports?dry_run=true", &request).await;
    assert_eq!((planned.status.as_u16(), planned.seq()), (200, head), "{planned:?}");
    let came = world.post(&eva, "/imports", &request).await;
    assert_eq!(came.body, planned.body);
    assert_eq!(came.body["changes"][0]["action"], "create");
    assert_eq!(came.body["serves"], json!([{"feature": "search", "rules": 1, "default": "off", "changed": true}]));
    assert_eq!(came.body["refused"][0]["feature"], "odd");
    // published a moment after it is answered
    while value(&world, &sdk, "search", &json!({"targetingKey": "u", "plan": "gold"})).await != json!(true) {}
    assert_eq!(value(&world, &sdk, "search", &json!({"targetingKey": "u", "plan": "silver"})).await, json!(false));

    let again = world.post(&eva, "/imports", &request).await;
    assert_eq!((again.seq(), &again.body["serves"][0]["changed"]), (came.seq(), &json!(false)));
    let production = world.post(&world.admin, "/imports", &json!({"from": "unleash", "environment": "production", "text": text})).await;
    assert_eq!((production.code(), &production.body["reasons"][0]["code"]), ("refused", &json!("not-released")), "{production:?}");
    let theirs =
        world.post(&eva, "/imports", &json!({"from": "unleash", "environment": "test", "text": unleash(&json!([{"name": "button", "enabled": true, "strategies": []}]))})).await;
    assert!(theirs.status.is_client_error() && theirs.body["reasons"][0]["subject"] == "feature/button", "{theirs:?}");
    let broken = world.post(&eva, "/imports", &json!({"from": "flagd", "environment": "test", "text": "{"})).await;
    assert_eq!((broken.status.as_u16(), broken.code(), &broken.body["detail"]), (400, "invalid", &json!("in the request, text")), "{broken:?}");
    assert_eq!(world.get(&eva, "/features").await.seq(), came.seq());
}

/// As they are in applications: the same that a manifest may have.
#[tokio::test(flavor = "multi_thread")]
async fn flags_of_flagd_keep_their_keys() {
    let world = World::new().await;
    let eva = world.person("eva", &["engineer"]).await;
    let flag = json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"});
    let text = json!({"flags": {"été": flag, "a+b": flag, "a b": flag, "hidden\u{200b}": flag, " ": flag}}).to_string();
    let came = world.post(&eva, "/imports", &json!({"from": "flagd", "environment": "test", "text": text})).await;
    let keys = |list: &str| came.body[list].as_array().unwrap().iter().map(|one| one["feature"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!((keys("serves"), keys("refused")), (["a b", "a+b", "été"].map(str::to_owned).to_vec(), [" ", "hidden\u{200b}"].map(str::to_owned).to_vec()), "{came:?}");
    assert!(came.body["refused"][1]["because"].as_str().unwrap().contains("use 1 to 200 bytes of visible text"), "{came:?}");
}

/// Said when it is saved, so that nobody finds out in production.
#[tokio::test(flavor = "multi_thread")]
async fn who_saves_a_feature_hears_which_sdk_cannot_evaluate_it() {
    let world = World::new().await;
    let eva = world.person("eva", &["engineer"]).await;
    let half = json!([{"name": "half", "then": {"split": {"salt": "s", "weights": [["on", 1], ["off", 1]]}}}]);
    let saved = world.put(&eva, "/features/button/baseline", &json!({"environment": "test", "rules": half})).await;
    let protocols = |answer: &Value, environment: &str| -> Vec<(String, String)> {
        let inside = answer["environments"].as_array().unwrap().iter().find(|e| e["environment"] == environment).unwrap();
        inside["protocols"].as_array().into_iter().flatten().map(|p| (p["protocol"].as_str().unwrap().to_owned(), p["evaluated"].as_str().unwrap().to_owned())).collect()
    };
    let flagd = |how: &str| ("flagd".to_owned(), how.to_owned());
    assert!(protocols(&saved.body, "test").contains(&flagd("remotely")), "{saved:?}");
    let whole = world.get(&eva, "/features/button").await.body;
    assert!(protocols(&whole, "test").contains(&flagd("remotely")) && protocols(&whole, "production").contains(&flagd("locally")), "{whole}");
    assert!(world.get(&eva, "/features").await.body["items"][0]["environments"][0]["protocols"].is_null(), "not in lists");

    let yaml =
        "apiVersion: greenroom/v1\nkind: Feature\nmetadata: { name: button }\nspec: { type: boolean, variants: { \"on\": true, \"off\": false }, \"off\": \"off\", owner: web }\n";
    let applied = world.put(&eva, "/manifests/here", &json!({"documents": [{"file": "here.yaml", "text": yaml}]})).await;
    assert!(applied.body["notes"][0].as_str().is_some_and(|note| note.starts_with("`button` cannot be evaluated locally by flagd in test: ")), "{applied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_evaluators_counted_is_kept_and_shown() {
    let mut world = World::new().await;
    let sdk = world.token("sdk", Some("test")).await;
    let count = |variant: &str, count: u64| json!({"feature": "button", "variant": variant, "count": count});
    let report = json!({"instance": "web-1", "build": "web@1.2.0", "revision": 1, "batch": {"number": 1, "counts": [count("on", 3), count("off", 4), count("none", 5)]}});
    // served a moment after the environment is defined
    while world.evaluate(&sdk, "u").await.status != 200 {
        tokio::task::yield_now().await;
    }
    let said = world.post(&sdk, "/evaluators", &report).await;
    assert_eq!(said.status, 204, "{said:?}");
    let usage = async |world: &World| world.get(&world.admin, "/features/button/usage").await.body;
    let before = usage(&world).await;
    // what was asked for above counts too; who asked did not say for which build
    assert_eq!((&before["evaluations"], &before["stale"]), (&json!(8), &json!(false)), "{before}");
    let by = |n: usize| (before["by"][n]["variant"].clone(), before["by"][n]["build"].clone(), before["by"][n]["evaluations"].clone());
    assert_eq!([by(0), by(1), by(2)], [(json!("off"), Value::Null, json!(1)), (json!("off"), json!("web@1.2.0"), json!(4)), (json!("on"), json!("web@1.2.0"), json!(3))]);
    let last = before["last"].as_str().unwrap();
    assert!(last.len() == 10 && (0..3).all(|n| before["by"][n]["last"] == last), "a date: {before}");
    let features = async |world: &World, query: &str| -> Vec<String> {
        let listed = world.get(&world.admin, query).await.body["items"].take();
        listed.as_array().unwrap().iter().map(|usage| usage["feature"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(features(&world, "/usage?stale=true").await, [""; 0]);
    let yaml = "apiVersion: greenroom/v1\nkind: Feature\nmetadata: { name: idle }\nspec: { type: boolean, variants: { \"on\": true, \"off\": false }, \"off\": \"off\" }\n";
    let applied = world.put(&world.admin, "/manifests/more", &json!({"documents": [{"file": "more.yaml", "text": yaml}]})).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    assert_eq!((features(&world, "/usage?stale=true").await, features(&world, "/usage").await), (vec!["idle".to_owned()], vec!["button".to_owned(), "idle".to_owned()]));
    let idle = world.get(&world.admin, "/features/idle/usage").await.body;
    assert_eq!((&idle["evaluations"], &idle["last"], &idle["stale"]), (&json!(0), &Value::Null, &json!(true)), "{idle}");
    world.restart().await;
    assert_eq!(usage(&world).await, before, "kept over a restart");
    let wrong = world.get(&world.admin, "/features/button/usage?days=0").await;
    assert_eq!((wrong.status.as_u16(), wrong.code()), (400, "invalid"));
}

/// The ports are there when the configuration names them, and for whom it says.
#[tokio::test(flavor = "multi_thread")]
async fn flagds_ports_serve_the_environment_that_they_are_for() {
    let mut world = World::new().await;
    let (test, production) = (world.token("sdk", Some("test")).await, world.token("sdk", Some("production")).await);
    world.stop().await;
    let any = || Some("127.0.0.1:0".parse().unwrap());
    let port = |admission| Flagd { environment: "test".parse().unwrap(), evaluation: any(), sync: any(), admission: Some(admission) };
    let doors = Doors { http: any().unwrap(), flagd: vec![port(Admission::Anyone), port(Admission::Token)] };
    let running = greenroom_server::start(&world.dir.path().join("data"), doors, "greenroom".into()).await.unwrap();
    let services: Vec<_> = running.flagd.iter().map(|(environment, service, _)| format!("{environment} {service}")).collect();
    assert_eq!(services, ["test evaluation", "test sync", "test evaluation", "test sync"]);
    let ask = async |port: usize, token: Option<&str>| {
        let asked = world.http.post(format!("http://{}/flagd.evaluation.v1.Service/ResolveBoolean", running.flagd[port].2));
        let asked = asked.json(&json!({"flagKey": "button", "context": {"targetingKey": "u"}}));
        world.send(token.map_or(asked.try_clone().unwrap(), |token| asked.bearer_auth(token))).await
    };
    let anyone = ask(0, None).await;
    assert_eq!((anyone.status.as_u16(), &anyone.body["variant"]), (200, &json!("off")), "{anyone:?}");
    assert_eq!(ask(2, None).await.status, 401);
    assert_eq!(ask(2, Some(&production)).await.status, 403);
    assert_eq!(ask(2, Some(&test)).await.status, 200);
    running.stop().await;
}
