//! For whoever watches over a relay: that it lives, and that it has something to answer from.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use greenroom_follow::Contact;

use crate::line::Line;

/// `GET /healthz` and `GET /readyz`, for which nobody needs a token: as of a control plane.
pub(crate) fn router(lines: Vec<Arc<Line>>) -> Router {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).with_state(Arc::from(lines))
}

/// Ready once there is a snapshot for each token, if only the one on disk: losing contact takes nothing from those who ask.
async fn ready(State(lines): State<Arc<[Arc<Line>]>>) -> (StatusCode, String) {
    // tokens are secrets: which of them it is says its place
    let waiting = lines.iter().zip(1..).filter_map(|(line, token)| {
        let state = line.state();
        let state = state.borrow();
        let why = match &state.contact {
            Contact::Lost(broken) => broken.to_string(),
            Contact::Never | Contact::Live => format!("{} has not answered yet", line.wire().upstream().url),
        };
        state.held.is_none().then(|| format!("nothing is held yet of what token {token} of {} reads: {why}\n", lines.len()))
    });
    let waiting: String = waiting.collect();
    if waiting.is_empty() { (StatusCode::OK, "ready\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, waiting) }
}
