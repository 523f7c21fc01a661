//! Serving over plain TCP: as axum does, but with what ten thousand idle listeners need. Small buffers, no waiting of small
//! writes for company, and an end for whoever does not take what they are sent.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::events;
use crate::lanes::Lanes;
use crate::outflow::{OUTFLOW, Watched};

/// A head that is not complete after this long is not waited for. The same holds for the next request on a connection: longer than
/// clients keep one in store (90 s by custom) and than evaluators are silent, so that nobody writes to one that is just being closed.
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
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    let (http, lane) = (Arc::new(http), || lanes.as_ref().and_then(Lanes::next).unwrap_or(&here));
    accept(listener, unread, stop, lane, move |io, stopped| attend(Arc::clone(&http), app.clone(), io, stopped)).await;
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
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop((listener, stopped));
    let _ = open.send(());
    let _ = tokio::time::timeout(FAREWELL, open.closed()).await;
}

/// Changes once nobody else is let in; whoever still serves holds it.
pub(crate) type Stopped = watch::Receiver<()>;

async fn attend(http: Arc<http1::Builder>, app: Router, io: Watched, mut stopped: Stopped) {
    let streaming = Mutex::new(None);
    let answer = |request: Request<Incoming>| {
        let (version, app, streaming) = (request.version(), app.clone(), &streaming);
        async move {
            let response = app.oneshot(request.map(Body::new)).await?;
            if events::are(&response, version) {
                *streaming.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
                return pending().await;
            }
            Ok::<_, Infallible>(response)
        }
    };
    let mut connection = http.serve_connection(io, service_fn(answer));
    let left = drive(Pin::new(&mut connection), &mut stopped, || streaming.lock().unwrap_or_else(PoisonError::into_inner).take()).await;
    // hyper has read the whole request, and written whatever came before it
    if let (Some(response), io) = (left, connection.into_parts().io)
        && let Err(error) = events::write(io, response).await
    {
        tracing::debug!(%error, "an event stream ended");
    }
}

/// Drives a connection until it ends, which it does early once we stop, or until `leave` gives something.
pub(crate) async fn drive<C, T>(mut connection: Pin<&mut C>, stopped: &mut Stopped, leave: impl Fn() -> Option<T>) -> Option<T>
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
            Poll::Pending => leave().map_or(Poll::Pending, |left| Poll::Ready(Ok(left))),
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
