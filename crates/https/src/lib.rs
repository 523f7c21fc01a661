//! Requests over HTTP/1.1 and TLS, to one server. It knows nothing of what is said.
//!
//! For all who ask something that may stand on another machine. reqwest has TLS for everyone in the process or for nobody, and
//! then makes no client at all, also not for plain HTTP, where no authorities are installed.

#![deny(missing_debug_implementations)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable))]

mod authorities;
mod failed;
mod way;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyDataStream, BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

pub use self::authorities::NoAuthorities;
pub use self::failed::{Cause, Failed, Untrusted};
use self::way::Way;

/// A connection that is not there after this long is not waited for.
const CONNECT: Duration = Duration::from_secs(5);

pub type Body = Incoming;
/// A body, piece by piece, however long that takes.
pub type Pieces = BodyDataStream<Incoming>;

/// Asks one server.
#[derive(Clone)]
pub struct Http(Client<HttpsConnector<Way>, Full<Bytes>>);

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Http {
    /// To reach `base`. `authorities`: a file of certificates in PEM form that its own is checked against, instead of the machine's.
    ///
    /// # Errors
    /// If there is nothing to check its certificate against.
    pub fn new(base: &Uri, authorities: Option<&Path>) -> Result<Self, NoAuthorities> {
        let roots = match authorities {
            Some(path) => authorities::named(path)?,
            None if base.scheme_str() == Some("https") => authorities::installed()?,
            // nobody asks them
            None => RootCertStore::empty(),
        };
        let provider = rustls::crypto::ring::default_provider();
        let config = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(Way::to(base, CONNECT));
        Ok(Self(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)))
    }

    /// The head of the answer, within `patience`.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn send(&self, request: Request<Full<Bytes>>, patience: Duration) -> Result<Response<Body>, Failed> {
        match tokio::time::timeout(patience, self.0.request(request)).await {
            Ok(answer) => answer.map_err(Failed::from),
            Err(_) => Err(late(patience)),
        }
    }
}

/// The next piece of a body, within `patience`. `None`: it has ended.
///
/// # Errors
/// [`Failed::Midway`]
pub async fn piece(body: &mut Body, patience: Duration) -> Result<Option<Bytes>, Failed> {
    loop {
        let Some(frame) = tokio::time::timeout(patience, body.frame()).await.map_err(|_| late(patience))? else { return Ok(None) };
        if let Ok(data) = frame.map_err(|error| Failed::Midway(error.into()))?.into_data() {
            return Ok(Some(data));
        }
    }
}

/// All of a body that is no longer than `most`, within `patience`.
///
/// # Errors
/// [`Failed::Midway`]
pub async fn whole(body: Body, most: usize, patience: Duration) -> Result<Bytes, Failed> {
    let all = http_body_util::Limited::new(body, most).collect();
    Ok(tokio::time::timeout(patience, all).await.map_err(|_| late(patience))?.map_err(Failed::Midway)?.to_bytes())
}

fn late(patience: Duration) -> Failed {
    Failed::Midway(format!("nothing has come within {} s", patience.as_secs_f32()).into())
}
