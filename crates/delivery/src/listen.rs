//! Serving over plain TCP: as axum does, but with what ten thousand idle listeners need. Small buffers, no waiting of small
//! writes for company, and an end for whoever does not take what they are sent.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

use crate::events;
use crate::lanes::Lanes;
use crate::outflow::{OUTFLOW, Watched};

/// A head that is not complete after this long, or twice that, is not waited for. The same holds for the next request on a
/// connection: longer than clients keep one in store (90 s by custom) and than evaluators are silent, so that nobody writes to one
/// that is just being closed. hyper can do this too, but sets a timer for each request: a twentieth of what an answer costs.
const HEAD: Duration = Duration::from_secs(100);
/// Whoever acknowledges nothing of what was sent to them for this long is cut off, by the system itself: a reader that
/// is too slow holds one socket's buffer and nothing else.
pub(crate) const UNREAD: Duration = Duration::from_secs(60);
/// Bytes that are read ahead of, or held back from, one connection.
const BUFFER: usize = 16 * 1024;
/// After a connection that could not be taken.
const REST: Duration = Duration::from_millis(200);
/// How long what is under way may take to end once we stop.
const FAREWELL: Duration = Duration::from_secs(5);

/// Who has connected and has not been taken in yet: as many as the system allows. After a restart all come at the same moment, and
/// whoever finds no room tries again in a second, then in three.
const WAITING: u32 = 1 << 16;

/// A socket to serve, on which even ten thousand may come at once.
///
/// # Errors
/// If the address cannot be had.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // what a process before this one has left open is no hindrance
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// Serves `app` until `stop` is done, over HTTP/1.1.
pub async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()>) {
    serve_readers(listener, app, UNREAD, stop).await;
}

/// As [`serve`], and cuts off whoever leaves what was sent to them unread, or is not there any more, for longer than `unread`.
pub async fn serve_readers(listener: TcpListener, app: Router, unread: Duration, stop: impl Future<Output = ()>) {
    let lanes = match Lanes::start() {
        Ok(lanes) => Some(lanes),
        Err(error) => {
            tracing::warn!(%error, "connections get no threads of their own");
            None
        }
    };
    let here = Handle::current();
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_buf_size(BUFFER);
    let (http, lane, aside) = (Arc::new(http), || lanes.as_ref().and_then(Lanes::next).unwrap_or(&here), here.clone());
    accept(listener, unread, stop, lane, move |io, stopped| attend(Arc::clone(&http), app.clone(), io, stopped, aside.clone())).await;
}

/// Takes connections until `stop` is done, each to be attended to where `lane` says, and lets those that are open then end
/// what is under way.
pub(crate) async fn accept<'l, F>(
    listener: TcpListener,
    unread: Duration,
    stop: impl Future<Output = ()>,
    lane: impl Fn() -> &'l Handle,
    attend: impl Fn(Watched, Stopped) -> F + Send + Sync + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let ((open, stopped), mut stop, attend) = (watch::channel(()), pin!(stop), Arc::new(attend));
    loop {
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            () = &mut stop => break,
        };
        match taken {
            Ok((stream, _)) => {
                // one that cannot be set up is about to end
                let _ = set_up(&stream, unread);
                let Ok(stream) = stream.into_std() else { continue };
                let (attend, stopped) = (Arc::clone(&attend), stopped.clone());
                lane().spawn(async move {
                    let Ok(stream) = TcpStream::from_std(stream) else { return };
                    let outflow = Arc::default();
                    OUTFLOW.scope(Arc::clone(&outflow), attend(Watched::new(stream, outflow), stopped)).await;
                });
            }
            Err(error) => {
                // out of files, say: trying again at once would only burn time
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(REST).await;
            }
        }
    }
    drop((listener, stopped));
    let _ = open.send(());
    let _ = tokio::time::timeout(FAREWELL, open.closed()).await;
}

/// Changes once nobody else is let in; whoever still serves holds it.
pub(crate) type Stopped = watch::Receiver<()>;

