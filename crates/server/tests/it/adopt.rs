//! What runs on a target that Greenroom never deployed to is looked at, and taken over as it is.

use serde_json::json;

use crate::world::World;

const RUNS: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A service whose own program says what runs on the targets of `test` and `production`.
async fn world_where_it_runs() -> World {
    let world = World::new().await;
    let says = world.dir.path().join("runs.json");
    let yaml = format!(
        "apiVersion: greenroom/v1\nkind: Service\nmetadata: {{ name: web }}\n\
         spec: {{ components: [server], recipes: {{ command: {{ apply: [\"false\"], observe: [cat, {}] }} }} }}\n",
        json!(says)
    );
    let applied = world.put(&world.admin, "/manifests/web", &json!({"documents": [{"file": "web.yaml", "text": yaml}]})).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_seen_and_then_adopted() {
    let world = world_where_it_runs().await;
    let dora = world.person("dora", &["deployer", "engineer"]).await;
    let adopt = json!({"environment": "production", "target": "p", "service": "web", "version": "1.0.0", "digest": RUNS});
    let silent = world.post(&dora, "/placements/adopt", &adopt).await;
    assert_eq!((silent.status.as_u16(), silent.code()), (409, "refused"), "the target does not answer: {silent:?}");
    assert!(silent.body["title"].as_str().unwrap().contains("the observe command"), "{silent:?}");

    std::fs::write(world.dir.path().join("runs.json"), r#"{"serving": {}}"#).unwrap();
    let nothing = world.post(&dora, "/placements/adopt", &adopt).await;
    assert_eq!((nothing.status.as_u16(), nothing.code()), (409, "conflict"), "nothing runs there: {nothing:?}");

    std::fs::write(world.dir.path().join("runs.json"), json!({"serving": {RUNS: 2}}).to_string()).unwrap();
    let before = world.get(&dora, "/board").await.seq();
    let vera = world.person("vera", &["viewer"]).await;
    let stranger = world.post(&vera, "/placements/adopt", &adopt).await;
    assert_eq!((stranger.status.as_u16(), stranger.code()), (403, "forbidden"));
    let seen = world.get(&dora, &format!("/events?after={before}&subject=placement/production/p/web")).await;
    assert_eq!(seen.body["items"], json!([]), "for who may not, nobody looks");

    let adopted = world.post(&dora, "/placements/adopt", &adopt).await;
    assert_eq!(adopted.status, 200, "{adopted:?}");
    let events = world.get(&dora, &format!("/events?after={before}&subject=environment/production")).await;
    let kinds: Vec<_> = events.body["items"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["placement.observed", "placement.adopted"], "{events:?}");
    let board = world.get(&dora, "/board?environment=production").await;
    assert_eq!(board.body["services"][0]["cells"][0]["health"], "healthy", "{board:?}");
    let yaml = "apiVersion: greenroom/v1\nkind: Environment\nmetadata: { name: production }\nspec: { purpose: production, targets: [] }\n";
    let less = world.put(&world.admin, "/manifests/here?dry_run=true", &json!({"documents": [{"file": "here.yaml", "text": yaml}]})).await;
    let note = less.body["notes"][0].as_str().unwrap_or_default();
    assert!(note.starts_with("`web (sha256:aaaa") && note.ends_with("goes on running on `p` of `production`, and nobody looks at it any more: stopping it is yours"), "{less:?}");
}

/// Production may be ahead of what a release needs: then nothing is taken back to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_brings_no_older_build_than_runs() {
    let world = world_where_it_runs().await;
    let dora = world.person("dora", &["deployer", "engineer"]).await;
    let rosa = world.person("rosa", &["release-manager"]).await;
    let register = async |version: &str, digit: &str| {
        let artifacts = json!({"server": {"uri": "file:///web", "digests": [format!("sha256:{}", digit.repeat(64))]}});
        let registered = world.post(&dora, "/builds", &json!({"service": "web", "version": version, "artifacts": artifacts})).await;
        registered.body["digest"].as_str().unwrap_or_else(|| panic!("{registered:?}")).to_owned()
    };
    register("1.2.0", "b").await;
    let runs = register("1.4.0", "c").await;
    std::fs::write(world.dir.path().join("runs.json"), json!({"serving": {runs: 2}}).to_string()).unwrap();
    let adopt = json!({"environment": "production", "target": "p", "service": "web", "version": "1.4.0"});
    let adopted = world.post(&dora, "/placements/adopt", &adopt).await;
    assert_eq!(adopted.status, 200, "{adopted:?}");
    let spec = json!({"features": [{"key": "button", "variant": "on"}], "needs": ["web>=1.2.0"], "stages": [{"name": "all", "share": "100%"}]});
    let planned = world.put(&rosa, "/releases/spring", &json!({"spec": spec})).await;
    assert_eq!(planned.status, 200, "{planned:?}");
    let service = &planned.body["contents"]["services"][0];
    assert_eq!((&service["from"], &service["to"]), (&json!(null), &json!("1.4.0")), "{service}");
}

/// Whoever would remove a feature hears which builds that run still read it.
#[tokio::test(flavor = "multi_thread")]
async fn builds_that_run_are_named_as_readers() {
    let world = world_where_it_runs().await;
    let dora = world.person("dora", &["deployer", "engineer"]).await;
    let mut digests = Vec::new();
    for (version, digit) in [("1.2.0", "b"), ("1.3.0", "c")] {
        let artifacts = json!({"server": {"uri": "file:///web", "digests": [format!("sha256:{}", digit.repeat(64))]}});
        let registered = world.post(&dora, "/builds", &json!({"service": "web", "version": version, "reads": {"button": "boolean"}, "artifacts": artifacts})).await;
        digests.push(registered.body["digest"].as_str().unwrap_or_else(|| panic!("{registered:?}")).to_owned());
    }
    let readers = async || world.get(&dora, "/features/button/usage").await.body["read_by"].take();
    assert_eq!(readers().await, json!([]), "who is registered does not run yet");
    std::fs::write(world.dir.path().join("runs.json"), json!({"serving": {digests.swap_remove(0): 2}}).to_string()).unwrap();
    let adopted = world.post(&dora, "/placements/adopt", &json!({"environment": "production", "target": "p", "service": "web", "version": "1.2.0"})).await;
    assert_eq!(adopted.status, 200, "{adopted:?}");
    assert_eq!(readers().await, json!([{"build": "web@1.2.0", "environment": "production"}]));
}

/// A release may go without needs; whether anything will show what it releases is said before it starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_feature_that_nothing_reads_is_said_to_be_so() {
    let world = world_where_it_runs().await;
    let dora = world.person("dora", &["deployer", "engineer"]).await;
    let rosa = world.person("rosa", &["release-manager"]).await;
    let mut spec = json!({"features": [{"key": "button", "variant": "on"}], "stages": [{"name": "all", "share": "100%"}]});
    let plan = async |spec: &serde_json::Value| {
        let planned = world.put(&rosa, "/releases/spring", &json!({"spec": spec})).await;
        assert_eq!(planned.status, 200, "{planned:?}");
        planned.body["environments"][0].clone()
    };
    let nobody = plan(&spec).await;
    assert_eq!(nobody["headline"], "0 of 0 needs met; ready to start, with a warning");
    assert_eq!(nobody["notes"].as_array().unwrap().len(), 1);
    assert!(nobody["notes"][0].as_str().unwrap().starts_with("no registered build says that it reads `button`"), "{nobody}");
    let build = json!({"service": "web", "version": "1.2.0", "reads": {"button": "boolean"},
                       "artifacts": {"server": {"uri": "file:///web", "digests": [format!("sha256:{}", "b".repeat(64))]}}});
    assert!(world.post(&dora, "/builds", &build).await.status.is_success());
    let somebody = world.get(&rosa, "/releases/spring").await.body["environments"][0].clone();
    let note = somebody["notes"][0].as_str().unwrap();
    assert!(note.starts_with("nothing that runs in `production` reads `button`") && note.contains("web@1.2.0 would: add `needs: [\"web>=1.2.0\"]`"), "{note}");
    spec["needs"] = json!(["web>=1.2.0"]);
    assert_eq!(plan(&spec).await["notes"], json!(null), "it waits for what reads it");
}
