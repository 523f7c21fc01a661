//! One command's way over HTTP: who may, once, in order, and never half.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::world::World;

const BASELINE: &str = "/features/button/baseline";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_counts_once_for_one_request_of_one_person() {
    let world = World::new().await;
    let (eva, eli) = (world.person("eva", &["engineer"]).await, world.person("eli", &["engineer"]).await);
    let on = json!({"environment": "test", "variant": "on"});
    let keyed = |token: &str, path: &str, body: &serde_json::Value| world.request(Method::PUT, token, path).header("idempotency-key", "k-1").json(body);
    let first = world.send(keyed(&eva, BASELINE, &on)).await;
    assert_eq!(first.status, 200, "{first:?}");
    let again = world.send(keyed(&eva, BASELINE, &on)).await;
    assert_eq!((again.status, again.seq(), &again.body), (first.status, first.seq(), &first.body));
    let other_body = world.send(keyed(&eva, BASELINE, &json!({"environment": "test", "variant": "off"}))).await;
    assert_eq!((other_body.status.as_u16(), other_body.code()), (422, "idempotency-key-reused"));
    let other_route = world.send(world.request(Method::POST, &eva, "/features/button/kill").header("idempotency-key", "k-1").json(&on)).await;
    assert_ne!(other_route.status, 200, "a key must not answer for another route: {other_route:?}");
    let other_person = world.send(keyed(&eli, BASELINE, &json!({"environment": "test", "variant": "off"}))).await;
    assert_eq!(other_person.status, 200, "{other_person:?}");
}

/// The first answer may have been lost on the way: what was done must not look like a mistake then.
#[tokio::test(flavor = "multi_thread")]
async fn repeating_what_was_done_is_no_error() {
    let world = World::new().await;
    let add = || world.request(Method::POST, &world.admin, "/people").header("idempotency-key", "add-eva").json(&json!({"name": "eva", "roles": []}));
    let (first, again) = (world.send(add()).await, world.send(add()).await);
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201), "{again:?}");
    assert_eq!(first.body, again.body);
    let twin = world.post(&world.admin, "/people", &json!({"name": "eva", "roles": []})).await;
    assert_eq!(twin.code(), "already-exists");

    let otto = world.person("otto", &["on-call", "deployer"]).await;
    let hold = world.post(&otto, "/holds", &json!({"scope": {}, "plane": "deploy", "stops": "both", "reason": "looking"})).await;
    let path = format!("/holds/{}/lift", hold.body["number"]);
    let lift = || world.request(Method::POST, &otto, &path).header("idempotency-key", "lift").json(&json!({}));
    let (first, again) = (world.send(lift()).await, world.send(lift()).await);
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 200), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_not_kept() {
    let mut world = World::new().await;
    let make = || world.request(Method::POST, &world.admin, "/tokens").header("idempotency-key", "sdk").json(&json!({"kind": "sdk", "environment": "test"}));
    let (first, again) = (world.send(make()).await, world.send(make()).await);
    let secret = first.body["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("gr_sdk_"));
    assert_eq!(again.body["secret"], "", "a repeated request must not show it again");
    assert_eq!(again.body["token"]["id"], first.body["token"]["id"]);
    world.stop().await;
    for file in std::fs::read_dir(world.dir.path().join("data")).unwrap().flatten().filter(|f| f.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "the secret stands in {:?}", file.path());
    }
}

