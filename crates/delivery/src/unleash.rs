//! For Unleash SDKs: features to evaluate themselves, by polling, by deltas and by a stream; answers for those that ask;
//! and what both report.
//!
//! What an SDK is handed out, and what not, says [`greenroom_exposure::wire::unleash`]. An id of an event, and the tag of
//! an answer, name the revision. An SDK comes back with the one it has, which is the only acknowledgement in this protocol: a
//! poller does at its next question, one that listens only after its stream broke. A withdrawal cannot wait for that, so what
//! a poller was answered counts as taken, and what was sent over a stream once the other end's system has it ([`crate::outflow`]);
//! until the SDK itself says that it has less.

mod delta;
mod features;
mod frontend;
mod report;
mod stage;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use greenroom_exposure::wire::unleash::Level;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::json;

pub(crate) use self::stage::Stages;
use crate::DataPlane;
use crate::gate::{Denied, Scope};
use crate::ofrep::reply::{self, Refusal};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The longest name that an instance is known by.
const NAME: usize = 100;

pub(crate) fn router(plane: DataPlane) -> Router {
    let client = Router::new()
        .route("/features", get(features::all).options(preflight))
        .route("/features/{*name}", get(features::one).options(preflight))
        .route("/delta", get(delta::poll).options(preflight))
        .route("/streaming", get(delta::stream).options(preflight))
        .route("/register", post(report::register).options(preflight))
        .route("/metrics", post(report::metrics).options(preflight))
        .route("/metrics/bulk", post(report::bulk).options(preflight));
    let frontend = || {
        Router::new()
            .route("/", get(frontend::by_query).post(frontend::by_body).options(preflight))
            .route("/client/register", post(report::register).options(preflight))
            .route("/client/metrics", post(report::metrics).options(preflight))
    };
    Router::new().nest("/api/client", client).nest("/api/frontend", frontend()).nest("/api/proxy", frontend()).with_state(Arc::new(plane))
}

impl DataPlane {
    /// Lets in who presents a token as SDKs do, `PROJECT:ENVIRONMENT.SECRET`, or the secret alone.
    fn let_in(&self, headers: &HeaderMap) -> Result<Scope, Refusal> {
        let text = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::trim);
        let bare = text.map(|text| text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or(text, |(_, token)| token.trim()));
        let (environment, secret) = match bare.and_then(|token| token.split_once(':')?.1.rsplit_once('.')) {
            Some((environment, secret)) => (Some(environment), Some(secret)),
            None => (None, bare),
        };
        let scope = self.gate.scope(secret).map_err(Refusal::Denied)?;
        // an SDK that believes itself elsewhere would report and decide by the wrong name
        if environment.is_some_and(|environment| *environment != *scope.environment) {
            return Err(Refusal::Denied(Denied::Forbidden));
        }
        Ok(scope)
    }

    /// As [`Self::let_in`], for an SDK that wants the rules themselves.
    fn let_follow(&self, headers: &HeaderMap) -> Result<Scope, Refusal> {
        let scope = self.let_in(headers)?;
        if scope.follows { Ok(scope) } else { Err(Refusal::Denied(Denied::Forbidden)) }
    }
}

fn level(headers: &HeaderMap) -> Level {
    Level::of(text(headers, "unleash-client-spec"))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

/// A running SDK, as presence knows it: by its connection, else by the instance that it names.
struct Instance {
    id: u64,
    name: String,
}

impl Instance {
    fn of(scope: &Scope, headers: &HeaderMap) -> Self {
        let (application, instance) = (text(headers, "unleash-appname").unwrap_or_default(), text(headers, "unleash-instanceid").unwrap_or_default());
        let mut hasher = DefaultHasher::new();
        ("unleash", &scope.id, text(headers, "unleash-connection-id").unwrap_or(instance), application).hash(&mut hasher);
        let name: String = [application, instance].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/").chars().take(NAME).collect();
        Self { id: hasher.finish(), name: if name.is_empty() { scope.id.to_string() } else { name } }
    }
}

impl DataPlane {
    /// Notes who asked, what they have, what they are given, and when they will ask again.
    fn asked(&self, scope: &Scope, headers: &HeaderMap, known: u64, given: u64) {
        let instance = Instance::of(scope, headers);
        self.presence.asked(&scope.environment, instance.id, &instance.name, known, given);
        if let Some(every) = text(headers, "unleash-interval").and_then(|text| text.parse().ok()).map(Duration::from_millis) {
            self.presence.polls(&scope.environment, instance.id, every);
        }
    }
}

/// A page may send whatever it likes: what authorises is the token and never a cookie.
async fn preflight(headers: HeaderMap) -> Response {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let response = reply::preflight(http::Method::OPTIONS).await;
    match asked {
        Some(asked) => reply::with(response, header::ACCESS_CONTROL_ALLOW_HEADERS, asked),
        None => response,
    }
}

fn found(body: impl Into<Body>, tag: &str) -> Response {
    let response = reply::with(reply::open(StatusCode::OK, body.into()), header::CONTENT_TYPE, JSON);
    tagged(response, tag)
}

fn unchanged(tag: &str) -> Response {
    tagged(reply::open(StatusCode::NOT_MODIFIED, Body::empty()), tag)
}

fn tagged(response: Response, tag: &str) -> Response {
    let vary = HeaderValue::from_static("Authorization, Unleash-Client-Spec");
    let response = reply::with(response, HeaderName::from_static("vary"), vary);
    match crate::ofrep::tag::header_value(tag) {
        Some(tag) => reply::with(response, header::ETAG, tag),
        None => response,
    }
}

/// An error in the form that Unleash's own server has.
fn failed(status: StatusCode, name: &str, message: &str) -> Response {
    let body = json!({"name": name, "message": message, "details": [{"message": message}]}).to_string();
    reply::with(reply::open(status, body.into()), header::CONTENT_TYPE, JSON)
}
