//! A stream of events that a reader takes one at a time: it holds one at most, which it shares with all others, and the
//! next is made when it has taken that one, from where it then is.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::Instant;

/// An event that a reader has not taken after this long has been sent too fast for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) trait Source: Send + Sized + 'static {
    /// The next event. `None`: the stream has ended.
    fn bytes(&mut self) -> impl Future<Output = Option<Bytes>> + Send;

    /// Ends also once its reader takes too long over an event. They may come back.
    fn events(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        unfold((self, Instant::now()), async |(mut source, given)| {
            if given.elapsed() > PATIENCE {
                return None;
            }
            let bytes = source.bytes().await?;
            Some((Ok(bytes), (source, Instant::now())))
        })
    }
}
