//! The smallest honest code for each job: answers on axum without authentication, presence or the address of a stream;
//! and streams on bare sockets, one task each, that share a frame.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as Segment, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use greenroom_exposure::Snapshot;
use greenroom_exposure::wire::unleash::{Level, features as handed_out};
use greenroom_exposure::wire::{read_request, write_answer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::broadcast;

use crate::{Outcome, WORKERS, lanes, ours, runtime};

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn single(State(snapshot): State<Arc<Snapshot>>, Segment(key): Segment<String>, body: Bytes) -> Response {
    let Ok(caller) = read_request(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let Some(answer) = snapshot.evaluate(&key, &caller) else { return StatusCode::NOT_FOUND.into_response() };
    let mut body = Vec::with_capacity(384);
    write_answer(&mut body, &snapshot, &answer);
    json(body)
}

/// The caller is parsed, made canonical and hashed, for the tag.
async fn bulk(State(snapshot): State<Arc<Snapshot>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(caller) = read_request(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let mut canonical = Vec::with_capacity(256);
    caller.write_canonical(&mut canonical);
    let mut hasher = DefaultHasher::new();
    hasher.write(&canonical);
    let tag = format!("\"{}-{:x}\"", snapshot.revision(), hasher.finish());
    let response = if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut body = Vec::with_capacity(256 * snapshot.len());
        body.extend_from_slice(b"{\"flags\":[");
        for (at, answer) in snapshot.evaluate_all(&caller).enumerate() {
            if at > 0 {
                body.push(b',');
            }
            write_answer(&mut body, &snapshot, &answer);
        }
        body.extend_from_slice(b"]}");
        json(body)
    };
    ([(header::ETAG, tag)], response).into_response()
}

/// The same bytes for everyone.
async fn handed(State(body): State<Bytes>, headers: HeaderMap) -> Response {
    const TAG: &str = "\"1\"";
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == TAG);
    let response = if known { StatusCode::NOT_MODIFIED.into_response() } else { ([(header::CONTENT_TYPE, "application/json")], body).into_response() };
    ([(header::ETAG, TAG)], response).into_response()
}

pub fn answers(features: usize) -> Outcome {
    let snapshot = Arc::new(ours::snapshot(features)?);
    let body = Bytes::from(serde_json::to_vec(&handed_out(&ours::unleash(features)?, Level::Variants))?);
    runtime(lanes())?.block_on(async {
        let listener = tokio::net::TcpListener::bind(std::env::var("BENCH_LISTEN")?).await?;
        let app = Router::new().route("/ofrep/v1/evaluate/flags/{key}", post(single)).route("/ofrep/v1/evaluate/flags", post(bulk)).with_state(snapshot);
        let app = app.route("/api/client/features", get(handed).with_state(body));
        Ok(axum::serve(listener, app).await?)
    })
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 1000\n\n";
const DONE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Sends frames of so many bytes.
pub fn streams(size: usize) -> Outcome {
    let frame = Bytes::from(format!("data: {}\n\n", "x".repeat(size.saturating_sub(8))));
    runtime(WORKERS)?.block_on(async {
        let listener = tokio::net::TcpListener::bind(std::env::var("BENCH_LISTEN")?).await?;
        let news = broadcast::Sender::new(16);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(stream_or_publish(stream, news.clone(), frame.clone()));
        }
    })
}

async fn stream_or_publish(mut stream: TcpStream, news: broadcast::Sender<Bytes>, frame: Bytes) -> std::io::Result<()> {
    let mut hear = news.subscribe();
    let publishes = {
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await?;
        request[..read].starts_with(b"POST")
    };
    if publishes {
        let _ = news.send(frame);
        return stream.write_all(DONE).await;
    }
    stream.write_all(HEAD).await?;
    while let Ok(frame) = hear.recv().await {
        stream.write_all(&frame).await?;
    }
    Ok(())
}
