//! `flagd.sync.v1.FlagSyncService`: definitions, whole, at the start and after every change.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::Request;
use tonic::Status;

use super::listen::{Listener, News};
use super::message::{AskDefinitions, AskMetadata, Metadata};
use super::value::Struct;
use super::{Flagd, call, unimplemented};

impl Flagd {
    /// For the port that providers call "sync", 8015 by custom.
    pub fn sync(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/flagd.sync.v1.FlagSyncService/SyncFlags", post(follow))
            .route("/flagd.sync.v1.FlagSyncService/FetchAllFlags", post(fetch))
            .route("/flagd.sync.v1.FlagSyncService/GetMetadata", post(metadata))
            .fallback(unimplemented)
            .with_state(Arc::clone(self))
    }
}

async fn follow(State(flagd): State<Arc<Flagd>>, request: Request<Body>) -> Response {
    let scope = match flagd.follower(request.headers()).and_then(|scope| flagd.published().map(|_| scope)) {
        Ok(scope) => scope,
        Err(status) => return call::refuse(request.headers(), status),
    };
    let limit = flagd.plane.limits.body;
    let answer = |ask: AskDefinitions| {
        flagd.selected(&ask.selector)?;
        let listener = Listener::new(Arc::clone(&flagd), flagd.connected(&scope, &ask.provider_id));
        Ok(stream::unfold(listener, next).boxed())
    };
    call::enveloped_answers(request, limit, answer).await
}

async fn next(mut listener: Listener) -> Option<(Result<Bytes, Status>, Listener)> {
    loop {
        let published = match listener.next(None).await? {
            Ok(News::Revision(published)) => published,
            Ok(News::Quiet) => continue,
            Err(status) => return Some((Err(status), listener)),
        };
        let rendered = listener.flagd.rendered.of(&published).await.map_err(|status| listener.end(status));
        if rendered.is_ok() {
            listener.tell(published.revision());
        }
        return Some((rendered, listener));
    }
}

async fn fetch(State(flagd): State<Arc<Flagd>>, request: Request<Body>) -> Response {
    if let Err(status) = flagd.follower(request.headers()) {
        return call::refuse(request.headers(), status);
    }
    let limit = flagd.plane.limits.body;
    let answer = |ask: AskDefinitions| {
        flagd.selected(&ask.selector)?;
        let published = flagd.published()?;
        let flagd = Arc::clone(&flagd);
        // one message and an end are, on the wire, an answer of one; the field that it has too many is passed over
        Ok(stream::once(async move { flagd.rendered.of(&published).await }).boxed())
    };
    call::enveloped_answers(request, limit, answer).await
}

/// What providers mix into every context: nothing.
async fn metadata(State(flagd): State<Arc<Flagd>>, request: Request<Body>) -> Response {
    if let Err(status) = flagd.follower(request.headers()) {
        return call::refuse(request.headers(), status);
    }
    let answer = async |_: AskMetadata| Ok(Metadata { metadata: Some(Struct::default()) });
    call::grpc_unary(request, flagd.plane.limits.body, answer).await
}
