//! One request: to the backend that the route names at this moment, and again to the one it names then if nothing can
//! have come of the first try.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::pool::{Lease, Payload, Sender, Table};

/// Bodies up to this size are kept, so that they can be sent again.
const KEPT: u64 = 64 * 1024;
/// How long a backend may be unreachable before the caller is told.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
/// How often a request that may be repeated is repeated after its connection broke.
const TRIES: u32 = 4;

/// Headers about one connection, not about the message.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Why a try came to nothing.
enum Failure {
    /// The backend has not seen it; here it is again.
    NotSent(Payload, String),
    /// The connection was an idle one and had ended: nothing is known of it, and a fresh one may do better at once.
    Stale,
    /// It may have been carried out.
    Broken(String),
}

pub(super) async fn forward(table: Arc<Table>, stable: SocketAddr, peer: SocketAddr, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let (mut head, body) = request.into_parts();
    let upgrade = upgrade_of(&head.headers).and_then(|protocol| head.extensions.remove::<OnUpgrade>().map(|on| (protocol, on)));
    prepare(&mut head, peer, upgrade.as_ref().map(|(protocol, _)| protocol));
    let kept = body.size_hint().exact().is_some_and(|n| n <= KEPT);
    let whole = if kept {
        match body.collect().await {
            Ok(body) => Either::Left(body.to_bytes()),
            Err(e) => return Ok(answer(StatusCode::BAD_REQUEST, &format!("the request was cut off: {e}"))),
        }
    } else {
        Either::Right(body)
    };
    let (kept, mut payload) = match whole {
        Either::Left(bytes) => (Some(bytes.clone()), Either::Left(Full::new(bytes))),
        Either::Right(stream) => (None, Either::Right(stream)),
    };
    // A connection that was idle may end just as we use it. Only what may be done twice can take that chance.
    let repeatable = kept.is_some() && head.method.is_idempotent() && upgrade.is_none();
    let deadline = Instant::now() + PATIENCE;
    let mut broken = 0;
    loop {
        let why = match table.lease(stable) {
            None => format!("nothing serves {stable}"),
            Some(lease) => match attempt(&lease, &head, payload, repeatable).await {
                Ok((response, sender)) => return Ok(finish(response, sender, lease, upgrade)),
                Err(Failure::Stale) if kept.is_some() => {
                    payload = again(kept.as_ref());
                    continue;
                }
                Err(Failure::Stale) => return Ok(answer(StatusCode::BAD_GATEWAY, "the connection ended")),
                Err(Failure::NotSent(back, why)) => {
                    payload = back;
                    why
                }
                Err(Failure::Broken(why)) => {
                    broken += 1;
                    if !repeatable || broken >= TRIES {
                        return Ok(answer(StatusCode::BAD_GATEWAY, &format!("the connection broke: {why}")));
                    }
                    payload = again(kept.as_ref());
                    why
                }
            },
        };
        if Instant::now() >= deadline {
            return Ok(answer(StatusCode::SERVICE_UNAVAILABLE, &why));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn again(kept: Option<&Bytes>) -> Payload {
    Either::Left(Full::new(kept.cloned().unwrap_or_default()))
}

async fn attempt(lease: &Lease, head: &Parts, payload: Payload, repeatable: bool) -> Result<(Response<Incoming>, Sender), Failure> {
    let idle = if repeatable { lease.idle().await } else { None };
    let was_idle = idle.is_some();
    let mut sender = match idle {
        Some(sender) => sender,
        None => match lease.connect().await {
            Ok(sender) => sender,
            Err(why) => return Err(Failure::NotSent(payload, why)),
        },
    };
    let mut request = Request::new(payload);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    match sender.try_send_request(request).await {
        Ok(response) => Ok((response, sender)),
        Err(mut e) => match e.take_message() {
            Some(request) => Err(Failure::NotSent(request.into_body(), e.error().to_string())),
            None if was_idle => Err(Failure::Stale),
            None => Err(Failure::Broken(e.error().to_string())),
        },
    }
}

/// Makes a message of this connection one of the next.
fn prepare(head: &mut Parts, peer: SocketAddr, upgrade: Option<&HeaderValue>) {
    let target = head.uri.path_and_query().map_or("/", |p| p.as_str());
    head.uri = target.parse().unwrap_or_else(|_| Uri::from_static("/"));
    strip(&mut head.headers);
    // Answered by our own server when the body is asked for.
    head.headers.remove(header::EXPECT);
    if let Some(protocol) = upgrade {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(header::UPGRADE, protocol.clone());
    }
    if let Ok(peer) = HeaderValue::try_from(peer.ip().to_string()) {
        head.headers.append("x-forwarded-for", peer);
    }
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let connection = headers.get(header::CONNECTION)?.to_str().ok()?;
    let asks = connection.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| asks).cloned()
}

fn finish(mut response: Response<Incoming>, sender: Sender, lease: Lease, upgrade: Option<(HeaderValue, OnUpgrade)>) -> Response<Reply> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if let Some((_, client)) = upgrade {
            let backend = hyper::upgrade::on(&mut response);
            tokio::spawn(splice(client, backend, lease));
        }
        return response.map(|_| Reply { body: Either::Left(Full::default()), held: None, ended: true });
    }
    strip(response.headers_mut());
    response.map(|body| Reply { body: Either::Right(body), held: Some((lease, sender)), ended: false })
}

async fn splice(client: OnUpgrade, backend: OnUpgrade, lease: Lease) {
    if let (Ok(client), Ok(backend)) = tokio::join!(client, backend) {
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(backend)).await;
    }
    drop(lease);
}

fn answer(status: StatusCode, why: &str) -> Response<Reply> {
    let body = Either::Left(Full::new(Bytes::from(format!("greenroom proxy: {why}\n"))));
    let mut response = Response::new(Reply { body, held: None, ended: true });
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// An answer on its way. The connection it comes by is kept for others once it has been read to its end.
pub(super) struct Reply {
    body: Either<Full<Bytes>, Incoming>,
    held: Option<(Lease, Sender)>,
    ended: bool,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) {
            self.ended = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some((lease, sender)) = self.held.take()
            && (self.ended || self.body.is_end_stream())
        {
            lease.keep(sender);
        }
    }
}
