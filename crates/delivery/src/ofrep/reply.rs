//! Answers as released providers need them: a JSON type, a code and details on every error, and open to web pages of any
//! origin, since what authorises is the token and never a cookie.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use greenroom_exposure::wire::{BadRequest, ErrorCode, Failure, GeneralError, write_failure};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;

use crate::gate::Denied;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ANYONE: HeaderValue = HeaderValue::from_static("*");
const EXPOSED: HeaderValue = HeaderValue::from_static("ETag, Retry-After");
const ALLOWED: HeaderValue = HeaderValue::from_static("Authorization, X-API-Key, Content-Type, If-None-Match, Last-Event-ID, Cache-Control");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const A_DAY: HeaderValue = HeaderValue::from_static("86400");
const UNAUTHENTICATED: &str = "there is no token in the request, or one that is not known, was revoked or has expired; create one with: greenroom token create sdk --env ENV";
const FORBIDDEN: &str = "this token does not open that: answers are for tokens of kind sdk, web and relay, the rules themselves not for web, each in its own environment";

/// A response that any page may read.
pub(crate) fn open(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(4);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    response
}

pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    with(open(status, body.into()), header::CONTENT_TYPE, JSON)
}

pub(crate) fn with(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// What a browser asks before it lets a page ask.
pub(crate) async fn preflight(_: Method) -> Response {
    let response = open(StatusCode::NO_CONTENT, Body::empty());
    let response = with(response, header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED);
    let response = with(response, header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    with(response, header::ACCESS_CONTROL_MAX_AGE, A_DAY)
}

/// Why a request is not evaluated.
#[derive(Debug)]
pub(crate) enum Refusal {
    Denied(Denied),
    TooLarge {
        limit: usize,
    },
    /// About one feature, or the whole of a bulk call.
    Bad {
        key: Option<String>,
        request: BadRequest,
    },
    /// Relays would follow each other in a circle, or too many would stand in a row.
    Chain(String),
    /// Worth another try in a second.
    NotYet(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            // OFREP gives these no schema; its general error is what a person who tries it by hand can read
            Self::Denied(Denied::Forbidden) => general(StatusCode::FORBIDDEN, FORBIDDEN.to_owned()),
            Self::Denied(Denied::Unauthenticated) => {
                let response = general(StatusCode::UNAUTHORIZED, UNAUTHENTICATED.to_owned());
                with(response, header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            Self::TooLarge { limit } => general(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} bytes")),
            Self::Bad { key, request } => {
                let (error_code, details) = match request {
                    BadRequest::Unreadable(details) => (ErrorCode::ParseError, details),
                    BadRequest::InvalidContext(details) => (ErrorCode::InvalidContext, details),
                };
                json(StatusCode::BAD_REQUEST, rendered(&Failure { key, error_code, error_details: Some(details) }))
            }
            Self::Chain(details) => general(StatusCode::LOOP_DETECTED, details),
            Self::NotYet(details) => {
                let response = general(StatusCode::SERVICE_UNAVAILABLE, details);
                with(response, header::RETRY_AFTER, HeaderValue::from_static("1"))
            }
        }
    }
}

/// A failure of one feature's evaluation.
pub(super) fn failed(status: StatusCode, key: &str, code: ErrorCode, details: &str) -> Response {
    let mut body = Vec::with_capacity(128);
    write_failure(&mut body, key, code, details);
    json(status, body)
}

fn general(status: StatusCode, error_details: String) -> Response {
    json(status, rendered(&GeneralError { error_details }))
}

fn rendered(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}
