//! What applications know by name: called as they call it wherever it goes, and declared attributes that bind whoever reads them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, World};

fn manifest(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: greenroom/v1\nkind: {kind}\nmetadata: {{ name: {} }}\nspec: {spec}\n", json!(name))
}

async fn apply(world: &World, token: &str, set: &str, documents: &[String], prune: bool) -> Answer {
    world.put(token, &format!("/manifests/{set}"), &json!({"documents": [{"file": "names.yaml", "text": documents.join("---\n")}], "prune": prune})).await
}

/// As one segment of a path.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |path, byte| if byte.is_ascii_alphanumeric() { path + &char::from(byte).to_string() } else { path + &format!("%{byte:02X}") })
}

const KEY: &str = "Suche/φ 你好 \"1\" #2 100% a`b?x=1&y";

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_is_called_what_applications_call_it_everywhere() {
    let mut world = World::new().await;
    let (eva, sdk) = (world.person("eva", &["engineer", "on-call"]).await, world.token("sdk", Some("test")).await);
    let feature = manifest("Feature", KEY, r#"{ type: string, variants: { "Rot & Blau": "x", "Größe, 2": "y", aus: "" }, "off": aus }"#);
    let applied = apply(
        &world,
        &eva,
        "names",
        &[
            feature,
            manifest(
                "Feature",
                "needs it",
                &format!(
                    r#"{{ type: boolean, variants: {{ "on": true, "off": false }}, "off": "off", defaults: {{ test: "on" }}, prerequisites: {{ {}: ["Größe, 2"] }} }}"#,
                    json!(KEY)
                ),
            ),
        ],
        false,
    )
    .await;
    assert_eq!(applied.status, 200, "{applied:?}");
    assert_eq!(applied.body["changes"][0]["name"], KEY);
    let path = format!("/features/{}", encoded(KEY));
    let shown = world.get(&eva, &path).await;
    assert_eq!((&shown.body["key"], &shown.body["spec"]["variants"]["Größe, 2"]), (&json!(KEY), &json!("y")), "{shown:?}");
    let half = json!([{"name": "half", "then": {"split": {"salt": "s", "weights": [["Größe, 2", 1], ["Rot & Blau", 0]]}}}]);
    let set = world.put(&eva, &format!("{path}/baseline"), &json!({"environment": "test", "rules": half, "variant": "Rot & Blau"})).await;
    assert_eq!(set.status, 200, "{set:?}");

    let evaluate = async |world: &World, path: &str| {
        let asked = world.request(Method::POST, &sdk, &format!("/ofrep/v1/evaluate/flags/{path}")).json(&json!({"context": {"targetingKey": "u"}}));
        world.send(asked).await.body
    };
    // published a moment after it is answered
    while evaluate(&world, &encoded(KEY)).await["variant"] != "Größe, 2" {}
    let asked = world.request(Method::POST, &sdk, "/ofrep/v1/evaluate/flags").json(&json!({"context": {"targetingKey": "u"}}));
    let bulk = world.send(asked).await;
    let keys: Vec<_> = bulk.body["flags"].as_array().unwrap().iter().map(|flag| flag["key"].as_str().unwrap()).collect();
    assert!(keys.contains(&KEY) && bulk.headers.contains_key("etag"), "{bulk:?}");
    assert_eq!(evaluate(&world, "needs%20it").await["value"], true);
    let explained = world.get(&eva, &format!("/explain?environment=test&for=u&feature={}", encoded(KEY))).await;
    assert_eq!((&explained.body["feature"], &explained.body["variant"]), (&json!(KEY), &json!("Größe, 2")), "{explained:?}");
    let usage = world.get(&eva, &format!("{path}/usage")).await;
    assert!(usage.body["by"].as_array().unwrap().iter().any(|by| by["variant"] == "Größe, 2"), "{usage:?}");

    let killed = world.post(&eva, &format!("{path}/kill"), &json!({"environment": "test", "reason": "smoke"})).await;
    assert_eq!(killed.status, 200, "{killed:?}");
    let kinds = async |world: &World| {
        let events = world.get(&eva, &format!("/events?subject=feature%2F{}", encoded(KEY))).await;
        events.body["items"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&world).await, ["feature.killed", "baseline.set", "feature.defined"]);
    world.restart().await;
    assert_eq!(kinds(&world).await, ["feature.killed", "baseline.set", "feature.defined"]);
    while evaluate(&world, &encoded(KEY)).await["variant"] != "aus" {}

    for name in ["..", "a\u{202e}b", " a"] {
        let refused = apply(&world, &eva, "names", &[manifest("Feature", name, r#"{ type: boolean, variants: { "off": false }, "off": "off" }"#)], false).await;
        assert_eq!((refused.code(), &refused.body["detail"]), ("invalid", &json!("names.yaml:3:19")), "{refused:?}");
    }
    let named = world.get(&eva, "/features/a%0Ab").await;
    assert_eq!((named.status.as_u16(), &named.body["detail"]), (400, &json!("in the path, key")), "{named:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_attribute_is_published_and_binds_whoever_reads_it() {
    let world = World::new().await;
    let (eva, sdk) = (world.person("eva", &["engineer"]).await, world.token("sdk", Some("test")).await);
    let before = async |world: &World| world.get(&sdk, "/snapshot").await.body["snapshot"].clone();
    while before(&world).await["features"]["button"].is_null() {}
    let mut stream = world.request(Method::GET, &sdk, "/snapshot/stream").send().await.unwrap();

    let plan = manifest("Attribute", "plan", "{ type: string }");
    let version = manifest("Attribute", "app.version", "{ type: semver }");
    let paying = manifest("Cohort", "paying", "{ any_of: [[{ attribute: plan, op: in, values: [gold] }]] }");
    let planned = world.put(&eva, "/manifests/names?dry_run=true", &json!({"documents": [{"file": "a.yaml", "text": plan}]})).await;
    assert_eq!(planned.body["changes"], json!([{"kind": "attribute", "name": "plan", "action": "create", "after": {"type": "string"}}]), "{planned:?}");
    let applied = apply(&world, &eva, "names", &[plan.clone(), version.clone(), paying.clone()], false).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    let again = apply(&world, &eva, "names", &[plan.clone(), version, paying.clone()], false).await;
    assert!(again.body["changes"].as_array().unwrap().iter().all(|change| change["action"] == "unchanged"), "{again:?}");

    let declared = json!({"app.version": "semver", "plan": "string"});
    while before(&world).await["attributes"] != declared {}
    let mut told = String::new();
    while !told.contains("event: delta") || !told.ends_with("\n\n") {
        told.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    }
    let delta: Value =
        told.split("event: delta").nth(1).and_then(|rest| rest.lines().find_map(|line| line.strip_prefix("data:"))).map(|data| serde_json::from_str(data).unwrap()).unwrap();
    assert_eq!(delta["attributes"], declared, "{told}");
    assert_eq!(world.get(&eva, "/environments/production/exposure").await.body["attributes"], declared);

    // who reads it by another type is refused, wherever that stands
    let number = |name: &str| json!({"environment": "test", "rules": [{"name": name, "when": [{"attribute": "plan", "op": "gt", "values": [3]}], "then": {"variant": "on"}}]});
    let rule = world.put(&eva, "/features/button/baseline", &number("three")).await;
    let fault = "rule `three`: `gt` does not fit attribute `plan`, declared as string";
    let reason = &rule.body["reasons"][0];
    assert_eq!((rule.code(), &reason["path"], &reason["message"]), ("invalid", &json!("rules[0]"), &json!(fault)), "{rule:?}");
    let cohort = apply(&world, &eva, "other", &[manifest("Cohort", "few", "\n  any_of:\n    - [{ attribute: plan, op: gt, values: [3] }]")], false).await;
    assert_eq!((cohort.code(), &cohort.body["detail"]), ("invalid", &json!("names.yaml:6")), "{cohort:?}");
    let retyped = apply(&world, &eva, "names", &[manifest("Attribute", "plan", "{ type: number }")], false).await;
    let reason = &retyped.body["reasons"][0];
    assert_eq!(
        (retyped.code(), &reason["code"], &reason["subject"], &reason["path"]),
        ("refused", &json!("still-referenced"), &json!("attribute/plan"), &json!("spec.type")),
        "{retyped:?}"
    );
    assert!(reason["message"].as_str().unwrap().starts_with("cohort `paying` reads it by another type"), "{retyped:?}");
    assert_eq!(retyped.body["detail"], "names.yaml:4");

    let list = world.get(&eva, "/attributes").await;
    assert_eq!(
        list.body["items"],
        json!([{"name": "app.version", "spec": {"type": "semver"}, "read_by": []}, {"name": "plan", "spec": {"type": "string"}, "read_by": ["cohort paying"]}]),
        "{list:?}"
    );
    assert_eq!(world.get(&eva, "/attributes/app.version").await.body, list.body["items"][0]);
    assert_eq!(world.get(&eva, "/attributes/none").await.status, 404);
    // what is not declared is read by any type
    let pruned = apply(&world, &eva, "names", &[paying], true).await;
    assert_eq!(pruned.status, 200, "{pruned:?}");
    assert_eq!(world.put(&eva, "/features/button/baseline", &number("three")).await.status, 200);
    while before(&world).await.get("attributes").is_some() {}
}