/// Answers requests here. A stream of events is written `aside`: when all are sent something at once, nobody who asks waits.
async fn attend(http: Arc<http1::Builder>, app: Router, io: Watched, mut stopped: Stopped, aside: Handle) {
    let (streaming, answering, outflow) = (Mutex::new(None), AtomicBool::new(false), io.outflow());
    let answer = |request: Request<Incoming>| {
        let (could_stream, app, streaming, answering) = (events::could_answer(&request), app.clone(), &streaming, &answering);
        answering.store(true, Ordering::Relaxed);
        async move {
            let response = app.oneshot(request.map(Body::new)).await?;
            if could_stream && events::are(&response) {
                *streaming.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
                return pending().await;
            }
            answering.store(false, Ordering::Relaxed);
            Ok::<_, Infallible>(response)
        }
    };
    let mut connection = http.serve_connection(io, service_fn(answer));
    let (mut silence, mut written) = (pin!(sleep(HEAD)), None);
    let left = drive(Pin::new(&mut connection), &mut stopped, |cx| {
        let response = streaming.lock().unwrap_or_else(PoisonError::into_inner).take();
        if response.is_some() {
            return Some(response);
        }
        while silence.as_mut().poll(cx).is_ready() {
            let (before, so_far) = (written, outflow.written());
            if before == Some(so_far) && !answering.load(Ordering::Relaxed) {
                return Some(None);
            }
            written = Some(so_far);
            silence.as_mut().reset(Instant::now() + HEAD);
        }
        None
    });
    // hyper has read the whole request, and written whatever came before it
    if let (Some(Some(response)), io) = (left.await, connection.into_parts().io)
        && let Ok(stream) = io.into_std()
    {
        aside.spawn(async move {
            let written = async { events::write(Watched::new(TcpStream::from_std(stream)?, outflow), response).await };
            if let Err(error) = written.await {
                tracing::debug!(%error, "an event stream ended");
            }
            drop(stopped);
        });
    }
}

/// Drives a connection until it ends, which it does early once we stop, or until `leave` gives something.
pub(crate) async fn drive<C, T>(mut connection: Pin<&mut C>, stopped: &mut Stopped, mut leave: impl FnMut(&mut Context<'_>) -> Option<T>) -> Option<T>
where
    C: GracefulConnection<Error: Display>,
{
    let (mut stopping, mut told) = (pin!(stopped.changed()), false);
    let ended = poll_fn(|cx| {
        if !told && stopping.as_mut().poll(cx).is_ready() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Err(ended)),
            Poll::Pending => leave(cx).map_or(Poll::Pending, |left| Poll::Ready(Ok(left))),
        }
    });
    match ended.await {
        Ok(left) => return Some(left),
        Err(Ok(())) => {}
        Err(Err(error)) => tracing::debug!(%error, "a connection ended"),
    }
    None
}

fn set_up(stream: &TcpStream, unread: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_tcp_user_timeout(stream, u32::try_from(unread.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    use super::*;

    /// Time passes whenever all wait.
    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_is_not_waited_for() {
        let slow = get(|| async {
            // sleep: the clock is paused
            sleep(3 * HEAD).await;
            "done"
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, here, http) = (listener.local_addr().unwrap(), Handle::current(), Arc::new(http1::Builder::new()));
        let (end, ended) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let app = Router::new().route("/slow", slow);
            let ended = async {
                let _ = ended.await;
            };
            accept(listener, UNREAD, ended, || &here, move |io, stopped| attend(Arc::clone(&http), app.clone(), io, stopped, Handle::current())).await;
        });
        for (sent, expected) in [("", ""), ("GET /slow HT", ""), ("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n", "done")] {
            let (mut stream, mut heard, began) = (TcpStream::connect(address).await.unwrap(), String::new(), Instant::now());
            stream.write_all(sent.as_bytes()).await.unwrap();
            stream.read_to_string(&mut heard).await.unwrap();
            let took = began.elapsed();
            assert!(heard.ends_with(expected) && heard.is_empty() == expected.is_empty(), "{sent}: {heard}");
            assert!(took >= HEAD && took <= 6 * HEAD, "{sent}: {took:?}");
        }
        end.send(()).unwrap();
        serving.await.unwrap();
    }
}
