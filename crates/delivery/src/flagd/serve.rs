//! Serving a port: HTTP/2 for gRPC, HTTP/1.1 for plain calls.

use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::listen::{self, Stopped};

/// A client that does not answer a ping for `PONG` is gone, and so are its streams: definitions say nothing for hours.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);
/// Clients that open more calls at once wait.
const CALLS: u32 = 256;
const HEADERS: u32 = 16 * 1024;
const HEADERS_TIME: Duration = Duration::from_secs(10);

/// Serves `router` until `shutdown` is done, and then what is under way; streams end when the feeds are closed.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_TIME);
    // how often a client pings us is its own affair: there are some that do every 30 s with no stream open
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PONG).max_concurrent_streams(CALLS).max_header_list_size(HEADERS);
    let here = Handle::current();
    let attend = move |io, mut stopped: Stopped| {
        let mut connection = Box::pin(builder.serve_connection(io, TowerToHyperService::new(router.clone())).into_owned());
        async move {
            listen::drive(connection.as_mut(), &mut stopped, |_| None::<()>).await;
        }
    };
    listen::accept(listener, listen::UNREAD, shutdown, || &here, attend).await;
}
