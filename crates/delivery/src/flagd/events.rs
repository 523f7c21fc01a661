//! `EventStream`: who caches answers learns which of them to drop.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::Request;
use tonic::Status;

use super::listen::{Listener, News};
use super::message::{Event, Listen};
use super::{Flagd, call};

pub(super) async fn open(State(flagd): State<Arc<Flagd>>, request: Request<Body>) -> Response {
    let (scope, published) = match flagd.admit(request.headers()).and_then(|scope| Ok((scope, flagd.published()?))) {
        Ok(admitted) => admitted,
        Err(status) => return call::refuse(request.headers(), status),
    };
    let (limit, is_page) = (flagd.plane.limits.body, !call::is_grpc(request.headers()));
    if is_page && let Err(status) = flagd.changes.begin(Arc::clone(&published)).await {
        return call::refuse(request.headers(), status);
    }
    let answer = |_: Listen| {
        let mut listener = Listener::new(Arc::clone(&flagd), flagd.connected(&scope, ""));
        if is_page {
            // the greeting makes it fetch everything
            listener.tell(published.revision());
        }
        let events = stream::unfold(Announcer { listener, greeted: false }, Announcer::next);
        Ok(events.boxed())
    };
    call::streaming(request, limit, answer).await
}

struct Announcer {
    listener: Listener,
    greeted: bool,
}

impl Announcer {
    /// After the greeting every feature is named to providers on servers: one that has lost its stream may have kept what
    /// it cached, and cannot say from when.
    async fn next(mut self) -> Option<(Result<Event, Status>, Self)> {
        if !self.greeted {
            self.greeted = true;
            return Some((Ok(event("provider_ready", Bytes::new())), self));
        }
        let keep_alive = self.listener.flagd.plane.limits.keep_alive;
        let news = match self.listener.next(Some(keep_alive)).await? {
            Ok(News::Revision(published)) => self.listener.flagd.changes.since(self.listener.told, published).await.map_err(|status| self.listener.end(status)),
            Ok(News::Quiet) => return Some((Ok(event("keep_alive", Bytes::new())), self)),
            Err(status) => Err(status),
        };
        let event = news.map(|(revision, data)| {
            self.listener.tell(revision);
            event("configuration_change", data)
        });
        Some((event, self))
    }
}

fn event(kind: &str, data: Bytes) -> Event {
    Event { r#type: kind.to_owned(), data }
}
