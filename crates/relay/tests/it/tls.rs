//! An upstream behind TLS. The certificates were made by `openssl`, for a hundred years and for `localhost` alone; the authority's
//! key is gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use greenroom_follow::{Broken, Contact, NoAuthorities, NoUpstream, unix_now};
use greenroom_relay::{Options, StartError};
use greenroom_sdk::Greenroom;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::host::{Host, key};
use crate::{ANYONE, Relay, at, eventually, free, options};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

/// Ends TLS in front of `upstream`, as a proxy does that stands there. Gives its address.
async fn terminate(upstream: &str) -> String {
    let upstream = upstream.strip_prefix("http://").unwrap().to_owned();
    let chain = CertificateDer::pem_file_iter(file("localhost.pem")).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_file(file("localhost.key")).unwrap()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(socket).await?;
                let mut server = TcpStream::connect(upstream).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    address
}

#[tokio::test]
async fn relays_and_applications_follow_over_tls() {
    let (host, dir) = (Host::start(), tempfile::tempdir().unwrap());
    let url = terminate(&host.url()).await;
    let relay = Relay::start_with(&free(), "edge", &url, dir.path(), Arc::new(unix_now), |options| options.authorities = Some(file("authority.pem"))).await;
    relay.at(41).await;
    let shop = Greenroom::connect(options(&url, "shop-1").authorities(file("authority.pem"))).await.unwrap();
    at(&shop, 41).await;
    host.publish(42, false);
    at(&shop, 42).await;
    relay.at(42).await;
    assert!(!shop.boolean("plain", &ANYONE, true));
    eventually(async || (host.presence.acknowledged("production", 42).acknowledged == 2).then_some(())).await;
}

#[tokio::test]
async fn an_upstream_whose_certificate_nobody_vouches_for_is_not_followed() {
    let host = Host::start();
    let url = terminate(&host.url()).await;
    let lost = async |url: &str, authority: &str| {
        let pace = greenroom_follow::Pace { patience: std::time::Duration::from_millis(1), ..crate::quick() };
        let shop = Greenroom::connect(options(url, "shop-1").authorities(file(authority)).pace(pace)).await.unwrap();
        let mut state = shop.state();
        let lost = tokio::time::timeout(crate::PATIENCE, state.wait_for(|state| matches!(state.contact, Contact::Lost(_)))).await.unwrap().unwrap().clone();
        match lost.contact {
            Contact::Lost(why) if matches!(*why, Broken::Unreachable(_)) => why.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let unknown = lost(&url, "another.pem").await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    // it is good for `localhost`, and for nothing else that leads to the same place
    let other = lost(&url.replace("localhost", "127.0.0.1"), "authority.pem").await;
    assert!(other.contains("not valid for name"), "{other}");
}

#[tokio::test]
async fn authorities_that_do_not_read_are_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let start = async |authorities: PathBuf| {
        let options = Options::new("https://localhost:1", vec!["gr_relay_1".to_owned()], key().parse().unwrap(), dir.path(), "127.0.0.1:0".parse().unwrap());
        greenroom_relay::start(Options { authorities: Some(authorities), ..options }).await.unwrap_err()
    };
    for name in ["nowhere.pem", "localhost.key"] {
        let error = start(file(name)).await;
        assert!(matches!(&error, StartError::Upstream(NoUpstream::Authorities(NoAuthorities::Unreadable { .. }))), "{name}: {error}");
    }
}
