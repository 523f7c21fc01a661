//! One call, as gRPC or as JSON over plain HTTP in the manner of Connect, which flagd's documentation and its web provider
//! use.

use std::convert::Infallible;
use std::future::ready;

use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tower::service_fn;

use super::codec::Protobuf;
use crate::ofrep::reply::{self, with};
use crate::once;

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

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    matches!(Dialect::of(headers), Some(Dialect::Grpc))
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
            match answered {
                Ok(answer) => json_response(StatusCode::OK, json_of(&answer)),
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
    Grpc::new(Protobuf::<Q, A>::default()).max_decoding_message_size(limit).unary(service, request).await.map(Body::new)
}

/// One question, many answers.
pub(super) async fn streaming<Q, A>(request: Request<Body>, limit: usize, answer: impl FnOnce(Q) -> Result<Answers<A>, Status>) -> Response
where
    Q: Message + Default + DeserializeOwned,
    A: Message + Serialize + 'static,
{
    match Dialect::of(request.headers()) {
        Some(Dialect::Grpc) => enveloped_answers(request, limit, |question| Ok(answer(question)?.map_ok(|answer| enveloped(0, &answer.encode_to_vec())).boxed())).await,
        Some(Dialect::JsonStream) => {
            let answers = question(request.into_body(), limit, PREFIX).await.and_then(answer);
            let answers = answers.unwrap_or_else(|status| stream::iter([Err(status)]).boxed());
            let frames = last_word(answers).map(|answer| Ok::<_, Infallible>(answer.map_or_else(|status| ended(&status), |answer| enveloped(0, &json_of(&answer)))));
            let response = reply::open(StatusCode::OK, Body::from_stream(frames));
            with(response, header::CONTENT_TYPE, HeaderValue::from_static("application/connect+json"))
        }
        Some(Dialect::Json) | None => unreadable(),
    }
}

/// One question by gRPC alone, and answers that are in their envelopes already: what is sent to many is held once.
pub(super) async fn enveloped_answers<Q: Message + Default>(request: Request<Body>, limit: usize, answer: impl FnOnce(Q) -> Result<Answers<Bytes>, Status>) -> Response {
    if !is_grpc(request.headers()) {
        return unreadable();
    }
    let question = async {
        let body = to_bytes(request.into_body(), limit + PREFIX).await.map_err(|_| too_large(limit))?;
        match (body.first(), body.get(PREFIX..)) {
            (Some(0), Some(message)) => Q::decode(message).map_err(|error| Status::invalid_argument(error.to_string())),
            _ => Err(Status::unimplemented("a message that is compressed, or torn, cannot be read here")),
        }
    };
    let answers = match question.await.and_then(answer) {
        Ok(answers) => answers,
        Err(status) => return status.into_http(),
    };
    let frames = last_word(answers).flat_map(|answer| stream::iter(frames(answer).into_iter().flatten().map(Ok::<_, Infallible>)));
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A message leaves in two pieces. The transport takes one more than it has room for, and waits before it sends that: who is
/// asked for what comes after a message knows that all of it but the last byte has been sent.
fn frames(answer: Result<Bytes, Status>) -> [Option<Frame<Bytes>>; 2] {
    match answer {
        Ok(mut message) => {
            let last = message.split_off(message.len().saturating_sub(1));
            [Some(Frame::data(message)), Some(Frame::data(last))]
        }
        Err(status) => {
            let mut trailers = HeaderMap::new();
            // what cannot be said in a header is left out
            let _ = status.add_header(&mut trailers);
            [Some(Frame::trailers(trailers)), None]
        }
    }
}

/// A stream ends in a status, which is an error or `ok`.
fn last_word<A>(answers: Answers<A>) -> impl Stream<Item = Result<A, Status>>
where
    A: Send + 'static,
{
    let answers = answers.chain(stream::once(ready(Err(Status::ok("")))));
    answers.scan(false, |ended, answer| ready((!std::mem::replace(ended, *ended || answer.is_err())).then_some(answer)))
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

/// Bytes before each message of a stream: flags, and the length.
const PREFIX: usize = 5;
/// The flag of the last message.
const END: u8 = 2;

async fn question<Q: DeserializeOwned>(body: Body, limit: usize, prefix: usize) -> Result<Q, Status> {
    let body = to_bytes(body, limit + prefix).await.map_err(|_| too_large(limit))?;
    let body = body.get(prefix..).unwrap_or_default();
    once::read(body).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn too_large(limit: usize) -> Status {
    Status::resource_exhausted(format!("the body is larger than {limit} bytes"))
}

/// A message with its flags and length before it.
pub(super) fn enveloped(flags: u8, message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
    bytes.put_u8(flags);
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    bytes.freeze()
}

fn ended(status: &Status) -> Bytes {
    let end = if status.code() == Code::Ok { json!({}) } else { json!({"error": error(status)}) };
    enveloped(END, &json_of(&end))
}

fn error(status: &Status) -> serde_json::Value {
    json!({"code": named(status.code()).0, "message": status.message()})
}

fn refused(status: &Status) -> Response {
    json_response(named(status.code()).1, json_of(&error(status)))
}

fn json_of(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_default()
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
