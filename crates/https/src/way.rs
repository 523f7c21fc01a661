//! How a server is reached: directly, or by a tunnel through the proxy that the environment names.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use super::Cause;

#[derive(Clone)]
pub(crate) enum Way {
    Direct(HttpConnector),
    Through(Tunnel<HttpConnector>),
}

impl Way {
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say through whom; this machine is reached directly whatever they say.
    pub(crate) fn to(base: &Uri, patience: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(patience));
        let here = base.host().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]");
        match Matcher::from_env().intercept(base).filter(|_| !here) {
            None => Self::Direct(connector),
            Some(proxy) => {
                let tunnel = Tunnel::new(proxy.uri().clone(), connector);
                Self::Through(match proxy.basic_auth() {
                    Some(auth) => tunnel.with_auth(auth.clone()),
                    None => tunnel,
                })
            }
        }
    }
}

impl Service<Uri> for Way {
    type Response = TokioIo<TcpStream>;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Cause>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        match self {
            Self::Direct(connector) => connector.poll_ready(context).map_err(Into::into),
            Self::Through(tunnel) => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match self {
            Self::Direct(connector) => {
                let connecting = connector.call(to);
                Box::pin(async { Ok(connecting.await?) })
            }
            Self::Through(tunnel) => {
                let connecting = tunnel.call(to);
                Box::pin(async { Ok(connecting.await?) })
            }
        }
    }
}
