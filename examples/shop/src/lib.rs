//! What the shop's programs share: arguments, a small HTTP server that never drops a request on its way out, faults
//! that a build can carry, and the JSON the services speak. Knows nothing of Greenroom beyond the `{…}` values that
//! its recipes pass as arguments.

pub mod junit;
pub mod ofrep;
pub mod pages;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, COOKIE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

pub type Reply = Response<Full<Bytes>>;

/// After TERM: still accepting, but telling every client to come back on a new connection.
const LAME_DUCK: Duration = Duration::from_millis(200);
/// After that, not accepting: time for the newest connections to send what they opened for.
const FIRST_REQUEST: Duration = Duration::from_millis(100);
/// After that: the longest we wait for requests that have begun.
const DRAIN: Duration = Duration::from_secs(10);

/// `--name value` pairs after an optional word.
#[derive(Debug)]
pub struct Args(Vec<(String, String)>);

impl Args {
    /// Takes `--name value` and `--name=value`; anything else is an error.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut pairs = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else { bail!("`{word}` is not an option: use --name value") };
            match name.split_once('=') {
                Some((name, value)) => pairs.push((name.to_owned(), value.to_owned())),
                None => pairs.push((name.to_owned(), words.next().with_context(|| format!("--{name} needs a value"))?)),
            }
        }
        Ok(Self(pairs))
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn need(&self, name: &str) -> Result<&str> {
        self.get(name).with_context(|| format!("--{name} is missing"))
    }

    /// A path; a relative one lies in `SHOP_HOME` where that is set, as checks run in a fresh directory of their own.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let home = std::env::var_os("SHOP_HOME").map(PathBuf::from).unwrap_or_default();
        self.need(name).map(|path| home.join(path))
    }

    /// A base address as a URL without a trailing slash; `127.0.0.1:7811` is taken as `http://127.0.0.1:7811`.
    pub fn url(&self, name: &str) -> Result<String> {
        self.need(name).map(base_url)
    }

    /// `--version-label`, else the environment's `GREENROOM_BUILD` (`service@version` or the version alone).
    #[must_use]
    pub fn version_label(&self) -> String {
        let build = || std::env::var("GREENROOM_BUILD").ok();
        let label = self.get("version-label").map(str::to_owned).or_else(build).unwrap_or_else(|| "unknown".to_owned());
        label.rsplit('@').next().unwrap_or("unknown").to_owned()
    }
}

#[must_use]
pub fn base_url(text: &str) -> String {
    let text = text.trim_end_matches('/');
    if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
}

/// One line for the log of whoever started us.
#[expect(clippy::print_stderr, reason = "standard error is this example's log")]
pub fn note(line: impl std::fmt::Display) {
    eprintln!("{line}");
}

/// A defect that a build carries, so that a demonstration can break on purpose.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub path: String,
    pub status: u16,
    /// Only in these environments; empty means everywhere.
    #[serde(default)]
    pub environments: Vec<String>,
    /// Only from this long after the start.
    #[serde(default)]
    pub after_ms: u64,
}

/// Where and as what this process runs.
#[derive(Debug, Clone)]
pub struct Running {
    pub service: &'static str,
    pub version: String,
    pub environment: String,
    pub started: Instant,
    pub fault: Option<Fault>,
}

impl Running {
    #[must_use]
    pub fn new(service: &'static str, args: &Args, fault: Option<Fault>) -> Self {
        let environment = args.get("environment").unwrap_or("local").to_owned();
        Self { service, version: args.version_label(), environment, started: Instant::now(), fault }
    }

    /// What every service answers alike: its faults, then `/ready`, `/healthz` and `/version`. `/ready` says that the
    /// process serves; `/healthz` that it serves well.
    #[must_use]
    pub fn common(&self, path: &str) -> Option<Reply> {
        if let Some(fault) = self.fault.as_ref().filter(|f| f.path == path)
            && (fault.environments.is_empty() || fault.environments.contains(&self.environment))
            && self.started.elapsed() >= Duration::from_millis(fault.after_ms)
        {
            let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Some(json(status, &serde_json::json!({ "status": "broken", "version": self.version })));
        }
        let body = match path {
            "/ready" | "/healthz" => serde_json::json!({ "status": "ok", "version": self.version }),
            "/version" => serde_json::json!({
                "service": self.service, "version": self.version, "environment": self.environment, "pid": std::process::id(),
            }),
            _ => return None,
        };
        Some(json(StatusCode::OK, &body))
    }
}

