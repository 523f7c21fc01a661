//! Typed HTTP client of the control plane: what to ask is a [`Call`], made by [`call`], and [`Client::send`] asks it.
//!
//! Commands carry an `Idempotency-Key` and are repeated with it when the connection breaks or the server is busy
//! starting, so that they happen once. Reads ask for an answer no older than the client's own last command.

pub mod call;
mod events;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use greenroom_https::{Body, Cause, Failed, Http, whole};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER, USER_AGENT};
use http::request::Builder;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use url::Url;

use crate::problem::{Code, Problem};
use crate::views::{Page, Preview};
use crate::{AFTER_HEADER, IDEMPOTENCY_HEADER, PREFIX, SEQ_HEADER};
pub use greenroom_https::{NoAuthorities, Untrusted};

pub use call::Call;
pub use events::{Events, Filter};

/// How often a command is sent in all before giving up.
const ATTEMPTS: u32 = 4;
/// An answer is there within this time; verifying a ledger takes longer than anything else.
const PATIENCE: Duration = Duration::from_secs(60);
const PAGE: &str = "500";
/// The most bytes of an answer.
const LARGEST: usize = 1 << 30;
const AGENT: &str = concat!("greenroom/", env!("CARGO_PKG_VERSION"));

/// Waits; the caller's runtime knows how.
pub type Pause = fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was done: nobody took the request.
    #[error("cannot reach {base}")]
    Unreachable {
        base: String,
        #[source]
        source: Cause,
    },
    /// Nothing was done: whoever is there does not prove to be the server.
    #[error("cannot trust {base}: {why}")]
    Untrusted { base: String, why: Untrusted },
    /// There is nothing to check a certificate against.
    #[error("cannot reach {base}: {source}")]
    NoAuthorities { base: String, source: NoAuthorities },
    /// Nothing was done: it says that the server is elsewhere.
    #[error("{base} sends on to {to}")]
    Moved { base: String, to: String },
    /// The request was sent and no answer came: repeat the command with the same key to learn what became of it.
    #[error("the outcome is unknown: {why}")]
    OutcomeUnknown { key: String, why: String },
    /// The server said no.
    #[error(transparent)]
    Problem(#[from] Box<Problem>),
    /// Something answered, but not as a control plane does.
    #[error("{base} gave an answer that cannot be read (status {status}): {what}")]
    Unreadable { base: String, status: u16, what: String },
}

/// A control plane and who asks it.
pub struct Client {
    http: Http,
    base: Url,
    bearer: Option<HeaderValue>,
    key: Option<String>,
    pause: Pause,
    /// Seq of the last answer to a command.
    seen: AtomicU64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `base` (`http://127.0.0.1:7800`, `https://greenroom.example`).
    ///
    /// # Errors
    /// `base` is not the address of an HTTP server, there is nothing to check its certificate against, or the token cannot be sent.
    pub fn new(base: &str, token: Option<String>, pause: Pause) -> Result<Self, Error> {
        let unreachable = |source: Cause| Error::Unreachable { base: base.to_owned(), source };
        let url: Url = base.parse().map_err(|e: url::ParseError| unreachable(e.into()))?;
        if url.scheme() != "http" && url.scheme() != "https" || url.host().is_none() {
            return Err(unreachable("the address begins with http:// or https:// and names a host".into()));
        }
        let uri: Uri = url.as_str().parse().map_err(|e: http::uri::InvalidUri| unreachable(e.into()))?;
        let http = Http::new(&uri, None).map_err(|source| Error::NoAuthorities { base: base.to_owned(), source })?;
        let client = Self { http, base: url, bearer: None, key: None, pause, seen: AtomicU64::new(0) };
        client.with_token(token)
    }

    /// Uses this idempotency key for the next commands: to repeat one whose outcome is unknown.
    #[must_use]
    pub fn with_key(mut self, key: Option<String>) -> Self {
        self.key = key;
        self
    }

