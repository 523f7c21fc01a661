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

use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem};
use crate::views::{Page, Preview};
use crate::{AFTER_HEADER, IDEMPOTENCY_HEADER, PREFIX, SEQ_HEADER};
pub use call::Call;
pub use events::{Events, Filter};

/// How often a command is sent in all before giving up.
const ATTEMPTS: u32 = 4;
const CONNECT: Duration = Duration::from_secs(5);
/// An answer is there within this time; verifying a ledger takes longer than anything else.
const PATIENCE: Duration = Duration::from_secs(60);
const PAGE: &str = "500";

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
        source: Box<dyn std::error::Error + Send + Sync>,
    },
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
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
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
    /// A client of the server at `base` (`http://127.0.0.1:7800`).
    ///
    /// # Errors
    /// `base` is not the address of an HTTP server.
    pub fn new(base: &str, token: Option<String>, pause: Pause) -> Result<Self, Error> {
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Unreachable { base: base.to_owned(), source };
        let url: Url = base.parse().map_err(|e| unreachable(Box::new(e)))?;
        if url.scheme() != "http" && url.scheme() != "https" || url.host().is_none() {
            return Err(unreachable("the address begins with http:// or https:// and names a host".into()));
        }
        let mut http = reqwest::Client::builder().connect_timeout(CONNECT).user_agent(concat!("greenroom/", env!("CARGO_PKG_VERSION")));
        if url.host_str().is_some_and(|h| h == "localhost" || h.starts_with("127.") || h == "[::1]") {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|e| unreachable(Box::new(e)))?;
        Ok(Self { http, base: url, token, key: None, pause, seen: AtomicU64::new(0) })
    }

    /// Uses this idempotency key for the next commands: to repeat one whose outcome is unknown.
    #[must_use]
    pub fn with_key(mut self, key: Option<String>) -> Self {
        self.key = key;
        self
    }

    /// The same server, asked by someone else.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
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
                Lost::Unreachable(_) if attempt == 1 => None,
                Lost::Midway(_) | Lost::Unreachable(_) => Some(Duration::from_millis(200 << attempt)),
                Lost::Problem(problem, after) => retriable(problem.code, command).then(|| after.unwrap_or(Duration::from_millis(200 << attempt))),
                Lost::Unreadable(_) => None,
            };
            let Some(wait) = wait.filter(|_| !last) else { return Err(self.error(error, key, attempt)) };
            (self.pause)(wait).await;
            attempt += 1;
        }
    }

    fn error(&self, lost: Lost, key: Option<String>, attempt: u32) -> Error {
        match (lost, key) {
            (Lost::Unreachable(source), None) => Error::Unreachable { base: self.base().to_owned(), source: Box::new(source) },
            (Lost::Unreachable(source), Some(_)) if attempt == 1 => Error::Unreachable { base: self.base().to_owned(), source: Box::new(source) },
            (Lost::Unreachable(source) | Lost::Midway(source), Some(key)) => Error::OutcomeUnknown { key, why: innermost(&source) },
            (Lost::Midway(source), None) => Error::Unreachable { base: self.base().to_owned(), source: Box::new(source) },
            (Lost::Problem(problem, _), Some(key)) if problem.code == Code::OutcomeUnknown => Error::OutcomeUnknown { key, why: problem.title },
            (Lost::Problem(problem, _), _) => Error::Problem(problem),
            (Lost::Unreadable(error), _) => error,
        }
    }

    async fn once<T>(&self, call: &Call<T>, key: Option<&str>) -> Result<(u16, Vec<u8>), Lost> {
        let mut request = self.http.request(call.method.clone(), self.url(call)).timeout(call.patience.unwrap_or(PATIENCE));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_HEADER, key);
        } else if self.seen() > 0 {
            request = request.header(AFTER_HEADER, self.seen());
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| if e.is_connect() || e.is_builder() { Lost::Unreachable(e) } else { Lost::Midway(e) })?;
        self.answer(response).await
    }

    async fn answer(&self, response: Response) -> Result<(u16, Vec<u8>), Lost> {
        let status = response.status();
        if let Some(seq) = number(response.headers(), SEQ_HEADER) {
            self.seen.fetch_max(seq, Ordering::Relaxed);
        }
        let after = number(response.headers(), RETRY_AFTER.as_str()).map(|s| Duration::from_secs(s.min(10)));
        let bytes = response.bytes().await.map_err(Lost::Midway)?.to_vec();
        if status.is_success() {
            return Ok((status.as_u16(), bytes));
        }
        match read_problem(status.as_u16(), &bytes) {
            Some(problem) => Err(Lost::Problem(Box::new(problem), after)),
            None => Err(Lost::Unreadable(self.unreadable(status.as_u16(), &bytes, None))),
        }
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
    Unreachable(reqwest::Error),
    /// Sent, or perhaps sent, and no answer.
    Midway(reqwest::Error),
    Problem(Box<Problem>, Option<Duration>),
    Unreadable(Error),
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

/// The cause at the bottom, which is the one that says something.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

/// Unique, not secret: two hashes under keys that the standard library takes from the system's randomness.
fn fresh_key() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}
