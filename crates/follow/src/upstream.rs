//! Whom a follower follows, and the requests that it makes there.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use greenroom_exposure::wire::follow::{EVALUATORS, INSTANCE, LONGEST_NAME, RELAY, Report, STREAM};
use greenroom_https::{Body, Failed, Http, NoAuthorities, Untrusted, piece, whole};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, USER_AGENT};
use http::request::Builder;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;

use super::events::{Event, Reader};
use super::held::Refused;
use super::key::Key;
use super::pace::Pace;

/// An answer that is no stream is there within this time.
const ANSWER: Duration = Duration::from_secs(10);
/// The most bytes of one.
const LARGEST: usize = 64 * 1024 * 1024;

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
    /// `https://greenroom.example`, `http://127.0.0.1:7800`
    pub url: String,
    /// A file of certificates in PEM form that its own is checked against, instead of those that the machine believes.
    pub authorities: Option<PathBuf>,
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
    #[error("`{url}` is no address: it begins with https:// or http:// and names a host")]
    Address { url: String },
    #[error(transparent)]
    Authorities(#[from] NoAuthorities),
    #[error("the token cannot stand in a header")]
    Token,
}

/// Why there is no stream, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("it cannot be reached: {0}")]
    Unreachable(#[source] Failed),
    #[error(transparent)]
    Untrusted(Untrusted),
    /// The token is not, or no longer, good for this.
    #[error("the upstream refuses this token")]
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

impl From<Failed> for Broken {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Untrusted(why) => Self::Untrusted(why),
            other => Self::Unreachable(other),
        }
    }
}

impl Broken {
    /// What to do about what does not pass by itself.
    pub(super) const fn remedy(&self, of: &Upstream) -> Option<&'static str> {
        Some(match self {
            Self::Untrusted(Untrusted::UnknownAuthority) if of.relay.is_some() => "if you trust the authority, name the file of its certificate, in PEM form, with --upstream-ca",
            Self::Untrusted(why) => why.remedy(),
            Self::Denied if of.relay.is_some() => "name one that the control plane has issued to a relay and not revoked: `greenroom token create relay --env ENV`",
            Self::Denied => "name one that the control plane has issued to an evaluator and not revoked: `greenroom token create sdk --env ENV`",
            Self::Chain(_) => "follow the control plane, or a relay that does not follow this one",
            Self::Refused(Refused::Signature) => "pin the public key of the control plane at the beginning of the chain: `greenroom token create` prints it",
            Self::Refused(Refused::Environment { .. }) => "name a token of the environment that is followed",
            Self::Unreachable(_) | Self::Status(_) | Self::Ended | Self::Malformed | Self::Refused(_) => return None,
        })
    }
}

/// Makes requests of one upstream.
#[derive(Debug, Clone)]
pub struct Wire {
    http: Http,
    upstream: Arc<Upstream>,
    base: Arc<str>,
    bearer: HeaderValue,
}

impl Wire {
    /// # Errors
    /// If the address is none, or there is nothing to check its certificate against.
    pub fn new(upstream: Upstream) -> Result<Self, NoUpstream> {
        let is_address = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty());
        let url = upstream.url.parse().ok().filter(is_address).ok_or_else(|| NoUpstream::Address { url: upstream.url.clone() })?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", upstream.token)).map_err(|_| NoUpstream::Token)?;
        bearer.set_sensitive(true);
        let http = Http::new(&url, upstream.authorities.as_deref())?;
        let base = upstream.url.trim_end_matches('/').into();
        Ok(Self { http, upstream: Arc::new(upstream), base, bearer })
    }

    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Opens the stream, from `last` on if that is known.
    pub(super) async fn open(&self, last: Option<u64>) -> Result<Stream, Broken> {
        let mut request = self.request(Method::GET, STREAM).header(ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let silence = self.upstream.pace.silence;
        let response = taken(self.send(request, Bytes::new(), silence).await?).await?;
        let path = response.headers().get(RELAY).and_then(|path| path.to_str().ok()).unwrap_or_default();
        let path = path.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect();
        Ok(Stream { body: response.into_body(), silence, reader: Reader::default(), waiting: Vec::new().into_iter(), path })
    }

    /// Says which revision is answered from and what was counted.
    ///
    /// # Errors
    /// See [`Broken`].
    pub async fn report(&self, report: &Report) -> Result<(), Broken> {
        let body = serde_json::to_vec(report).map_err(|error| Failed::Unreachable(error.into()))?;
        let request = self.request(Method::POST, EVALUATORS).header(CONTENT_TYPE, "application/json");
        taken(self.send(request, body.into(), ANSWER).await?).await.map(drop)
    }

    /// Fetches something small unless it is still what `tag` names: its new tag and itself.
    ///
    /// # Errors
    /// See [`Broken`].
    pub async fn fetch(&self, path: &str, tag: Option<&str>) -> Result<Option<(Option<String>, Vec<u8>)>, Broken> {
        let mut request = self.request(Method::GET, path);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let response = self.send(request, Bytes::new(), ANSWER).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let response = taken(response).await?;
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok(Some((tag, whole(response.into_body(), LARGEST, ANSWER).await?.into())))
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let Upstream { instance, relay, .. } = &*self.upstream;
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = request.header(AUTHORIZATION, &self.bearer).header(INSTANCE, instance).header(USER_AGENT, AGENT);
        match relay {
            Some(relay) => request.header(HeaderName::from_static(RELAY), relay),
            None => request,
        }
    }

    async fn send(&self, request: Builder, body: Bytes, patience: Duration) -> Result<Response<Body>, Broken> {
        let request = request.body(Full::new(body)).map_err(|error| Failed::Unreachable(error.into()))?;
        Ok(self.http.send(request, patience).await?)
    }
}

const AGENT: &str = concat!("greenroom-follow/", env!("CARGO_PKG_VERSION"));

async fn taken(response: Response<Body>) -> Result<Response<Body>, Broken> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Broken::Denied),
        StatusCode::LOOP_DETECTED => {
            let why = whole(response.into_body(), LARGEST, ANSWER).await.unwrap_or_default();
            Err(Broken::Chain(String::from_utf8_lossy(&why).into_owned()))
        }
        status => Err(Broken::Status(status)),
    }
}

/// An open stream.
pub(super) struct Stream {
    body: Body,
    silence: Duration,
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
            let chunk = piece(&mut self.body, self.silence).await?.ok_or(Broken::Ended)?;
            self.waiting = self.reader.take(&chunk).map_err(|_| Broken::Malformed)?.into_iter();
        }
    }

    /// How long the server wants whom it has lost to wait.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.reader.retry.map(Duration::from_millis)
    }
}
