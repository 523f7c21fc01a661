//! flagd's services, for its released providers: definitions for those that evaluate in their own process
//! (`flagd.sync.v1`), answers for those that ask (`flagd.evaluation.v1` and `v2`).
//!
//! These providers can name a selector, and most of them can present nothing else. So a port serves one environment that
//! its configuration names, and either whoever reaches it, which is for private addresses, or holders of a token of that
//! environment. A selector may name the environment and cannot choose another.

mod call;
mod changes;
pub mod codec;
mod definitions;
mod evaluation;
mod events;
mod listen;
pub mod message;
mod serve;
mod sync;
pub mod value;

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use greenroom_exposure::wire::follow::is_name;
use http::{HeaderMap, Request};
use tonic::Status;

use self::changes::Changes;
use self::definitions::Rendered;
pub use self::serve::serve;
use crate::DataPlane;
use crate::feeds::Published;
use crate::gate::{Denied, Pass, Scope, presented};
use crate::presence::Connection;

const SELECTOR: &str = "flagd-selector";

/// Who may use the ports. A token that is presented is always judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Whoever reaches them: released providers can seldom present a token. For loopback and private addresses.
    Anyone,
    /// Whoever presents a token that reads the environment.
    ByToken,
}

/// One of flagd's services, each on a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// For providers that ask.
    Evaluation,
    /// For those that evaluate in their own process.
    Sync,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Evaluation => "evaluation",
            Self::Sync => "sync",
        })
    }
}

/// flagd's services for one environment.
pub struct Flagd {
    plane: DataPlane,
    environment: Arc<str>,
    admission: Admission,
    rendered: Rendered,
    changes: Changes,
    /// Whether it was said that there is nothing to serve.
    missed: AtomicBool,
}

impl Flagd {
    #[must_use]
    pub fn new(plane: DataPlane, environment: &str, admission: Admission) -> Arc<Self> {
        Arc::new(Self { plane, environment: environment.into(), admission, rendered: Rendered::default(), changes: Changes::default(), missed: AtomicBool::new(false) })
    }

    pub fn router(self: &Arc<Self>, service: Service) -> Router {
        match service {
            Service::Evaluation => self.evaluation(),
            Service::Sync => self.sync(),
        }
    }

    /// What the caller may read.
    fn admit(&self, headers: &HeaderMap) -> Result<Scope, Status> {
        let scope = match (presented(headers), self.admission) {
            (None, Admission::Anyone) => Scope { environment: Arc::clone(&self.environment), id: "flagd".into(), follows: true },
            (token, _) => self.plane.gate.scope(token).map_err(|denied| match denied {
                Denied::Unauthenticated => Status::unauthenticated("present a token that may evaluate as `authorization: Bearer …`"),
                Denied::Forbidden => Status::permission_denied("this token may not evaluate"),
            })?,
        };
        if scope.environment != self.environment {
            return Err(Status::permission_denied(format!("this token reads environment `{}`; this port serves `{}`", scope.environment, self.environment)));
        }
        self.selected(headers.get(SELECTOR).and_then(|selector| selector.to_str().ok()).unwrap_or_default())?;
        Ok(scope)
    }

    /// As [`Self::admit`], for who wants the definitions themselves.
    fn follower(&self, headers: &HeaderMap) -> Result<Scope, Status> {
        self.admit(headers).and_then(|scope| if scope.follows { Ok(scope) } else { Err(Status::permission_denied("this token may ask, and not have the definitions")) })
    }

    /// An empty selector is none.
    fn selected(&self, selector: &str) -> Result<(), Status> {
        let name = selector.split_once('=').map_or(selector, |(_, name)| name);
        if name.is_empty() || *name == *self.environment {
            return Ok(());
        }
        Err(Status::not_found(format!("selector `{selector}` selects nothing: this port serves environment `{}`", self.environment)))
    }

    fn published(&self) -> Result<Arc<Published>, Status> {
        self.plane.feeds.published(&self.environment).ok_or_else(|| {
            // most clients show the code and not the message, so whoever runs the port is told as well
            if !self.missed.swap(true, Ordering::Relaxed) {
                let served = self.plane.feeds.environments().join(", ");
                tracing::warn!(env.name = %self.environment, %served, "a port of flagd's is asked for an environment that is not served here; is its name right?");
            }
            Status::unavailable(format!("environment `{}` is not served here: it is not there yet, or the port is configured for another name than it has", self.environment))
        })
    }

    /// Notes an open stream. Nothing on this wire tells two streams of one process from two processes, so each is one.
    fn connected(&self, scope: &Scope, provider: &str) -> Listed {
        static STREAMS: AtomicU64 = AtomicU64::new(0);
        let mut hasher = DefaultHasher::new();
        ("flagd", STREAMS.fetch_add(1, Ordering::Relaxed)).hash(&mut hasher);
        let (id, name) = (hasher.finish(), if is_name(provider) { provider.into() } else { Arc::clone(&scope.id) });
        let connection = self.plane.presence.connected(&self.environment, id, &name);
        let pass = (self.admission == Admission::ByToken).then(|| Pass { gate: Arc::clone(&self.plane.gate), id: Arc::clone(&scope.id) });
        Listed { id, name, pass, connection }
    }
}

/// One stream's entry among those who listen, for as long as this lives.
struct Listed {
    id: u64,
    name: Arc<str>,
    /// With what it was opened, where that matters.
    pass: Option<Pass>,
    #[expect(dead_code, reason = "held for its drop")]
    connection: Connection,
}

/// Whatever else is asked here.
async fn unimplemented(request: Request<Body>) -> Response {
    call::refuse(request.headers(), Status::unimplemented(format!("there is no `{}` here", request.uri().path())))
}
