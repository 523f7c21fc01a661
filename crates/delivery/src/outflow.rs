//! Whether what was written to a connection has arrived, for protocols in which the other end never says so.
//!
//! TCP says it: what the other end's system has not acknowledged stays in our socket's queue. An empty queue does not say that the
//! program there has read it, but it tells one that runs and listens from a machine that is gone or cut off, and from a
//! reader that has stopped reading long ago: for these, what was written means nothing. A proxy in between answers for itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Between two looks at the queue: at first, when thousands of others may still be waiting for the same news, and at most.
const LOOK: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// Bytes of what counts as short: the head of an answer about one feature and its body, or an event.
const TOGETHER: usize = 2048;

tokio::task_local! {
    /// Of the connection that this task serves.
    pub(crate) static OUTFLOW: Arc<Outflow>;
}

/// Between a connection, which alone can look at its socket, and what is written to it.
#[derive(Default)]
pub(crate) struct Outflow {
    /// The last question asked. It is asked after something was written, and answered once nothing is left.
    asked: AtomicU64,
    answered: AtomicU64,
    /// How often something was written.
    written: AtomicU64,
}

impl Outflow {
    /// Of the connection that is being served, where it is one that can be looked at.
    pub(crate) fn current() -> Option<Arc<Self>> {
        OUTFLOW.try_with(Arc::clone).ok()
    }

    /// Another number once something more was written.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until everything that was written so far has arrived. To be asked by a body whose last chunk was taken: the connection
    /// looks each time it has flushed, which it does whenever its body was asked for more.
    pub(crate) async fn arrived(&self) {
        let question = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let [mut look, longest] = LOOK;
        while self.answered.load(Ordering::Relaxed) < question {
            tokio::time::sleep(look).await;
            look = (look * 2).min(longest);
        }
    }
}

/// A connection that looks at what it has sent.
pub(crate) struct Watched {
    pub(crate) io: TokioIo<TcpStream>,
    outflow: Arc<Outflow>,
}

impl Watched {
    pub(crate) fn new(stream: TcpStream, outflow: Arc<Outflow>) -> Self {
        Self { io: TokioIo::new(stream), outflow }
    }

    pub(crate) fn outflow(&self) -> Arc<Outflow> {
        Arc::clone(&self.outflow)
    }

    pub(crate) fn into_std(self) -> io::Result<std::net::TcpStream> {
        self.io.into_inner().into_std()
    }

    /// Only the connection itself writes, so nobody is waited for.
    fn note_write(&self) {
        self.outflow.written.store(self.outflow.written().wrapping_add(1), Ordering::Relaxed);
    }

    /// Answers what was asked, if all has arrived.
    pub(crate) fn look(&self) {
        let asked = self.outflow.asked.load(Ordering::Relaxed);
        if asked > self.outflow.answered.load(Ordering::Relaxed) && unacknowledged(self.io.inner()).is_ok_and(|bytes| bytes == 0) {
            self.outflow.answered.store(asked, Ordering::Relaxed);
        }
    }
}

/// Bytes of the send queue, sent or not, that the other end has not acknowledged: `SIOCOUTQ`, tcp(7).
#[expect(unsafe_code, reason = "neither tokio nor rustix has this question ready; it takes no input and fills in one int")]
fn unacknowledged(stream: &TcpStream) -> io::Result<i32> {
    const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: on a socket of TCP this opcode writes one `int`, the getter's output.
    Ok(unsafe { rustix::ioctl::ioctl(stream, rustix::ioctl::Getter::<SIOCOUTQ, i32>::new()) }?)
}

/// Gives `write` short parts as one: copying them is less work than having the system gather them. `None` if they are not short.
pub(crate) fn together<T>(parts: &[io::IoSlice<'_>], write: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let mut whole = [0; TOGETHER];
    let mut rest = whole.as_mut_slice();
    for part in parts {
        io::Write::write_all(&mut rest, part).ok()?;
    }
    let unused = rest.len();
    whole.get(..TOGETHER - unused).map(write)
}

impl Read for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.note_write();
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.look();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.note_write();
        let Self { io, .. } = &mut *self;
        together(parts, |whole| Pin::new(&mut *io).poll_write(cx, whole)).unwrap_or_else(|| Pin::new(&mut self.io).poll_write_vectored(cx, parts))
    }
}
