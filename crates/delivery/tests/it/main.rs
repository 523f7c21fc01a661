//! The data plane as its clients see it.

mod bulk;
#[cfg(feature = "flagd")]
mod flagd;
mod follow;
mod hostile;
mod single;
mod stream;
mod unleash;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greenroom_delivery::{DataPlane, Denied, Feeds, Gate, Limits, Presence, Scope, Sign, Usage, router};
use greenroom_exposure::{Model, Snapshot};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// `sdk-one` and `sdk-two` read production, `web` may only ask there, `sdk-test` test, `sdk-new` an environment that is not there; `admin` is
/// known and reads nothing.
struct Tokens;

impl Gate for Tokens {
    fn scope(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        let environment = match presented {
            Some("sdk-one" | "sdk-two" | "web") => "production",
            Some("sdk-test") => "test",
            Some("sdk-new") => "new",
            Some("admin") => return Err(Denied::Forbidden),
            _ => return Err(Denied::Unauthenticated),
        };
        Ok(Scope { environment: environment.into(), id: presented.unwrap_or_default().into(), follows: presented != Some("web") })
    }
}

/// The key that snapshots are signed with.
pub struct Key(pub ed25519_dalek::SigningKey);

impl Sign for Key {
    fn sign(&self, snapshot: &[u8]) -> String {
        STANDARD.encode(ed25519_dalek::Signer::sign(&self.0, snapshot).to_bytes())
    }
}

pub fn key() -> Key {
    Key(ed25519_dalek::SigningKey::from_bytes(&[9; 32]))
}

pub struct Plane {
    pub feeds: Arc<Feeds>,
    pub presence: Arc<Presence>,
    pub usage: Arc<Usage>,
    pub router: Router,
}

pub fn limits() -> Limits {
    Limits { body: 4096, catch_up: Duration::from_millis(200), ..Limits::default() }
}

pub fn plane() -> Plane {
    plane_with(limits())
}

pub fn plane_with(limits: Limits) -> Plane {
    let (feeds, presence) = (Arc::new(Feeds::default()), Arc::new(Presence::default()));
    feeds.publish("production", snapshot("production", 41, true));
    feeds.publish("test", snapshot("test", 7, true));
    let usage = Arc::new(Usage::default());
    let plane = DataPlane::new(Arc::clone(&feeds), Arc::clone(&presence), Arc::new(Tokens), [7; 32]).with_signer(Arc::new(key())).with_usage(Arc::clone(&usage));
    Plane { feeds, presence, usage, router: router(plane.with_limits(limits)) }
}

/// One feature of each kind that matters on the wire.
pub fn snapshot(environment: &str, revision: u64, shown: bool) -> Arc<Snapshot> {
    let boolean = json!({"on": true, "off": false});
    let rule = |when: Value| json!([{"name": "rule", "release": "autumn", "when": when, "then": {"variant": "on"}}]);
    let model: Model = serde_json::from_value(json!({
        "format": "greenroom/snapshot/1", "environment": environment, "revision": revision,
        "features": {
            "plain": {"type": "boolean", "variants": boolean, "off": "off", "default": if shown { "on" } else { "off" }},
            "shop/new-checkout": {"type": "boolean", "variants": boolean, "off": "off", "default": "off",
                "claims": rule(json!([{"attribute": "plan", "op": "in", "values": ["gold"]}]))},
            "ratio": {"type": "float", "variants": {"high": 10, "off": 0.5}, "off": "off", "default": "high"},
            "limit": {"type": "integer", "variants": {"high": 10, "off": 0}, "off": "off", "default": "high"},
            "theme": {"type": "object", "variants": {"new": {"dark": true}, "off": {}}, "off": "off", "default": "new"},
            "greeting": {"type": "string", "variants": {"new": "say \"hi\"", "off": ""}, "off": "off", "default": "new"},
            "share": {"type": "boolean", "variants": boolean, "off": "off", "default": "off",
                "claims": rule(json!([{"share": {"salt": "autumn", "share": 50_000}}]))},
            "held": {"type": "boolean", "variants": boolean, "off": "off", "default": "off",
                "claims": [{"name": "autumn/1", "release": "autumn", "blocked": "need:tax>=1.4", "then": {"variant": "on"}}]},
            "broken": {"type": "boolean", "variants": {"on": true}, "off": "off", "default": "on"},
        },
    }))
    .unwrap();
    Arc::new(Snapshot::compile(&model).0)
}

/// Of production, with one feature whose value is that long and another each time.
pub fn large(revision: u64, bytes: usize) -> Arc<Snapshot> {
    let letter = char::from(b'a' + (revision % 26) as u8).to_string();
    let feature = json!({"type": "string", "variants": {"long": letter.repeat(bytes), "off": ""}, "off": "off", "default": "long"});
    let model: Model = serde_json::from_value(json!({"format": "greenroom/snapshot/1", "environment": "production", "revision": revision, "features": {"long": feature}})).unwrap();
    Arc::new(Snapshot::compile(&model).0)
}

/// A request of `sdk-one`, unless `headers` present something else.
pub fn request(path: &str, body: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    if !headers.iter().any(|(name, _)| matches!(*name, "authorization" | "x-api-key" | "none")) {
        request = request.header(header::AUTHORIZATION, "Bearer sdk-one");
    }
    for (name, value) in headers.iter().filter(|(name, _)| *name != "none") {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

/// Status, headers and body of what is answered.
pub struct Reply {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        assert_eq!(self.headers.get(header::CONTENT_TYPE).unwrap(), "application/json", "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Plane {
    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response: Response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        // Whatever the answer, a page of another origin may read it.
        assert_eq!(parts.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).unwrap(), "*");
        Reply { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub async fn post(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(request(path, body, headers)).await
    }
}