    /// The same server, asked by someone else.
    ///
    /// # Errors
    /// The token cannot stand in a header.
    pub fn with_token(mut self, token: Option<String>) -> Result<Self, Error> {
        let bearer = token.map(|token| HeaderValue::try_from(format!("Bearer {token}"))).transpose();
        self.bearer = bearer.map_err(|_| Error::Unreachable { base: self.base().to_owned(), source: "the token cannot stand in a header".into() })?;
        if let Some(bearer) = &mut self.bearer {
            bearer.set_sensitive(true);
        }
        Ok(self)
    }

    #[must_use]
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Seq of the ledger as of the last answer to a command; 0 before any.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Asks and reads the answer.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn send<T: DeserializeOwned>(&self, call: &Call<T>) -> Result<T, Error> {
        let (status, bytes) = self.bytes(call).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.unreadable(status, &bytes, Some(&error)))
    }

    /// What a command would do. Changes nothing.
    ///
    /// # Errors
    /// See [`Error`]; a refusal is what the command would be refused for.
    pub async fn preview<T>(&self, call: Call<T>) -> Result<Preview, Error> {
        self.send(&call.dry_run().answering()).await
    }

    /// All pages of a list.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn all<T: DeserializeOwned>(&self, call: Call<Page<T>>) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        let mut page = call.clone().query("limit", PAGE);
        loop {
            let answer = self.send(&page).await?;
            items.extend(answer.items);
            match answer.next {
                Some(cursor) => page = call.clone().query("limit", PAGE).query("cursor", cursor),
                None => return Ok(items),
            }
        }
    }

    /// Asks and gives status and body of a good answer as they are.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn bytes<T>(&self, call: &Call<T>) -> Result<(u16, Vec<u8>), Error> {
        let command = call.method != Method::GET && !call.dry;
        let key = command.then(|| self.key.clone().unwrap_or_else(fresh_key));
        let mut attempt = 1;
        loop {
            let last = attempt >= ATTEMPTS;
            let error = match self.once(call, key.as_deref()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // nobody took it: only worth repeating once something answered before
            let wait = match &error {
                Lost::Failed(Failed::Untrusted(_)) => None,
                Lost::Failed(Failed::Unreachable(_)) if attempt == 1 => None,
                Lost::Failed(_) => Some(Duration::from_millis(200 << attempt)),
                Lost::Problem(problem, after) => retriable(problem.code, command).then(|| after.unwrap_or(Duration::from_millis(200 << attempt))),
                Lost::Strange(_) => None,
            };
            let Some(wait) = wait.filter(|_| !last) else { return Err(self.error(error, key, attempt)) };
            (self.pause)(wait).await;
            attempt += 1;
        }
    }

    fn error(&self, lost: Lost, key: Option<String>, attempt: u32) -> Error {
        match (lost, key) {
            (Lost::Failed(failed), Some(key)) if attempt > 1 || matches!(failed, Failed::Midway(_)) => Error::OutcomeUnknown { key, why: failed.to_string() },
            (Lost::Failed(failed), _) => self.unreachable(failed),
            (Lost::Problem(problem, _), Some(key)) if problem.code == Code::OutcomeUnknown => Error::OutcomeUnknown { key, why: problem.title },
            (Lost::Problem(problem, _), _) => Error::Problem(problem),
            (Lost::Strange(error), _) => error,
        }
    }

    fn unreachable(&self, failed: Failed) -> Error {
        let base = self.base().to_owned();
        match failed {
            Failed::Untrusted(why) => Error::Untrusted { base, why },
            other => Error::Unreachable { base, source: other.into() },
        }
    }

    async fn once<T>(&self, call: &Call<T>, key: Option<&str>) -> Result<(u16, Vec<u8>), Lost> {
        let patience = call.patience.unwrap_or(PATIENCE);
        let mut request = self.request(call);
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_HEADER, key);
        } else if self.seen() > 0 {
            request = request.header(AFTER_HEADER, self.seen());
        }
        let body = match &call.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                body.to_string().into()
            }
            None => Bytes::new(),
        };
        let response = self.ask(request, body, patience).await.map_err(Lost::Failed)?;
        self.answer(response, patience).await
    }

    fn request<T>(&self, call: &Call<T>) -> Builder {
        let request = Request::builder().method(call.method.clone()).uri(self.url(call).as_str()).header(USER_AGENT, AGENT);
        match &self.bearer {
            Some(bearer) => request.header(AUTHORIZATION, bearer),
            None => request,
        }
    }

    async fn ask(&self, request: Builder, body: Bytes, patience: Duration) -> Result<Response<Body>, Failed> {
        let request = request.body(Full::new(body)).map_err(|error| Failed::Unreachable(error.into()))?;
        self.http.send(request, patience).await
    }

    async fn answer(&self, response: Response<Body>, patience: Duration) -> Result<(u16, Vec<u8>), Lost> {
        let status = response.status();
        if let Some(seq) = number(response.headers(), SEQ_HEADER) {
            self.seen.fetch_max(seq, Ordering::Relaxed);
        }
        if let Some(moved) = self.moved(&response) {
            return Err(Lost::Strange(moved));
        }
        let after = number(response.headers(), RETRY_AFTER.as_str()).map(|s| Duration::from_secs(s.min(10)));
        let bytes = whole(response.into_body(), LARGEST, patience).await.map_err(Lost::Failed)?.to_vec();
        if status.is_success() {
            return Ok((status.as_u16(), bytes));
        }
        match read_problem(status.as_u16(), &bytes) {
            Some(problem) => Err(Lost::Problem(Box::new(problem), after)),
            None => Err(Lost::Strange(self.unreadable(status.as_u16(), &bytes, None))),
        }
    }

    /// Nobody is followed elsewhere: a command might become a question on the way, and the token is for this server.
    fn moved(&self, response: &Response<Body>) -> Option<Error> {
        let to = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?.to_str().ok()?;
        Some(Error::Moved { base: self.base().to_owned(), to: to.split(PREFIX).next().unwrap_or(to).to_owned() })
    }

    fn url<T>(&self, call: &Call<T>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(PREFIX.split('/').filter(|s| !s.is_empty())).extend(&call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        url
    }

    fn unreadable(&self, status: u16, bytes: &[u8], error: Option<&serde_json::Error>) -> Error {
        let text: String = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(200).collect();
        let what = match (error, text.trim()) {
            (Some(error), _) if error.is_data() => error.to_string(),
            (Some(_), _) => "it is no JSON".to_owned(),
            (None, "") => "it is empty".to_owned(),
            (None, text) => text.to_owned(),
        };
        Error::Unreadable { base: self.base().to_owned(), status, what }
    }
}

