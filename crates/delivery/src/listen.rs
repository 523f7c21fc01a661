//! Serving over plain TCP: as axum does, but with what ten thousand idle listeners need. Small buffers, no waiting of small
//! writes for company, and an end for whoever does not take what they are sent.

use std::fmt::Display;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

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
    let lane = || lanes.as_ref().and_then(Lanes::next).unwrap_or(&here);
    accept(listener, unread, stop, lane, move |stream| http.serve_connection(stream, TowerToHyperService::new(app.clone()))).await;
}

/// Takes connections until `stop` is done, each to be served where `lane` says, and lets those that are open then end what
/// is under way.
pub(crate) async fn accept<'l, C>(
    listener: TcpListener,
    unread: Duration,
    stop: impl Future<Output = ()>,
    lane: impl Fn() -> &'l Handle,
    connect: impl Fn(Watched) -> C + Send + Sync + 'static,
) where
    C: GracefulConnection<Error: Display> + Send + 'static,
{
    let (open, mut stop, connect) = (GracefulShutdown::new(), pin!(stop), Arc::new(connect));
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
                lane().spawn(attend(stream, open.watcher(), Arc::clone(&connect)));
            }
            Err(error) => {
                // out of files, say: trying again at once would only burn time
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(FAREWELL, open.shutdown()).await;
}

async fn attend<C>(stream: std::net::TcpStream, open: Watcher, connect: Arc<impl Fn(Watched) -> C>)
where
    C: GracefulConnection<Error: Display>,
{
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let outflow = Arc::default();
    let connection = open.watch(connect(Watched::new(stream, Arc::clone(&outflow))));
    if let Err(error) = OUTFLOW.scope(outflow, connection).await {
        tracing::debug!(%error, "a connection ended");
    }
}

fn set_up(stream: &TcpStream, unread: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_tcp_user_timeout(stream, u32::try_from(unread.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}
