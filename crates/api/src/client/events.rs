//! The ledger as it grows: server-sent events, taken up again after the last one seen when the connection breaks.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::{Event as Frame, EventStreamError, Eventsource as _};
use futures_util::{Stream, StreamExt as _, TryStream};
use greenroom_https::{Pieces, whole};
use http::header::ACCEPT;

use super::{Client, Error, LARGEST, PATIENCE, call, read_problem};
use crate::views::Event;

/// Reconnections without an event between them before giving up.
const ATTEMPTS: u32 = 6;

/// Which events; absent means all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub subject: Option<String>,
    pub actor: Option<String>,
}

type Frames = Pin<Box<dyn Stream<Item = Result<Frame, EventStreamError<<Pieces as TryStream>::Error>>> + Send>>;

/// Events after a seq, without end.
pub struct Events<'a> {
    client: &'a Client,
    filter: Filter,
    last: u64,
    frames: Option<Frames>,
    failures: u32,
}

impl Client {
    /// Follows the ledger after `after`. Nothing is sent before the first [`Events::next`].
    #[must_use]
    pub fn events(&self, filter: Filter, after: u64) -> Events<'_> {
        Events { client: self, filter, last: after, frames: None, failures: 0 }
    }
}

impl Events<'_> {
    /// The next event. May be dropped while it waits; nothing is lost.
    ///
    /// # Errors
    /// The server says no, or stays away.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            let frames = match &mut self.frames {
                Some(frames) => frames,
                None => {
                    let connected = self.connect().await;
                    match connected {
                        Ok(frames) => self.frames.insert(frames),
                        Err(error @ Error::Unreachable { .. }) => {
                            self.lost(error).await?;
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            match frames.next().await {
                Some(Ok(frame)) => {
                    let Ok(event) = serde_json::from_str::<Event>(&frame.data) else { continue };
                    self.failures = 0;
                    self.last = self.last.max(event.seq);
                    return Ok(event);
                }
                ended => {
                    self.frames = None;
                    let why = ended.and_then(Result::err).map_or_else(|| "the stream ended".to_owned(), |e| e.to_string());
                    self.lost(Error::Unreachable { base: self.client.base().to_owned(), source: why.into() }).await?;
                }
            }
        }
    }

    async fn lost(&mut self, error: Error) -> Result<(), Error> {
        self.failures += 1;
        if self.failures >= ATTEMPTS {
            return Err(error);
        }
        (self.client.pause)(Duration::from_millis(100 << self.failures)).await;
        Ok(())
    }

    async fn connect(&self) -> Result<Frames, Error> {
        let call = call::events().query("after", self.last).maybe("subject", self.filter.subject.as_ref()).maybe("actor", self.filter.actor.as_ref());
        let request = self.client.request(&call).header(ACCEPT, "text/event-stream").header("last-event-id", self.last);
        let response = self.client.ask(request, Bytes::new(), PATIENCE).await.map_err(|failed| self.client.unreachable(failed))?;
        if let Some(moved) = self.client.moved(&response) {
            return Err(moved);
        }
        let status = response.status();
        if status.is_success() {
            return Ok(Box::pin(Pieces::new(response.into_body()).eventsource()));
        }
        let bytes = whole(response.into_body(), LARGEST, PATIENCE).await.map_err(|failed| self.client.unreachable(failed))?;
        match read_problem(status.as_u16(), &bytes) {
            Some(problem) if problem.status == 503 => Err(Error::Unreachable { base: self.client.base().to_owned(), source: Box::new(problem) }),
            Some(problem) => Err(Error::Problem(Box::new(problem))),
            None => Err(self.client.unreadable(status.as_u16(), &bytes, None)),
        }
    }
}