/// Whoever changes their own password while an admin changes their roles brings no role back.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_is_an_event_of_its_own() {
    let world = World::new().await;
    let (eva, otto) = (world.person("eva", &["engineer"]).await, world.person("otto", &["on-call"]).await);
    let sign_in = async |password: &str| world.post("", "/login", &json!({"name": "eva", "password": password})).await.status.as_u16();
    let set = world.put(&eva, "/people/eva/password", &json!({"password": "battery staple"})).await;
    assert_eq!(set.status, 200, "{set:?}");
    assert_eq!((sign_in("correct horse").await, sign_in("battery staple").await), (401, 200));
    let short = world.put(&eva, "/people/eva/password", &json!({"password": "battery"})).await;
    assert_eq!((short.status.as_u16(), short.code()), (400, "invalid"));
    let other = world.put(&otto, "/people/eva/password", &json!({"password": "not my own one"})).await;
    assert_eq!((other.status.as_u16(), other.code()), (403, "forbidden"));
    let by_admin = world.put(&world.admin, "/people/eva/password", &json!({"password": "a third one"})).await;
    assert_eq!((by_admin.status.as_u16(), sign_in("a third one").await), (200, 200), "{by_admin:?}");
    let events = world.get(&world.admin, "/events?after=0&limit=500").await;
    let set: Vec<_> = events.body["items"].as_array().unwrap().iter().filter(|e| e["kind"] == "person.password_set").collect();
    assert_eq!(set.len(), 2);
    assert!(set.iter().all(|e| e["body"].as_object().unwrap().keys().eq(["id"])), "no secret in it: {set:?}");
    assert!(!events.body["items"].as_array().unwrap().iter().any(|e| e["kind"] == "person.roles_set"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so_and_learns_nothing_else() {
    let world = World::new().await;
    let on = json!({"environment": "test", "variant": "on"});
    let nobody = world.put("", BASELINE, &on).await;
    assert_eq!((nobody.status.as_u16(), nobody.code()), (401, "unauthenticated"));
    let viewer = world.person("vera", &["viewer"]).await;
    let seen = world.put(&viewer, BASELINE, &on).await;
    assert_eq!((seen.status.as_u16(), seen.code()), (403, "forbidden"));
    assert!(seen.body["detail"].as_str().unwrap().contains("engineer"), "{seen:?}");
    let sdk = world.token("sdk", Some("test")).await;
    for (method, path) in [(Method::PUT, "/manifests/x"), (Method::POST, "/people"), (Method::POST, "/deployments"), (Method::PUT, "/releases/nothing")] {
        let told = world.send(world.request(method, &sdk, path).body("not even JSON")).await;
        assert_eq!((told.status.as_u16(), told.code()), (403, "forbidden"), "{path}: {told:?}");
    }
    assert_eq!(world.get(&sdk, "/board").await.status, 403);
    let other = world.post(&world.admin, "/tokens", &json!({"kind": "ci", "environment": "test"})).await;
    assert_eq!((other.status.as_u16(), other.code()), (400, "invalid"), "a ci token is bound to no environment");
    // an admin administers
    assert_eq!(world.post(&world.admin, "/deployments", &json!({"environment": "production", "builds": ["a@1"]})).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_reads_its_own_environment_until_it_ends() {
    let world = World::new().await;
    let eva = world.person("eva", &["engineer"]).await;
    let (test, production) = (world.token("sdk", Some("test")).await, world.token("sdk", Some("production")).await);
    world.put(&eva, BASELINE, &json!({"environment": "test", "variant": "on"})).await;
    let on = async || world.evaluate(&test, "u").await.body["value"] == true;
    while !on().await {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.evaluate(&production, "u").await.body["value"], false);
    assert_eq!(world.evaluate("gr_sdk_nonsense", "u").await.status, 401);
    assert_eq!(world.evaluate(&eva, "u").await.status, 403, "a person's token is not an evaluator's");
    let tokens = world.get(&world.admin, "/tokens").await;
    let id = tokens.body["items"].as_array().unwrap().iter().find(|t| t["environment"] == "test").unwrap()["id"].as_str().unwrap().to_owned();
    let revoked = world.send(world.request(Method::DELETE, &world.admin, &format!("/tokens/{id}")).json(&json!({}))).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    assert_eq!(world.evaluate(&test, "u").await.status, 401, "revoked at once");
    let short = world.post(&world.admin, "/tokens", &json!({"kind": "ci", "valid_for": "2s"})).await;
    let secret = short.body["secret"].as_str().unwrap_or_else(|| panic!("{short:?}")).to_owned();
    let expired = async || world.get(&secret, "/board").await;
    let mut answer = expired().await;
    while answer.status == 200 {
        answer = expired().await;
    }
    // it may end between being looked up and being asked what it may do
    assert!(answer.status == 401 && answer.body["title"].as_str().is_some_and(|title| title.contains("expired")), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_of_rules_is_served_and_shown() {
    let world = World::new().await;
    let eva = world.person("eva", &["engineer"]).await;
    let rules = json!([{"name": "nobody but u", "when": [{"attribute": "targetingKey", "op": "in", "values": ["u"]}], "then": {"variant": "on"}}]);
    let set = world.put(&eva, BASELINE, &json!({"environment": "test", "rules": rules})).await;
    assert_eq!(set.status, 200, "{set:?}");
    let test = set.body["environments"].as_array().unwrap().iter().find(|e| e["environment"] == "test").unwrap().clone();
    assert_eq!((&test["default"], &test["serves"]), (&json!("off"), &json!(["rule nobody but u: on to targetingKey in [\"u\"]"])));
    let sdk = world.token("sdk", Some("test")).await;
    while world.evaluate(&sdk, "u").await.body["value"] != true {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.evaluate(&sdk, "other").await.body["value"], false);
    let faulty = json!([{"name": "a", "when": [{"cohort": "none"}], "then": {"variant": "on"}}, {"name": "b", "then": {"variant": "none"}}]);
    let refused = world.put(&eva, BASELINE, &json!({"environment": "test", "rules": faulty})).await;
    assert_eq!((refused.status.as_u16(), refused.body["reasons"].as_array().unwrap().len()), (400, 2), "{refused:?}");
    let from_a_release = json!([{"name": "a", "then": {"variant": "on"}, "release": "summer"}]);
    let unknown = world.put(&eva, BASELINE, &json!({"environment": "test", "rules": from_a_release})).await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (400, "invalid"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_changes_nothing() {
    let world = World::new().await;
    let eva = world.person("eva", &["engineer"]).await;
    let before = world.get(&eva, "/board").await.seq();
    let put = |body: Vec<u8>| world.request(Method::PUT, &eva, BASELINE).body(body);
    let cases: [(Vec<u8>, u16, &str, &str); 5] = [
        (br#"{"environment": "test", "variant": "on", "colour": "red"}"#.to_vec(), 400, "invalid", "unknown field `colour`"),
        (br#"{"environment": 7, "variant": "on"}"#.to_vec(), 400, "invalid", "expected"),
        (br#"{"environment": "test","#.to_vec(), 400, "invalid", "line 1"),
        (b"{\"environment\": \"te\xffst\"}".to_vec(), 400, "invalid", "not UTF-8 from byte 19"),
        (br#"{"environment": "nowhere", "variant": "on"}"#.to_vec(), 404, "not-found", "nowhere"),
    ];
    for (body, status, code, says) in cases {
        let told = world.send(put(body)).await;
        assert_eq!((told.status.as_u16(), told.code()), (status, code), "{told:?}");
        assert!(told.body.to_string().contains(says), "{says}: {told:?}");
        assert_eq!(told.headers["content-type"], "application/problem+json");
    }
    let large = world.send(put(vec![b' '; 17 * 1024 * 1024])).await;
    assert_eq!((large.status.as_u16(), large.code()), (413, "too-large"), "{large:?}");
    let path = world.get(&eva, "/features/%ff").await;
    assert_eq!((path.status.as_u16(), path.code()), (400, "invalid"), "{path:?}");
    assert_eq!(world.get(&eva, "/nothing").await.code(), "not-found");
    assert_eq!(world.get(&eva, "/holds?limit=501").await.code(), "invalid");
    assert_eq!(world.get(&eva, "/holds?cursor=hld_nothing").await.code(), "invalid");
    let tried = world.put(&eva, &format!("{BASELINE}?dry_run=true"), &json!({"environment": "test", "variant": "on"})).await;
    assert_eq!(tried.status, 200, "{tried:?}");
    assert_eq!(world.get(&eva, "/board").await.seq(), before, "none of this is in the ledger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_for_what_its_caller_has_seen() {
    let world = World::new().await;
    let seq = world.get(&world.admin, "/board").await.seq();
    let after = |seq: u64| world.request(Method::GET, &world.admin, "/events?limit=1").header("greenroom-after", seq);
    assert_eq!(world.send(after(seq)).await.status, 200);
    let waiting = tokio::spawn({
        let request = after(seq + 1);
        async move { request.send().await.unwrap().status() }
    });
    world.post(&world.admin, "/people", &json!({"name": "eva", "roles": []})).await;
    assert_eq!(waiting.await.unwrap(), 200);
    let late = world.send(after(seq + 100)).await;
    assert_eq!((late.status.as_u16(), late.code()), (503, "not-caught-up"));
    assert!(late.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_pages_and_as_a_stream_that_goes_on() {
    use futures_util::StreamExt as _;
    let world = World::new().await;
    for i in 0..5 {
        world.post(&world.admin, "/people", &json!({"name": format!("p{i}"), "roles": []})).await;
    }
    let all = world.get(&world.admin, "/events?after=0&limit=500").await;
    let all: Vec<u64> = all.body["items"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&world.admin, &format!("/events?after=0&limit=2{cursor}")).await;
        paged.extend(page.body["items"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()));
        let Some(next) = page.body["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, all);
    let by_both = world.get(&world.admin, "/events?subject=set/here&actor=ada").await;
    assert_eq!(by_both.status, 200, "{by_both:?}");

    // taken up again after the second event: each of the others comes once, then what happens next
    let stream = world.request(Method::GET, &world.admin, "/events").header("accept", "text/event-stream").header("last-event-id", all[1]).send().await.unwrap();
    let mut bytes = stream.bytes_stream();
    world.post(&world.admin, "/people", &json!({"name": "late", "roles": []})).await;
    let (mut text, mut heard) = (String::new(), Vec::new());
    let hear = async {
        while heard.len() < all.len() - 1 {
            text.push_str(&String::from_utf8_lossy(&bytes.next().await.unwrap().unwrap()));
            heard = text.lines().filter_map(|l| l.strip_prefix("id: ")).map(|id| id.parse::<u64>().unwrap()).collect();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), hear).await.unwrap();
    assert_eq!(heard, (all[2]..=all[all.len() - 1] + 1).collect::<Vec<_>>());
}

/// Under separation of duties the only author's go is kept, and said at once not to count.
#[tokio::test(flavor = "multi_thread")]
async fn who_decides_on_their_own_plan_is_told_so() {
    let world = World::new().await;
    let (rosa, rick) = (world.person("rosa", &["release-manager"]).await, world.person("rick", &["release-manager"]).await);
    let spec = json!({"features": [{"key": "button", "variant": "on"}], "stages": [{"name": "all", "share": "100%"}], "decisions": [{"role": "release-manager"}]});
    assert_eq!(world.put(&rosa, "/releases/spring", &json!({"spec": spec})).await.status, 200);
    let go = json!({"about": {"release": "spring"}, "role": "release-manager", "verdict": "go"});
    let own = world.post(&rosa, "/decisions", &go).await;
    assert_eq!((own.status.as_u16(), &own.body["valid"]), (201, &json!(true)), "{own:?}");
    assert!(own.body["uncounted"].as_str().is_some_and(|why| why.contains("another person")), "{own:?}");
    let other = world.post(&rick, "/decisions", &go).await;
    assert_eq!((other.status.as_u16(), &other.body["uncounted"]), (201, &json!(null)), "{other:?}");
}

/// What may not be done is said in words, and what is not there with where to look.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_speak_of_what_was_tried() {
    let world = World::new().await;
    let vera = world.person("vera", &["viewer"]).await;
    let refused = world.post(&vera, "/people", &json!({"name": "eve", "roles": []})).await;
    assert_eq!(refused.body["title"], "you may not add people", "{refused:?}");
    let nothing = world.get(&vera, "/features/nothing").await;
    assert_eq!((&nothing.body["title"], &nothing.body["detail"]), (&json!("there is no feature `nothing`"), &json!("see what there is: greenroom feature list")));
    let again = world.post("", "/setup", &json!({"token": "gr_first_x", "name": "eve", "password": "correct horse"})).await;
    assert!(again.body["detail"].as_str().unwrap().starts_with("somebody has joined already"), "{again:?}");
}
