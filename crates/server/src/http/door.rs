//! The way in: health and the data plane at once, the control plane once the ledger is read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use greenroom_api::Problem;
use greenroom_api::problem::Code;
use greenroom_delivery::DataPlane;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::{Api, Refused, document, internal, router};

/// Where a start has come to.
#[derive(Default)]
pub struct Door {
    control: OnceLock<(Router, Arc<Api>)>,
    /// Why there will be no control plane.
    trouble: OnceLock<Problem>,
    /// Events folded, and how many there are.
    pub folded: AtomicU64,
    pub events: AtomicU64,
}

impl Door {
    /// Lets everyone in.
    pub fn open(&self, api: &Arc<Api>) {
        let _ = self.control.set((router(Arc::clone(api)), Arc::clone(api)));
    }

    /// Nobody will be let in: only what was last published is served.
    pub fn shut(&self, why: Problem) {
        let _ = self.trouble.set(why);
    }

    fn closed(&self) -> Problem {
        self.trouble.get().cloned().unwrap_or_else(|| {
            let (folded, events) = (self.folded.load(Ordering::Relaxed), self.events.load(Ordering::Relaxed));
            let so_far = if events == 0 { String::new() } else { format!(": {folded} of {events} events") };
            Problem::new(Code::Starting, format!("the ledger is being read{so_far}")).detail("exposure is served meanwhile; repeat the request in a moment")
        })
    }
}

/// The whole server.
pub fn front(door: Arc<Door>, plane: DataPlane) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/openapi.json", get(|| async { axum::Json(document()) }))
        .fallback(control)
        .with_state(door)
        .merge(greenroom_delivery::router(plane).layer(tower_http::catch_panic::CatchPanicLayer::custom(evaluation_failed)))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send + 'static>| Refused(internal()).into_response()))
}

/// In the form that evaluators read.
fn evaluation_failed(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let body = r#"{"errorDetails":"an evaluation failed inside the server; its log has the place"}"#;
    (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "application/json"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], body).into_response()
}

async fn control(Extract(door): Extract<Arc<Door>>, request: Request) -> Response {
    match door.control.get() {
        Some((router, api)) => {
            // the threads that serve connections are for answers that take microseconds; dropped, the set ends what it runs
            let mut aside = JoinSet::new();
            aside.spawn_on(router.clone().oneshot(request), &api.runtime);
            match aside.join_next().await {
                Some(Ok(Ok(response))) => response,
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => Refused(internal()).into_response(),
            }
        }
        None => Refused(door.closed()).into_response(),
    }
}

async fn ready(Extract(door): Extract<Arc<Door>>) -> Response {
    match door.control.get() {
        Some((_, api)) => match api.engine.refuses() {
            None => "ready\n".into_response(),
            Some(why) => Refused(why).into_response(),
        },
        None => Refused(door.closed()).into_response(),
    }
}
