//! Whom a follower follows, and the requests that it makes there.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use greenroom_exposure::wire::follow::{EVALUATORS, INSTANCE, LONGEST_NAME, RELAY, Report, STREAM};
use reqwest::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::events::{Event, Reader};
use super::held::Refused;
use super::key::Key;
use super::pace::Pace;

const CONNECT: Duration = Duration::from_secs(5);
/// An answer that is no stream is there within this time.
const ANSWER: Duration = Duration::from_secs(10);

/// A name that no other process has: `of`, as far as that can stand in one, and twelve digits.
#[must_use]
pub fn instance(of: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let chance = RandomState::new().hash_one((std::process::id(), since));
    let of: String = of.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' }).take(LONGEST_NAME - 13).collect();
    format!("{of}-{:012x}", chance & 0xffff_ffff_ffff)
}

/// A control plane or a relay, and who follows it.
#[derive(Clone)]
pub struct Upstream {
    /// `http://greenroom.example:7800`
    pub url: String,
    /// Names the environment.
    pub token: String,
    /// What is followed is signed by this.
    pub key: Key,
    /// Nothing but this environment is followed. Unless given, that which is followed first.
    pub environment: Option<Arc<str>>,
    /// Of this process alone: up to 100 letters, digits and `-._`.
    pub instance: String,
    /// Its name, if the follower is a relay.
    pub relay: Option<String>,
    pub pace: Pace,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("url", &self.url).field("environment", &self.environment).field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// Nobody can be followed as it was said.
#[derive(Debug, thiserror::Error)]
pub enum NoUpstream {
    #[error("`{url}` is no address: it begins with http:// and names a host")]
    Address { url: String },
    #[error("an HTTP client cannot be made")]
    Client(#[from] reqwest::Error),
}

/// Why there is no stream, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("it cannot be reached: {}", root(.0))]
    Unreachable(#[from] reqwest::Error),
    /// The token is not, or no longer, good for this.
    #[error("it does not take the token")]
    Denied,
    /// Relays would follow each other in a circle, or too many stand in a row.
    #[error("it refuses this relay: {0}")]
    Chain(String),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("it has hung up")]
    Ended,
    #[error("what it sends are no events")]
    Malformed,
    #[error("what it sends is refused: {0}")]
    Refused(#[from] Refused),
}

/// The last of an error's causes: those above say only that a request failed.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Makes requests of one upstream.
#[derive(Debug, Clone)]
pub struct Wire {
    http: Client,
    upstream: Arc<Upstream>,
    base: Arc<str>,
}

impl Wire {
    /// # Errors
    /// If the address is none.
    pub fn new(upstream: Upstream) -> Result<Self, NoUpstream> {
        let url = || Url::parse(&upstream.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url().ok_or_else(|| NoUpstream::Address { url: upstream.url.clone() })?;
        let mut http = Client::builder().connect_timeout(CONNECT).read_timeout(upstream.pace.silence).user_agent(concat!("greenroom-follow/", env!("CARGO_PKG_VERSION")));
        if url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]") {
            http = http.no_proxy();
        }
        let base = url.as_str().trim_end_matches('/').into();
        Ok(Self { http: http.build()?, upstream: Arc::new(upstream), base })
    }

    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Opens the stream, from `last` on if that is known.
    pub(super) async fn open(&self, last: Option<u64>) -> Result<Stream, Broken> {
        let mut request = self.dressed(self.http.get(self.at(STREAM))).header(ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = taken(request.send().await?).await?;
        let path = response.headers().get(RELAY).and_then(|path| path.to_str().ok()).unwrap_or_default();
        let path = path.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect();
        Ok(Stream { response, reader: Reader::default(), waiting: Vec::new().into_iter(), path })
    }

    /// Says which revision is answered from and what was counted.
    ///
    /// # Errors
    /// See [`Broken`].
    pub async fn report(&self, report: &Report) -> Result<(), Broken> {
        let request = self.dressed(self.http.post(self.at(EVALUATORS))).timeout(ANSWER).json(report);
        taken(request.send().await?).await.map(drop)
    }

    /// Fetches something small unless it is still what `tag` names: its new tag and itself.
    ///
    /// # Errors
    /// See [`Broken`].
    pub async fn fetch(&self, path: &str, tag: Option<&str>) -> Result<Option<(Option<String>, Vec<u8>)>, Broken> {
        let mut request = self.dressed(self.http.get(self.at(path))).timeout(ANSWER);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let response = request.send().await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let response = taken(response).await?;
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok(Some((tag, response.bytes().await?.into())))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn dressed(&self, request: RequestBuilder) -> RequestBuilder {
        let Upstream { token, instance, relay, .. } = &*self.upstream;
        let request = request.bearer_auth(token).header(INSTANCE, instance);
        match relay {
            Some(relay) => request.header(RELAY, relay),
            None => request,
        }
    }
}

async fn taken(response: Response) -> Result<Response, Broken> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Broken::Denied),
        StatusCode::LOOP_DETECTED => Err(Broken::Chain(response.text().await.unwrap_or_default())),
        status => Err(Broken::Status(status)),
    }
}

/// An open stream.
pub(super) struct Stream {
    response: Response,
    reader: Reader,
    waiting: std::vec::IntoIter<Event>,
    /// The relays through which it comes, nearest last.
    pub path: Arc<[Arc<str>]>,
}

impl Stream {
    pub(super) async fn next(&mut self) -> Result<Event, Broken> {
        loop {
            if let Some(event) = self.waiting.next() {
                return Ok(event);
            }
            let chunk = self.response.chunk().await?.ok_or(Broken::Ended)?;
            self.waiting = self.reader.take(&chunk).map_err(|_| Broken::Malformed)?.into_iter();
        }
    }

    /// How long the server wants whom it has lost to wait.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.reader.retry.map(Duration::from_millis)
    }
}
