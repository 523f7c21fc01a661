//! Requests over HTTP/1.1 and TLS, to one upstream. It knows nothing of what is said.
//!
//! Not by the client that the rest of the program uses: that one has TLS for everyone in the process or for nobody, and then
//! makes no client at all, also not for plain HTTP, where no authorities are installed.

mod way;

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use self::way::Way;

/// A connection that is not there after this long is not waited for.
const CONNECT: Duration = Duration::from_secs(5);

pub(super) type Cause = Box<dyn Error + Send + Sync>;

#[derive(Clone)]
pub(super) struct Http(Client<HttpsConnector<Way>, Full<Bytes>>);

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

/// What certificates of an upstream can be checked against.
#[derive(Debug, thiserror::Error)]
pub enum NoAuthorities {
    #[error("no authority of certificates is installed on this machine: name a file of them")]
    None,
    #[error("`{path}` holds no certificates in PEM form")]
    Unreadable {
        path: String,
        #[source]
        source: Option<rustls::pki_types::pem::Error>,
    },
    #[error("a certificate in `{path}` is none of an authority")]
    Unusable {
        path: String,
        #[source]
        source: rustls::Error,
    },
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

impl Http {
    /// To reach `base`. `authorities`: a file of certificates in PEM form that its own is checked against, instead of the machine's.
    pub(super) fn new(base: &Uri, authorities: Option<&Path>) -> Result<Self, NoAuthorities> {
        let roots = match authorities {
            Some(path) => named(path)?,
            None if base.scheme_str() == Some("https") => installed()?,
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
    pub(super) async fn send(&self, request: Request<Full<Bytes>>, patience: Duration) -> Result<Response<Incoming>, Cause> {
        Ok(tokio::time::timeout(patience, self.0.request(request)).await.map_err(|_| late(patience))??)
    }
}

/// The next piece of a body, within `patience`. `None`: it has ended.
pub(super) async fn piece(body: &mut Incoming, patience: Duration) -> Result<Option<Bytes>, Cause> {
    loop {
        let Some(frame) = tokio::time::timeout(patience, body.frame()).await.map_err(|_| late(patience))? else { return Ok(None) };
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
}

/// All of a body that is no longer than `most`, within `patience`.
pub(super) async fn whole(body: Incoming, most: usize, patience: Duration) -> Result<Bytes, Cause> {
    let all = http_body_util::Limited::new(body, most).collect();
    Ok(tokio::time::timeout(patience, all).await.map_err(|_| late(patience))??.to_bytes())
}

fn late(patience: Duration) -> Cause {
    format!("nothing has come within {} s", patience.as_secs_f32()).into()
}

fn named(path: &Path) -> Result<RootCertStore, NoAuthorities> {
    let unreadable = |source| NoAuthorities::Unreadable { path: path.display().to_string(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(Some(error)))? {
        let certificate = certificate.map_err(|error| unreadable(Some(error)))?;
        roots.add(certificate).map_err(|source| NoAuthorities::Unusable { path: path.display().to_string(), source })?;
    }
    if roots.is_empty() { Err(unreadable(None)) } else { Ok(roots) }
}

/// Those that the machine's other programs believe. One that does not read makes the others no worse.
fn installed() -> Result<RootCertStore, NoAuthorities> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    found.errors.iter().for_each(|error| tracing::debug!(%error, "an authority of certificates is passed over"));
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(NoAuthorities::None) } else { Ok(roots) }
}
