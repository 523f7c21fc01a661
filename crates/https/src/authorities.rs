//! What certificates are checked against.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// There is nothing to check a certificate against.
#[derive(Debug, thiserror::Error)]
pub enum NoAuthorities {
    /// And what was wrong with where they were looked for.
    #[error("no certificate of an authority is found on this machine{}: install `ca-certificates`, or name a file of them in SSL_CERT_FILE", because(.0.as_deref()))]
    None(Option<String>),
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

fn because(why: Option<&str>) -> String {
    why.map(|why| format!(" ({why})")).unwrap_or_default()
}

pub(crate) fn named(path: &Path) -> Result<RootCertStore, NoAuthorities> {
    let unreadable = |source| NoAuthorities::Unreadable { path: path.display().to_string(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(Some(error)))? {
        let certificate = certificate.map_err(|error| unreadable(Some(error)))?;
        roots.add(certificate).map_err(|source| NoAuthorities::Unusable { path: path.display().to_string(), source })?;
    }
    if roots.is_empty() { Err(unreadable(None)) } else { Ok(roots) }
}

/// Those that the machine's other programs believe. One that does not read makes the others no worse.
pub(crate) fn installed() -> Result<RootCertStore, NoAuthorities> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    found.errors.iter().for_each(|error| tracing::debug!(%error, "an authority of certificates is passed over"));
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(NoAuthorities::None(found.errors.first().map(ToString::to_string))) } else { Ok(roots) }
}
