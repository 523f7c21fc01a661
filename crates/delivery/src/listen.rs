//! Serving over plain TCP: as axum does, but with what ten thousand idle listeners need. Small buffers, no waiting of small
//! writes for company, and an end for whoever does not take what they are sent.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

/// A head that is not complete after this long is not waited for.
const HEAD: Duration = Duration::from_secs(30);
/// Whoever acknowledges nothing of what was sent to them for this long is cut off, by the system itself: a reader that
/// is too slow holds one socket's buffer and nothing else.
const UNREAD: Duration = Duration::from_secs(60);
/// Bytes that are read ahead of, or held back from, one connection.
const BUFFER: usize = 16 * 1024;
/// After a connection that could not be taken, for want of file descriptors say.
const REST: Duration = Duration::from_millis(100);

/// Serves `app` until `stop` is done; then takes no new connection, and is done itself when those that are open are.
///
/// # Errors
/// If the listener cannot be asked for its address.
pub async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()>) -> io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    let open = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = taken else {
            tokio::time::sleep(REST).await;
            continue;
        };
        // one that cannot be set up is about to end
        let _ = set_up(&stream);
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app.clone())));
        tokio::spawn(connection);
    }
    drop(listener);
    open.shutdown().await;
    Ok(())
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_tcp_user_timeout(stream, u32::try_from(UNREAD.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}