/// `?user=ID`, else the cookie `user`.
#[must_use]
pub fn user(request: &Request<Incoming>) -> Option<String> {
    let query = request.uri().query().unwrap_or("");
    let url = reqwest::Url::parse(&format!("http://shop/?{query}")).ok()?;
    let asked = url.query_pairs().find(|(name, _)| name == "user").map(|(_, value)| value.into_owned());
    asked.or_else(|| {
        let cookies = request.headers().get(COOKIE)?.to_str().ok()?;
        cookies.split(';').find_map(|c| c.trim().strip_prefix("user=")).map(str::to_owned)
    })
}

/// The catalog's answer, and its `data` component.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Products {
    pub schema: u32,
    /// Whether every product has a delivery estimate (schema 2).
    #[serde(default)]
    pub express: bool,
    pub products: Vec<Product>,
    #[serde(default, skip_serializing)]
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    pub sku: String,
    pub name: String,
    pub price_cents: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

/// Delivery estimate, in hours from the order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    pub standard_hours: u32,
    pub express_hours: u32,
    pub express_price_cents: u64,
}

#[must_use]
pub fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

#[must_use]
pub fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    match serde_json::to_vec(body) {
        Ok(bytes) => reply(status, "application/json", bytes),
        Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", error.to_string()),
    }
}

/// Serves until TERM or INT, then leaves without failing a request: for a moment it still takes connections and asks
/// clients to close them, then stops accepting, closes what is idle and finishes what has begun.
pub async fn serve<H, F>(listen: SocketAddr, handler: H) -> Result<()>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    note(format_args!("listening on {}", listener.local_addr()?));

    let leaving = Arc::new(AtomicBool::new(false));
    let (stop, stopped) = watch::channel(false);
    // Every connection holds a sender; none left means none open.
    let (open, mut all_closed) = mpsc::channel::<Infallible>(1);
    let start = |stream: TcpStream| {
        let _ = stream.set_nodelay(true);
        let connection = connection(stream, handler.clone(), Arc::clone(&leaving), stopped.clone());
        let open = open.clone();
        tokio::spawn(async move {
            connection.await;
            drop(open);
        });
    };
    let mut until = None;
    loop {
        let leave = tokio::select! {
            accepted = listener.accept() => {
                match accepted {
                    Ok((stream, _)) => start(stream),
                    Err(error) => {
                        note(format_args!("cannot accept: {error}"));
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
                false
            }
            _ = term.recv() => true,
            _ = int.recv() => true,
            () = sleep_until(until) => break,
        };
        if leave && until.is_none() {
            until = Some(Instant::now() + LAME_DUCK);
            leaving.store(true, Ordering::Relaxed);
        }
    }
    // What the kernel accepted for us would be reset by closing the listener.
    while let Ok(Ok((stream, _))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        start(stream);
    }
    drop(listener);
    // The newest connections have yet to send their request.
    tokio::time::sleep(FIRST_REQUEST).await;
    drop(open);
    stop.send_replace(true);
    if tokio::time::timeout(DRAIN, all_closed.recv()).await.is_err() {
        bail!("requests still running after {} s", DRAIN.as_secs());
    }
    note("finished every request, leaving");
    Ok(())
}

/// One connection until it ends, or until `stopped` and its last request is answered.
async fn connection<H, F>(stream: TcpStream, handler: H, leaving: Arc<AtomicBool>, mut stopped: watch::Receiver<bool>)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Reply>,
{
    let service = service_fn(|request| {
        let (answer, leaving) = (handler(request), Arc::clone(&leaving));
        async move {
            let mut reply = answer.await;
            if leaving.load(Ordering::Relaxed) {
                reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(reply)
        }
    });
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = async { stopped.wait_for(|stop| *stop).await.is_ok() } => {
            connection.as_mut().graceful_shutdown();
            // A client that went away is no news to anyone.
            let _ = connection.await;
        }
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}
