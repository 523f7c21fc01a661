//! One call, as gRPC or as JSON over plain HTTP in the manner of Connect, which flagd's documentation and its web provider
//! use.

use std::future::ready;

use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tower::service_fn;

use super::codec::Protobuf;
use crate::ofrep::reply::{self, with};

/// Answers of a call that goes on.
pub(super) type Answers<A> = BoxStream<'static, Result<A, Status>>;

enum Dialect {
    Grpc,
    Json,
    /// Each message with its flags and length before it.
    JsonStream,
}

impl Dialect {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let name = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let name = name.split(';').next().unwrap_or(name).trim();
        match name {
            "application/json" => Some(Self::Json),
            "application/connect+json" => Some(Self::JsonStream),
            "application/grpc" | "application/grpc+proto" => Some(Self::Grpc),
            _ => None,
        }
    }
}

/// One question, one answer.
pub(super) async fn unary<Q, A>(request: Request<Body>, limit: usize, answer: impl Fn(Q) -> Result<A, Status>) -> Response
where
    Q: Message + Default + DeserializeOwned + 'static,
    A: Message + Serialize + 'static,
{
    match Dialect::of(request.headers()) {
        Some(Dialect::Grpc) => grpc_unary(request, limit, |question| ready(answer(question))).await,
        Some(Dialect::Json) => {
            let answered = question(request.into_body(), limit, 0).await.and_then(answer);
            match answered.map(|answer| serde_json::to_vec(&answer).unwrap_or_default()) {
                Ok(body) => json_response(StatusCode::OK, body),
                Err(status) => refused(&status),
            }
        }
        Some(Dialect::JsonStream) | None => unreadable(),
    }
}

/// One question by gRPC alone, one answer.
pub(super) async fn grpc_unary<Q, A, F>(request: Request<Body>, limit: usize, answer: impl Fn(Q) -> F) -> Response
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Future<Output = Result<A, Status>>,
{
    let service = service_fn(|question: tonic::Request<Q>| answer(question.into_inner()).map(|answer| answer.map(tonic::Response::new)));
    grpc::<Q, A>(limit).unary(service, request).await.map(Body::new)
}

/// One question, many answers.
pub(super) async fn streaming<Q, A>(request: Request<Body>, limit: usize, answer: impl Fn(Q) -> Result<Answers<A>, Status>) -> Response
where
    Q: Message + Default + DeserializeOwned + 'static,
    A: Message + Serialize + 'static,
{
    match Dialect::of(request.headers()) {
        Some(Dialect::Grpc) => grpc_streaming(request, limit, answer).await,
        Some(Dialect::JsonStream) => {
            let answers = question(request.into_body(), limit, PREFIX).await.and_then(answer);
            let answers = answers.unwrap_or_else(|status| stream::iter([Err(status)]).boxed());
            let end = stream::iter([Ok(enveloped(END, b"{}"))]);
            let body = answers.map(|answer| {
                Ok::<_, std::convert::Infallible>(answer.map_or_else(|status| ended(&status), |answer| enveloped(0, &serde_json::to_vec(&answer).unwrap_or_default())))
            });
            let response = reply::open(StatusCode::OK, Body::from_stream(body.chain(end)));
            with(response, header::CONTENT_TYPE, HeaderValue::from_static("application/connect+json"))
        }
        Some(Dialect::Json) | None => unreadable(),
    }
}

/// One question by gRPC alone, many answers.
pub(super) async fn grpc_streaming<Q, A>(request: Request<Body>, limit: usize, answer: impl Fn(Q) -> Result<Answers<A>, Status>) -> Response
where
    Q: Message + Default + 'static,
    A: Message + 'static,
{
    let service = service_fn(|question: tonic::Request<Q>| ready(answer(question.into_inner()).map(tonic::Response::new)));
    grpc::<Q, A>(limit).server_streaming(service, request).await.map(Body::new)
}

/// A call that is refused before it is read, in the language it was made in.
pub(super) fn refuse(headers: &HeaderMap, status: Status) -> Response {
    match Dialect::of(headers) {
        Some(Dialect::Grpc) => status.into_http(),
        Some(Dialect::JsonStream) => {
            let response = reply::open(StatusCode::OK, ended(&status).into());
            with(response, header::CONTENT_TYPE, HeaderValue::from_static("application/connect+json"))
        }
        Some(Dialect::Json) | None => refused(&status),
    }
}

fn grpc<Q, A>(limit: usize) -> Grpc<Protobuf<Q, A>>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
{
    // what we send may be larger than what we read: that is for clients to limit
    Grpc::new(Protobuf::default()).max_decoding_message_size(limit)
}

/// Bytes before each message of a stream: flags, and the length.
const PREFIX: usize = 5;
/// The flag of the last message.
const END: u8 = 2;

async fn question<Q: DeserializeOwned>(body: Body, limit: usize, prefix: usize) -> Result<Q, Status> {
    let body = to_bytes(body, limit).await.map_err(|_| Status::resource_exhausted(format!("the body is larger than {limit} bytes")))?;
    let body = body.get(prefix..).unwrap_or_default();
    serde_json::from_slice(body).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn enveloped(flags: u8, message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
    bytes.put_u8(flags);
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    bytes.freeze()
}

fn ended(status: &Status) -> Bytes {
    enveloped(END, json!({"error": error(status)}).to_string().as_bytes())
}

fn error(status: &Status) -> serde_json::Value {
    json!({"code": named(status.code()).0, "message": status.message()})
}

fn refused(status: &Status) -> Response {
    json_response(named(status.code()).1, error(status).to_string().into_bytes())
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    with(reply::open(status, body.into()), header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

fn unreadable() -> Response {
    let response = reply::open(StatusCode::UNSUPPORTED_MEDIA_TYPE, Body::empty());
    with(response, header::ACCEPT, HeaderValue::from_static("application/grpc, application/json, application/connect+json"))
}

/// A code's name and status in Connect, of those that we use.
const fn named(code: Code) -> (&'static str, StatusCode) {
    match code {
        Code::DataLoss => ("data_loss", StatusCode::INTERNAL_SERVER_ERROR),
        Code::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
        Code::NotFound => ("not_found", StatusCode::NOT_FOUND),
        Code::PermissionDenied => ("permission_denied", StatusCode::FORBIDDEN),
        Code::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
        Code::FailedPrecondition => ("failed_precondition", StatusCode::BAD_REQUEST),
        Code::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
        Code::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        Code::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
        _ => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
    }
}
