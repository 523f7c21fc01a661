//! What a request carries, read to its end: whoever sends too much is answered so, and does not find the line cut.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use futures_util::StreamExt as _;
use greenroom_api::Problem;
use greenroom_api::problem::Code;

use super::BODY_LIMIT;

/// Read and thrown away after what is too much, before giving up on the sender.
const PATIENCE: usize = 4 * BODY_LIMIT;

/// A body of at most [`BODY_LIMIT`] bytes, or `too-large`, or `invalid`.
pub struct Sent(pub Result<Bytes, Problem>);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let mut chunks = request.into_body().into_data_stream();
        let (mut bytes, mut read) = (Vec::new(), 0_usize);
        while let Some(chunk) = chunks.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return Ok(Self(Err(Problem::new(Code::Invalid, "the request could not be read").detail(error.to_string())))),
            };
            read = read.saturating_add(chunk.len());
            if read <= BODY_LIMIT {
                bytes.extend_from_slice(&chunk);
            } else if read > PATIENCE {
                break;
            } else {
                bytes = Vec::new();
            }
        }
        if read > BODY_LIMIT {
            return Ok(Self(Err(Problem::new(Code::TooLarge, format!("the request is larger than {} MiB", BODY_LIMIT / 1024 / 1024)).detail("send less, or in parts"))));
        }
        Ok(Self(Ok(bytes.into())))
    }
}