/// What became of one attempt.
enum Lost {
    Failed(Failed),
    Problem(Box<Problem>, Option<Duration>),
    /// Something answered, but not as a control plane does.
    Strange(Error),
}

const fn retriable(code: Code, command: bool) -> bool {
    match code {
        Code::NotCaughtUp | Code::Starting | Code::StorageUnavailable | Code::RateLimited => true,
        Code::OutcomeUnknown => command,
        _ => false,
    }
}

/// Problems of a newer server may carry codes and fields that this client does not know; their status says enough.
fn read_problem(status: u16, bytes: &[u8]) -> Option<Problem> {
    if let Ok(problem) = serde_json::from_slice::<Problem>(bytes) {
        return Some(problem);
    }
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    let title = text("title")?;
    let code = match status {
        401 => Code::Unauthenticated,
        403 => Code::Forbidden,
        404 => Code::NotFound,
        409 => Code::Refused,
        413 => Code::TooLarge,
        422 => Code::IdempotencyKeyReused,
        429 => Code::RateLimited,
        503 => Code::StorageUnavailable,
        400..=499 => Code::Invalid,
        _ => Code::Internal,
    };
    Some(Problem { status, ..Problem::new(code, title).detail(text("detail").unwrap_or_default()) })
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Unique, not secret: two hashes under keys that the standard library takes from the system's randomness.
fn fresh_key() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}
