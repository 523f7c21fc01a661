//! An event stream once its answer has begun: written to the socket without hyper, whose buffers alone are several times
//! what an idle listener needs, and whose turns cost as much as sending an event.

use std::future::poll_fn;
use std::io::{self, IoSlice, Write as _};
use std::pin::pin;
use std::task::Poll;
use std::time::SystemTime;

use axum::body::{Body, HttpBody as _};
use axum::response::Response;
use bytes::{Buf as _, Bytes};
use http::{HeaderValue, Method, Request, StatusCode, Version, header, response};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::outflow::{self, Watched};

const END: &[u8] = b"\r\n";

/// Whether an answer to this request could be written here: one with a body, which its reader knows to take in chunks.
pub(crate) fn could_answer(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11 && request.method() == Method::GET
}

/// Whether this answer is a stream of events.
pub(crate) fn are(response: &Response) -> bool {
    let is_stream = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/event-stream");
    response.status() == StatusCode::OK && response.headers().get(header::CONTENT_TYPE).is_some_and(is_stream)
}

/// Writes the answer until it ends or nobody is there any more. The connection ends with it.
///
/// # Errors
/// Of the socket.
pub(crate) async fn write(mut io: Watched, response: Response) -> io::Result<()> {
    let (parts, body) = response.into_parts();
    io.stream().write_all(&head(&parts)?).await?;
    drop(parts);
    let mut body = pin!(body);
    while let Some(bytes) = next(&mut io, body.as_mut()).await {
        if !bytes.is_empty() {
            write_chunk(io.stream(), bytes).await?;
        }
    }
    io.stream().write_all(b"0\r\n\r\n").await?;
    io.stream().shutdown().await
}

/// A chunk: its length in hexadecimal digits, and itself. A short one goes out at once and as one piece, unless it is in the way
/// of those before it.
async fn write_chunk(stream: &mut TcpStream, bytes: Bytes) -> io::Result<()> {
    let length = format!("{:x}\r\n", bytes.len());
    let parts = [length.as_bytes(), &bytes, END];
    let sent = outflow::together(&parts.map(IoSlice::new), |whole| stream.try_write(whole)).transpose();
    let sent = match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        sent => sent?.unwrap_or_default(),
    };
    let mut rest = length.as_bytes().chain(&*bytes).chain(END);
    rest.advance(sent);
    stream.write_all_buf(&mut rest).await
}

fn head(parts: &response::Parts) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    write!(head, "HTTP/1.1 {}\r\n", parts.status)?;
    for (name, value) in &parts.headers {
        write!(head, "{name}: ")?;
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    write!(head, "date: {}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n", httpdate::fmt_http_date(SystemTime::now()))?;
    Ok(head)
}

/// What comes next; `None` at the end, or once the other side has hung up.
async fn next(io: &mut Watched, mut body: std::pin::Pin<&mut Body>) -> Option<Bytes> {
    poll_fn(|cx| {
        while let Poll::Ready(ready) = io.stream().poll_read_ready(cx) {
            // whoever listens has nothing to say: what comes all the same is thrown away
            match ready.and_then(|()| io.stream().try_read(&mut [0; 512])) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return Poll::Ready(None),
            }
        }
        let frame = body.as_mut().poll_frame(cx);
        if frame.is_pending() {
            io.look();
        }
        frame.map(|frame| frame?.ok()?.into_data().ok())
    })
    .await
}

impl Watched {
    fn stream(&mut self) -> &mut TcpStream {
        self.io.inner_mut()
    }
}
