//! A withdrawal, of a release or by a kill, is over when every evaluator that was in contact when it was published answers
//! without it.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::world::{Answer, World};

/// What a release shows in `test`, and who may show it, and ask.
struct Shown {
    world: World,
    rosa: String,
    sdk: String,
    revision: u64,
}

impl Shown {
    async fn new() -> Self {
        let world = World::new().await;
        let (rosa, sdk) = (world.person("rosa", &["release-manager", "product-owner"]).await, world.token("sdk", Some("test")).await);
        let spec = json!({"features": [{"key": "button", "variant": "on"}], "environments": ["test"], "stages": [{"name": "all", "share": "100%"}]});
        let planned = world.put(&rosa, "/releases/spring", &json!({"spec": spec})).await;
        assert_eq!(planned.status, 200, "{planned:?}");
        let started = world.post(&rosa, "/releases/spring/start", &json!({})).await;
        assert_eq!(started.status, 200, "{started:?}");
        let shown = Self { revision: started.seq(), world, rosa, sdk };
        shown.until_answered(true).await;
        shown
    }

    /// What a withdrawal from `test` waits for.
    async fn policy(&self, rule: &str) {
        let yaml = format!(
            "apiVersion: greenroom/v1\nkind: Policy\nmetadata: {{ name: most }}\nspec: {{ rules: [{{ withdrawal: {{ {rule} }} }}] }}\n---\n\
             apiVersion: greenroom/v1\nkind: Environment\nmetadata: {{ name: test }}\nspec: {{ purpose: test, policies: [most], targets: [{{ name: t, driver: command, address: a }}] }}"
        );
        let applied = self.world.put(&self.world.admin, "/manifests/here", &json!({"documents": [{"file": "policy.yaml", "text": yaml}]})).await;
        assert_eq!(applied.status, 200, "{applied:?}");
    }

    async fn until_answered(&self, value: bool) {
        while self.world.evaluate(&self.sdk, "u").await.body["value"] != value {
            tokio::task::yield_now().await;
        }
    }

    /// The revision without it, once it is published.
    async fn withdraw(&self) -> u64 {
        let taken = self.world.post(&self.rosa, "/releases/spring/withdraw", &json!({"confirm": true})).await;
        assert_eq!(taken.status, 200, "{taken:?}");
        self.until_answered(false).await;
        taken.seq()
    }

    /// The revision without the feature, once it is published.
    async fn kill(&self) -> u64 {
        let killed = self.world.post(&self.rosa, "/features/button/kill", &json!({"environment": "test", "reason": "smells"})).await;
        assert_eq!(killed.status, 200, "{killed:?}");
        let said = killed.body["environments"].as_array().unwrap().iter().find_map(|inside| inside["kill"]["reason"].as_str());
        assert_eq!(said, Some("smells"), "{killed:?}");
        self.until_answered(false).await;
        killed.seq()
    }

    /// How the feature's kill stands.
    async fn killed(&self) -> Value {
        let feature = self.world.get(&self.rosa, "/features/button").await.body;
        let inside = feature["environments"].as_array().unwrap_or_else(|| panic!("{feature}")).iter().find(|inside| inside["environment"] == "test");
        inside.unwrap_or_else(|| panic!("{feature}"))["kill"].clone()
    }

    async fn course(&self) -> String {
        let release = self.world.get(&self.rosa, "/releases/spring").await.body;
        release["environments"][0]["state"].as_str().unwrap_or_else(|| panic!("{release}")).to_owned()
    }

    async fn until_withdrawn(&self) {
        while self.course().await != "withdrawn" {
            tokio::task::yield_now().await;
        }
    }

    /// The one event of this kind, about the release or its feature.
    async fn event(&self, kind: &str) -> Value {
        let subject = if kind.starts_with("kill") { "feature/button" } else { "release/spring" };
        loop {
            let events = self.world.get(&self.rosa, &format!("/events?subject={subject}&limit=100")).await.body;
            let all: Vec<&Value> = events["items"].as_array().unwrap_or_else(|| panic!("{events}")).iter().filter(|event| event["kind"] == kind).collect();
            if let [only] = all[..] {
                return only["body"].clone();
            }
            assert!(all.is_empty(), "{all:?}");
            tokio::task::yield_now().await;
        }
    }

