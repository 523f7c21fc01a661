//! An open stream: it is told of the latest revision, each time there is one, and never of all that it missed.
//!
//! A slow reader holds one message at most: the next is made when it has taken that one, from where we then are.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::{Flagd, Listed};
use crate::feeds::{Head, Published};
use crate::source::PATIENCE;

pub(super) struct Listener {
    pub(super) flagd: Arc<Flagd>,
    head: watch::Receiver<Head>,
    listed: Listed,
    /// The revision that the client was told of.
    pub(super) told: Option<u64>,
    /// What was forced off here when it was.
    edition: u64,
    /// With this, which waits to be taken since then.
    given: Option<(u64, Instant)>,
    ended: bool,
}

pub(super) enum News {
    Revision(Arc<Published>),
    /// Nothing for a while.
    Quiet,
}

impl Listener {
    pub(super) fn new(flagd: Arc<Flagd>, listed: Listed) -> Self {
        let head = flagd.plane.feeds.follow(&flagd.environment);
        let edition = head.borrow().edition;
        Self { flagd, head, listed, told: None, edition, given: None, ended: false }
    }

    /// Waits for a revision after the one told, or for as long as `quiet`. `None`: the stream has ended; an error is the
    /// last that it says. It never ends without one, since there are clients that then believe it open.
    pub(super) async fn next(&mut self, quiet: Option<Duration>) -> Option<Result<News, Status>> {
        if self.ended {
            return None;
        }
        if let Err(status) = self.taken() {
            return Some(Err(self.end(status)));
        }
        let until = quiet.map(|quiet| Instant::now() + quiet);
        loop {
            let head = *self.head.borrow_and_update();
            if head.closed {
                return Some(Err(self.end(Status::unavailable("this server is stopping, or the environment is gone"))));
            }
            if self.listed.pass.as_ref().is_some_and(|pass| !pass.stands()) {
                return Some(Err(self.end(Status::unauthenticated("the token is revoked or has ended"))));
            }
            if (self.told.is_none_or(|told| head.revision > told) || head.edition != self.edition)
                && let Ok(published) = self.flagd.published()
            {
                self.edition = head.edition;
                return Some(Ok(News::Revision(published)));
            }
            let changed = match until {
                Some(until) => timeout_at(until, self.head.changed()).await,
                None => Ok(self.head.changed().await),
            };
            match changed {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Some(Err(self.end(Status::unavailable("the environment is gone")))),
                Err(_) => return Some(Ok(News::Quiet)),
            }
        }
    }

    /// Says that a message leaves with this revision.
    pub(super) fn tell(&mut self, revision: u64) {
        (self.told, self.given) = (Some(revision), Some((revision, Instant::now())));
    }

    pub(super) fn end(&mut self, status: Status) -> Status {
        self.ended = true;
        status
    }

    /// The transport asks for more once what was given has left (`call::frames`). That is the best evidence on this wire.
    fn taken(&mut self) -> Result<(), Status> {
        let Some((revision, since)) = self.given.take() else { return Ok(()) };
        let Listed { id, name, .. } = &self.listed;
        self.flagd.plane.presence.reported(&self.flagd.environment, *id, name, revision, None);
        if since.elapsed() > PATIENCE {
            return Err(Status::resource_exhausted("this client does not keep up"));
        }
        Ok(())
    }
}
