//! What is asked of each endpoint, and the things that must be there for the question to mean something.

use greenroom_domain::role::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

/// One request. `what` tells apart what one endpoint is asked.
pub struct Case {
    pub method: Method,
    pub route: &'static str,
    pub what: String,
    pub path: String,
    pub body: Value,
}

impl Case {
    pub fn name(&self) -> String {
        let what = if self.what.is_empty() { String::new() } else { format!(" ({})", self.what) };
        format!("{} {}{what}", self.method, self.route)
    }
}

/// A route as it stands in a file, and as it is asked for.
type Route = (&'static str, &'static [&'static str]);

/// Routes that are made beside the table, by file.
pub const BESIDE: [(&str, &[Route]); 6] = [
    ("server/src/http/door.rs", &[("/healthz", &["/healthz"]), ("/readyz", &["/readyz"]), ("/openapi.json", &["/openapi.json"])]),
    ("relay/src/health.rs", &[("/healthz", &["/healthz"]), ("/readyz", &["/readyz"])]),
    ("server/src/http.rs", &[("/metrics", &["/metrics"])]),
    (
        "delivery/src/ofrep.rs",
        &[
            ("/ofrep/v1/evaluate/flags", &["/ofrep/v1/evaluate/flags"]),
            ("/ofrep/v1/evaluate/flags/", &["/ofrep/v1/evaluate/flags/"]),
            ("/ofrep/v1/evaluate/flags/{*key}", &["/ofrep/v1/evaluate/flags/{*key}"]),
            ("STREAM", &["/ofrep/v1/stream"]),
        ],
    ),
    (
        "delivery/src/unleash.rs",
        &[
            ("/features", &["/api/client/features"]),
            ("/features/{*name}", &["/api/client/features/{*name}"]),
            ("/delta", &["/api/client/delta"]),
            ("/streaming", &["/api/client/streaming"]),
            ("/register", &["/api/client/register"]),
            ("/metrics", &["/api/client/metrics"]),
            ("/metrics/bulk", &["/api/client/metrics/bulk"]),
            ("/", &["/api/frontend", "/api/proxy"]),
            ("/client/register", &["/api/frontend/client/register", "/api/proxy/client/register"]),
            ("/client/metrics", &["/api/frontend/client/metrics", "/api/proxy/client/metrics"]),
        ],
    ),
    (
        "delivery/src/follow.rs",
        &[("SNAPSHOT", &["/api/v1/snapshot"]), ("STREAM", &["/api/v1/snapshot/stream"]), ("EVALUATORS", &["/api/v1/evaluators"]), ("TICKETS", &["/api/v1/relay/tokens"])],
    ),
];

/// What is there to be asked about, in `test` and in `production`.
pub struct Things {
    /// A token that is nobody's who asks.
    token: String,
    /// Someone who has left, and may be erased.
    gone: String,
    evidence: String,
    /// The build that is asked for everywhere.
    runs: String,
    /// Rollouts that wait for a decision, and numbers of their deployments.
    rollouts: [String; 2],
    deployments: [u64; 2],
    /// The address of an event stream, as a bulk answer named it.
    stream: String,
}

const ENVIRONMENTS: [&str; 2] = ["test", "production"];

fn environment(name: &str, policy: &str) -> String {
    let (purpose, target, address) = if name == "production" { ("production", "p", "b") } else { ("test", "t", "a") };
    format!(
        "apiVersion: greenroom/v1\nkind: Environment\nmetadata: {{ name: {name} }}\n\
         spec: {{ purpose: {purpose}, policies: [{policy}], targets: [{{ name: {target}, driver: command, address: {address} }}] }}\n---\n"
    )
}

fn document(text: &str) -> Value {
    json!({"documents": [{"file": "a.yaml", "text": text}]})
}

impl Things {
    pub async fn make(world: &World) -> Self {
        let says = world.dir.path().join("runs.json");
        std::fs::write(&says, r#"{"serving": {}}"#).unwrap();
        let yaml = format!(
            "{}{}apiVersion: greenroom/v1\nkind: Policy\nmetadata: {{ name: asked }}\nspec: {{ rules: [decision: {{ role: approver, quorum: 1 }}] }}\n---\n\
             apiVersion: greenroom/v1\nkind: Service\nmetadata: {{ name: web }}\n\
             spec: {{ components: [server], recipes: {{ command: {{ apply: [\"false\"], observe: [cat, {}] }} }},\n\
             \x20 checks: [{{ name: works, kind: smoke, purposes: [staging], run: {{ http: {{ path: / }} }} }}] }}\n---\n\
             apiVersion: greenroom/v1\nkind: Attribute\nmetadata: {{ name: plan }}\nspec: {{ type: string }}\n---\n\
             apiVersion: greenroom/v1\nkind: Feature\nmetadata: {{ name: button }}\nspec: {{ type: boolean, variants: {{ \"on\": true, \"off\": false }}, \"off\": \"off\" }}\n",
            environment("test", "asked"),
            environment("production", "asked"),
            json!(says)
        );
        let done = async |answer: crate::world::Answer| {
            assert!(answer.status.is_success(), "{answer:?}");
            answer.body
        };
        done(world.put(&world.admin, "/manifests/here", &document(&yaml)).await).await;
        let all = world.person("alma", &["engineer", "deployer", "release-manager"]).await;
        world.person("vera", &["viewer"]).await;
        world.person("gone", &[]).await;
        let people = done(world.get(&world.admin, "/people").await).await;
        let gone = people["items"].as_array().unwrap().iter().find(|p| p["name"] == "gone").unwrap()["id"].as_str().unwrap().to_owned();
        done(world.send(world.request(Method::DELETE, &world.admin, &format!("/people/{gone}")).json(&json!({}))).await).await;
        let runs = done(world.post(&all, "/builds", &build("1.0.0", "b")).await).await["digest"].as_str().unwrap().to_owned();
        let (mut rollouts, mut deployments) = (Vec::new(), Vec::new());
        for name in ENVIRONMENTS {
            let asked = done(world.post(&all, "/deployments", &json!({"environment": name, "builds": ["web@1.0.0"]})).await).await;
            rollouts.push(asked["rollouts"][0]["id"].as_str().unwrap_or_else(|| panic!("{asked}")).to_owned());
            deployments.push(asked["number"].as_u64().unwrap());
        }
        let check = json!({"environment": "test", "service": "web", "check": "works", "outcome": "pass", "summary": "", "set": {"web": runs}, "evidence": [{"kind": "text/plain", "text": "seen"}]});
        let checked = done(world.post(&all, "/checks", &check).await).await;
        done(world.put(&all, "/releases/spring", &release()).await).await;
        done(world.post(&all, "/holds", &hold()).await).await;
        let sdk = done(world.post(&world.admin, "/tokens", &json!({"kind": "sdk", "environment": "test"})).await).await;
        let secret = sdk["secret"].as_str().unwrap();
        let bulk = loop {
            let bulk = world.send(world.request(Method::POST, secret, "/ofrep/v1/evaluate/flags").json(&json!({"context": {"targetingKey": "u"}}))).await;
            if bulk.status == 200 {
                break bulk.body;
            }
        };
        Self {
            token: sdk["token"]["id"].as_str().unwrap().to_owned(),
            gone,
            evidence: checked["evidence"][0].as_str().unwrap_or_else(|| panic!("{checked}")).to_owned(),
            runs,
            rollouts: rollouts.try_into().unwrap(),
            deployments: deployments.try_into().unwrap(),
            stream: bulk["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap_or_else(|| panic!("{bulk}")).to_owned(),
        }
    }
}

fn build(version: &str, digit: &str) -> Value {
    json!({"service": "web", "version": version, "artifacts": {"server": {"uri": "file:///web", "digests": [format!("sha256:{}", digit.repeat(64))]}}})
}

fn release() -> Value {
    json!({"spec": {"features": [{"key": "button", "variant": "on"}], "environments": ["production"], "stages": [{"name": "all", "share": "100%"}]}})
}

fn hold() -> Value {
    json!({"scope": {"environment": "test"}, "plane": "deploy", "stops": "automation", "reason": "looking"})
}

/// The rows of the list, in the order of the API.
pub fn all(things: &Things) -> Vec<Case> {
    let mut list = List(Vec::new());
    people(&mut list, things);
    manifests(&mut list);
    features(&mut list);
    deployments(&mut list, things);
    releases(&mut list);
    ledger(&mut list, things);
    evaluators(&mut list, things);
    list.0
}

struct List(Vec<Case>);

impl List {
    fn raw(&mut self, method: Method, route: &'static str, what: &str, path: impl Into<String>, body: Value) {
        self.0.push(Case { method, route, what: what.to_owned(), path: path.into(), body });
    }

    /// A read; where `path` is empty it is the route's.
    fn get(&mut self, route: &'static str, path: &str) {
        self.raw(Method::GET, route, "", if path.is_empty() { route } else { path }, Value::Null);
    }

    /// A command, which is asked and not given.
    fn ask(&mut self, method: Method, route: &'static str, what: &str, path: &str, body: Value) {
        let path = if path.is_empty() { route } else { path };
        self.raw(method, route, what, format!("{path}?dry_run=true"), body);
    }

    fn post(&mut self, route: &'static str, what: &str, path: &str, body: Value) {
        self.ask(Method::POST, route, what, path, body);
    }

    /// In each environment; the body names it.
    fn in_each(&mut self, method: &Method, route: &'static str, path: &str, body: impl Fn(&str) -> Value) {
        for name in ENVIRONMENTS {
            self.ask(method.clone(), route, name, path, body(name));
        }
    }
}

fn people(list: &mut List, things: &Things) {
    list.raw(Method::POST, "/api/v1/setup", "the first token is used", "/api/v1/setup", json!({"token": "gr_first_x", "name": "eve", "password": "correct horse"}));
    list.raw(Method::POST, "/api/v1/login", "", "/api/v1/login", json!({"name": "vera", "password": "correct horse"}));
    list.get("/api/v1/whoami", "");
    list.get("/api/v1/people", "");
    list.post("/api/v1/people", "without roles", "", json!({"name": "new", "roles": []}));
    list.post("/api/v1/people", "with roles", "", json!({"name": "new", "roles": ["viewer"]}));
    list.ask(Method::PUT, "/api/v1/people/{id}/roles", "", "/api/v1/people/vera/roles", json!({"roles": ["engineer"]}));
    list.ask(Method::PUT, "/api/v1/people/{id}/password", "another's", "/api/v1/people/ada/password", json!({"password": "correct horse"}));
    list.ask(Method::PUT, "/api/v1/people/{id}/password", "own", "/api/v1/people/{own person}/password", json!({"password": "correct horse"}));
    list.ask(Method::DELETE, "/api/v1/people/{id}", "", "/api/v1/people/vera", json!({}));
    list.ask(Method::PUT, "/api/v1/preset", "", "", json!({"preset": "team"}));
    list.get("/api/v1/tokens", "");
    list.post("/api/v1/tokens", "own", "", json!({"kind": "pat"}));
    list.post("/api/v1/tokens", "of a program", "", json!({"kind": "sdk", "environment": "test"}));
    list.ask(Method::DELETE, "/api/v1/tokens/{id}", "another's", &format!("/api/v1/tokens/{}", things.token), json!({}));
    list.ask(Method::DELETE, "/api/v1/tokens/{id}", "own", "/api/v1/tokens/{own token}", json!({}));
}

fn manifests(list: &mut List) {
    let feature = "apiVersion: greenroom/v1\nkind: Feature\nmetadata: { name: more }\nspec: { type: boolean, variants: { \"on\": true, \"off\": false }, \"off\": \"off\" }\n";
    list.ask(Method::PUT, "/api/v1/manifests/{set}", "a feature", "/api/v1/manifests/more", document(feature));
    for purpose in ENVIRONMENTS {
        let another = format!("apiVersion: greenroom/v1\nkind: Environment\nmetadata: {{ name: other }}\nspec: {{ purpose: {purpose}, targets: [] }}\n");
        list.ask(Method::PUT, "/api/v1/manifests/{set}", &format!("an environment for {purpose}"), "/api/v1/manifests/more", document(&another));
    }
    let rules = "apiVersion: greenroom/v1\nkind: Policy\nmetadata: { name: asked }\nspec: { rules: [soak: 1h] }\n";
    let rest = format!("{}{}", environment("test", "asked"), environment("production", "asked"));
    list.ask(Method::PUT, "/api/v1/manifests/{set}", "a policy of production", "/api/v1/manifests/here", document(&format!("{rest}{rules}")));
    let flags = r#"{"flags": {"taken": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"}}}"#;
    list.post("/api/v1/imports", "test", "", json!({"from": "flagd", "environment": "test", "text": flags}));
    list.get("/api/v1/environments", "");
    list.get("/api/v1/environments/{name}/exposure", "/api/v1/environments/production/exposure");
    list.get("/api/v1/services", "");
}

fn features(list: &mut List) {
    list.get("/api/v1/features", "");
    list.get("/api/v1/features/{key}", "/api/v1/features/button");
    list.get("/api/v1/attributes", "");
    list.get("/api/v1/attributes/{name}", "/api/v1/attributes/plan");
    list.in_each(&Method::POST, "/api/v1/features/{key}/kill", "/api/v1/features/button/kill", |name| json!({"environment": name, "reason": "it hurts"}));
    list.in_each(&Method::POST, "/api/v1/features/{key}/restore", "/api/v1/features/button/restore", |name| json!({"environment": name}));
    list.in_each(&Method::PUT, "/api/v1/features/{key}/baseline", "/api/v1/features/button/baseline", |name| json!({"environment": name, "variant": "on"}));
    list.get("/api/v1/usage", "");
    list.get("/api/v1/features/{key}/usage", "/api/v1/features/button/usage");
}

fn deployments(list: &mut List, things: &Things) {
    list.get("/api/v1/builds", "");
    list.post("/api/v1/builds", "", "", build("1.1.0", "c"));
    list.get("/api/v1/builds/{service}/{version}", "/api/v1/builds/web/1.0.0");
    list.post("/api/v1/builds/{service}/{version}/clear", "", "/api/v1/builds/web/1.0.0/clear", json!({"note": "the disk was full"}));
    list.get("/api/v1/checks", "");
    list.in_each(
        &Method::POST,
        "/api/v1/checks",
        "",
        |name| json!({"environment": name, "service": "web", "check": "works", "outcome": "pass", "summary": "", "set": {"web": things.runs}}),
    );
    list.get("/api/v1/deployments", "");
    list.in_each(&Method::POST, "/api/v1/deployments", "", |name| json!({"environment": name, "builds": ["web@1.0.0"]}));
    list.get("/api/v1/deployments/{id}", "/api/v1/deployments/1");
    for (name, number) in ENVIRONMENTS.into_iter().zip(things.deployments) {
        list.post("/api/v1/deployments/{id}/cancel", name, &format!("/api/v1/deployments/{number}/cancel"), json!({}));
    }
    list.in_each(&Method::POST, "/api/v1/rollbacks", "", |name| json!({"environment": name, "service": "web", "to": "1.0.0"}));
    for (what, option) in [("production, withdrawing first", "withdraw_first"), ("production, emergency", "emergency")] {
        let mut body = json!({"environment": "production", "service": "web", "to": "1.0.0", "note": "it hurts"});
        body[option] = true.into();
        list.post("/api/v1/rollbacks", what, "", body);
    }
    for (name, rollout) in ENVIRONMENTS.into_iter().zip(&things.rollouts) {
        list.post("/api/v1/rollouts/{id}/abandon", name, &format!("/api/v1/rollouts/{rollout}/abandon"), json!({}));
    }
    for (name, target) in ENVIRONMENTS.into_iter().zip(["t", "p"]) {
        list.post("/api/v1/placements/adopt", name, "", json!({"environment": name, "target": target, "service": "web", "version": "1.0.0"}));
    }
}

fn releases(list: &mut List) {
    list.get("/api/v1/releases", "");
    list.get("/api/v1/releases/{name}", "/api/v1/releases/spring");
    list.ask(Method::PUT, "/api/v1/releases/{name}", "a new one", "/api/v1/releases/summer", release());
    list.ask(Method::PUT, "/api/v1/releases/{name}", "one that is planned", "/api/v1/releases/spring", release());
    list.post("/api/v1/releases/{name}/start", "", "/api/v1/releases/spring/start", json!({}));
    list.post("/api/v1/releases/{name}/pause", "", "/api/v1/releases/spring/pause", json!({"note": "looking"}));
    list.post("/api/v1/releases/{name}/resume", "", "/api/v1/releases/spring/resume", json!({}));
    list.post("/api/v1/releases/{name}/withdraw", "", "/api/v1/releases/spring/withdraw", json!({}));
    list.post("/api/v1/releases/{name}/close", "", "/api/v1/releases/spring/close", json!({}));
    list.post("/api/v1/releases/{name}/cancel", "", "/api/v1/releases/spring/cancel", json!({}));
    for role in Role::ALL {
        list.post("/api/v1/decisions", &format!("as {role}"), "", json!({"about": {"release": "spring"}, "role": role.as_str(), "verdict": "go"}));
    }
    list.get("/api/v1/holds", "");
    list.post("/api/v1/holds", "", "", hold());
    list.post("/api/v1/holds/{number}/lift", "", "/api/v1/holds/1/lift", json!({}));
}

fn ledger(list: &mut List, things: &Things) {
    list.get("/api/v1/board", "");
    list.get("/api/v1/dark", "");
    list.get("/api/v1/explain", "/api/v1/explain?feature=button&environment=production&for=u");
    list.raw(Method::POST, "/api/v1/ledger/verify", "", "/api/v1/ledger/verify", json!({}));
    list.post("/api/v1/erase", "", "", json!({"person": things.gone}));
    list.get("/api/v1/events", "");
    list.get("/api/v1/evidence/{digest}", &format!("/api/v1/evidence/{}", things.evidence));
    list.get("/api/v1/keys", "");
}

/// The data plane, and what stands beside both.
fn evaluators(list: &mut List, things: &Things) {
    let context = || json!({"context": {"targetingKey": "u"}});
    for route in ["/healthz", "/readyz", "/openapi.json", "/metrics"] {
        list.get(route, "");
    }
    list.raw(Method::POST, "/ofrep/v1/evaluate/flags", "", "/ofrep/v1/evaluate/flags", context());
    list.raw(Method::POST, "/ofrep/v1/evaluate/flags/", "", "/ofrep/v1/evaluate/flags/", context());
    list.raw(Method::POST, "/ofrep/v1/evaluate/flags/{*key}", "", "/ofrep/v1/evaluate/flags/button", context());
    list.raw(Method::GET, "/ofrep/v1/stream", "an address from a bulk answer", things.stream.clone(), Value::Null);
    list.raw(Method::GET, "/ofrep/v1/stream", "without one", "/ofrep/v1/stream", Value::Null);
    list.get("/api/client/features", "");
    list.get("/api/client/features/{*name}", "/api/client/features/button");
    list.get("/api/client/delta", "");
    list.get("/api/client/streaming", "");
    let registration = || json!({"appName": "shop", "instanceId": "i", "strategies": [], "started": "2026-01-01T00:00:00Z", "interval": 1000});
    let metrics = || json!({"appName": "shop", "instanceId": "i", "bucket": {"start": "2026-01-01T00:00:00Z", "stop": "2026-01-01T00:01:00Z", "toggles": {}}});
    list.raw(Method::POST, "/api/client/register", "", "/api/client/register", registration());
    list.raw(Method::POST, "/api/client/metrics", "", "/api/client/metrics", metrics());
    list.raw(Method::POST, "/api/client/metrics/bulk", "", "/api/client/metrics/bulk", json!({"applications": [], "metrics": []}));
    for (route, register, counts) in
        [("/api/frontend", "/api/frontend/client/register", "/api/frontend/client/metrics"), ("/api/proxy", "/api/proxy/client/register", "/api/proxy/client/metrics")]
    {
        list.raw(Method::GET, route, "", route, Value::Null);
        list.raw(Method::POST, route, "", route, json!({"context": {"userId": "u"}}));
        list.raw(Method::POST, register, "", register, registration());
        list.raw(Method::POST, counts, "", counts, metrics());
    }
    list.get("/api/v1/snapshot", "");
    list.get("/api/v1/snapshot/stream", "");
    list.raw(Method::POST, "/api/v1/evaluators", "", "/api/v1/evaluators", json!({"instance": "i", "revision": 0}));
    list.get("/api/v1/relay/tokens", "");
}