    /// A follower's stream, which keeps it in contact however slow the machine.
    async fn follower(&self, name: &str) -> Response {
        let open = self.world.request(Method::GET, &self.sdk, "/snapshot/stream").header("greenroom-instance", name).send().await.unwrap();
        self.has(name, self.revision).await;
        open
    }

    async fn has(&self, name: &str, revision: u64) {
        let said = self.world.post(&self.sdk, "/evaluators", &json!({"instance": name, "revision": revision})).await;
        assert_eq!(said.status, 204, "{said:?}");
    }

    /// Every feature for one caller, as a provider asks that was told of `announced`.
    async fn bulk(&self, token: &str, announced: Option<u64>) -> Answer {
        let query = announced.map_or_else(String::new, |revision| format!("?flagConfigEtag={revision}"));
        self.world.post(token, &format!("/ofrep/v1/evaluate/flags{query}"), &json!({"context": {"targetingKey": "server"}})).await
    }

    /// The stream that a bulk answer names.
    async fn ofrep(&self, token: &str) -> Response {
        let answer = self.bulk(token, None).await;
        let path = answer.body["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
        self.world.http.get(format!("{}{path}", self.world.url)).send().await.unwrap()
    }

    async fn unleash(&self, path: &str, name: &str, known: &str) -> Response {
        let request = self.world.http.get(format!("{}/api/client/{path}", self.world.url)).header("authorization", &self.sdk);
        let named = request.header("unleash-appname", "shop").header("unleash-instanceid", name).header("unleash-client-spec", "6.1.0");
        let named = if path == "features" { named.header("unleash-interval", "15000") } else { named };
        named.header("if-none-match", known).send().await.unwrap()
    }
}

/// Reads until `text` has come.
async fn until(stream: &mut Response, text: &str) {
    let mut read = String::new();
    while !read.contains(text) {
        let chunk = stream.chunk().await.unwrap().unwrap_or_else(|| panic!("the stream ended after {read}"));
        read.push_str(&String::from_utf8_lossy(&chunk));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_each_evaluator_however_it_listens() {
    let shown = Shown::new().await;
    let page = shown.world.token("web", Some("test")).await;
    let open = (shown.follower("web-1").await, shown.follower("web-2").await, shown.ofrep(&page).await);
    let (mut provider, mut stream) = (shown.ofrep(&shown.sdk).await, shown.unleash("streaming", "unleash-2", "").await);
    until(&mut stream, "unleash-connected").await;
    let known = shown.unleash("features", "unleash-1", "").await.headers()["etag"].to_str().unwrap().to_owned();

    let revision = shown.withdraw().await;
    until(&mut provider, "refetchEvaluation").await;
    until(&mut stream, &format!("id: {revision}\n")).await;
    shown.has("web-1", revision).await;
    shown.bulk(&shown.sdk, Some(revision)).await;
    shown.unleash("features", "unleash-1", &known).await;
    assert_eq!(shown.course().await, "withdrawing", "web-2 still answers with it");
    shown.has("web-2", revision).await;
    shown.until_withdrawn().await;
    let said = shown.event("release.withdrawn").await;
    assert_eq!((&said["in_contact"], &said["acknowledged"]), (&json!(5), &json!(5)), "{said}: nobody waits for the page");
    drop(open);
}

/// A policy may ask for less than everyone.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_over_once_the_share_that_policy_asks_for_has_acknowledged() {
    let shown = Shown::new().await;
    shown.policy("acknowledged: 60%").await;
    let open = (shown.follower("web-1").await, shown.follower("web-2").await, shown.follower("web-3").await);
    let revision = shown.withdraw().await;
    shown.has("web-1", revision).await;
    assert_eq!(shown.course().await, "withdrawing");
    shown.has("web-2", revision).await;
    shown.until_withdrawn().await;
    let said = shown.event("release.withdrawn").await;
    assert_eq!((&said["in_contact"], &said["acknowledged"]), (&json!(3), &json!(2)), "{said}");
    drop(open);
}

/// Who was in contact when it was published is waited for, and named, also after it has gone.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_deadline_it_names_who_has_not_acknowledged_and_stays_open() {
    let shown = Shown::new().await;
    shown.policy("deadline: 3s").await;
    let (kept, gone) = (shown.follower("web-1").await, shown.follower("web-2").await);
    let revision = shown.withdraw().await;
    drop(gone);
    shown.has("web-1", revision).await;
    let said = shown.event("withdrawal.partial").await;
    assert_eq!((&said["in_contact"], &said["acknowledged"], &said["laggards"]), (&json!(2), &json!(1), &json!(["web-2"])), "{said}");
    assert_eq!(shown.course().await, "withdrawing");
    shown.has("web-2", revision).await;
    shown.until_withdrawn().await;
    let said = shown.event("release.withdrawn").await;
    assert_eq!((&said["in_contact"], &said["acknowledged"]), (&json!(2), &json!(2)), "{said}");
    drop(kept);
}

/// After a restart nobody is in contact, which is no acknowledgement: whoever comes back is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_end_it() {
    let mut shown = Shown::new().await;
    let mut open = shown.follower("web-1").await;
    let revision = shown.withdraw().await;
    shown.world.restart().await;
    // a server that stops waits for no stream, and hangs up
    while let Ok(Some(_)) = open.chunk().await {}
    let open = shown.follower("web-1").await;
    let said = shown.event("withdrawal.partial").await;
    assert_eq!((&said["in_contact"], &said["acknowledged"], &said["laggards"]), (&json!(1), &json!(0), &json!(["web-1"])), "{said}");
    shown.has("web-1", revision).await;
    shown.until_withdrawn().await;
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_to_wait_for_it_is_over_at_once() {
    let shown = Shown::new().await;
    let began = std::time::Instant::now();
    shown.withdraw().await;
    shown.until_withdrawn().await;
    assert!(began.elapsed() < Duration::from_secs(15), "long before its deadline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_waits_for_each_evaluator_too() {
    let shown = Shown::new().await;
    let open = (shown.follower("web-1").await, shown.follower("web-2").await);
    let revision = shown.kill().await;
    shown.has("web-1", revision).await;
    let kill = shown.killed().await;
    assert_eq!((&kill["by"], &kill["reason"], &kill["silenced"]), (&json!("rosa"), &json!("smells"), &json!(["spring"])), "{kill}");
    let said = &kill["withdrawal"];
    assert_eq!((&said["state"], &said["in_contact"], &said["acknowledged"], &said["laggards"]), (&json!("withdrawing"), &json!(2), &json!(1), &json!(["web-2"])), "{kill}");
    shown.has("web-2", revision).await;
    let said = shown.event("kill.effective").await;
    assert_eq!((&said["in_contact"], &said["acknowledged"]), (&json!(2), &json!(2)), "{said}");
    let said = &shown.killed().await["withdrawal"];
    assert_eq!((&said["state"], &said["acknowledged"], &said["laggards"]), (&json!("effective"), &json!(2), &Value::Null), "{said}");
    drop(open);
}

/// At the deadline of its environment; the release that it silenced is still there, and what is killed again is asked anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_is_partial_at_its_deadline_and_over_when_it_is_lifted() {
    let mut shown = Shown::new().await;
    shown.policy("deadline: 3s").await;
    let (kept, gone) = (shown.follower("web-1").await, shown.follower("web-2").await);
    let revision = shown.kill().await;
    drop(gone);
    shown.has("web-1", revision).await;
    let said = shown.event("kill.partial").await;
    assert_eq!((&said["in_contact"], &said["acknowledged"], &said["laggards"]), (&json!(2), &json!(1), &json!(["web-2"])), "{said}");
    let said = &shown.killed().await["withdrawal"];
    assert_eq!((&said["state"], &said["laggards"]), (&json!("partial"), &json!(["web-2"])), "{said}");

    drop(kept);
    shown.world.restart().await;
    assert_eq!(shown.killed().await["withdrawal"]["state"], "partial", "as the ledger has it");
    let lifted = shown.world.post(&shown.rosa, "/features/button/restore", &json!({"environment": "test"})).await;
    assert_eq!((lifted.status.as_u16(), shown.killed().await), (200, Value::Null), "{lifted:?}");
    shown.until_answered(true).await;
    let open = shown.follower("web-3").await;
    let revision = shown.kill().await;
    assert_eq!(shown.killed().await["withdrawal"]["state"], "withdrawing");
    shown.has("web-3", revision).await;
    let said = shown.event("kill.effective").await;
    assert_eq!((&said["in_contact"], &said["acknowledged"]), (&json!(1), &json!(1)), "{said}");
    drop(open);
}
