//! The event stream, over real connections.

use std::time::Duration;

use greenroom_exposure::wire::{Announcement, Bulk};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{Plane, limits, plane, plane_with, snapshot};

const ANN: &str = r#"{"context":{"targetingKey":"ann"}}"#;

pub async fn serve(plane: &Plane) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = plane.router.clone();
    tokio::spawn(greenroom_delivery::serve(listener, router, std::future::pending()));
    address
}

impl Plane {
    /// What a bulk answer tells `ann` to listen to.
    async fn stream_of(&self, body: &str) -> String {
        let reply = self.post("/ofrep/v1/evaluate/flags", body, &[]).await;
        let bulk: Bulk = serde_json::from_value(reply.json()).unwrap();
        bulk.event_streams[0].endpoint.as_ref().unwrap().request_uri.clone()
    }

    pub fn publish(&self, revision: u64) {
        self.feeds.publish("production", snapshot("production", revision, true));
    }
}

/// A client of one stream that keeps what it has read.
struct Client {
    socket: TcpStream,
    read: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    id: Option<String>,
    event: String,
    data: Announcement,
}

impl Client {
    async fn connect(address: &str, path: &str, last_event_id: Option<&str>) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let last = last_event_id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{last}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut client = Self { socket, read: String::new() };
        client.until("\r\n\r\n").await;
        client
    }

    /// Reads until `text` has arrived, or nothing comes any more.
    async fn until(&mut self, text: &str) -> bool {
        let mut buffer = [0; 4096];
        while !self.read.contains(text) {
            match tokio::time::timeout(Duration::from_secs(5), self.socket.read(&mut buffer)).await {
                Ok(Ok(n)) if n > 0 => self.read.push_str(str::from_utf8(&buffer[..n]).unwrap()),
                _ => return false,
            }
        }
        true
    }

    /// Every event that arrives until the stream has been quiet long enough for a comment.
    async fn events(&mut self) -> Vec<Event> {
        let comments = self.read.matches("\n:\n\n").count();
        let mut buffer = [0; 4096];
        while self.read.matches("\n:\n\n").count() == comments {
            match tokio::time::timeout(Duration::from_secs(5), self.socket.read(&mut buffer)).await {
                Ok(Ok(n)) if n > 0 => self.read.push_str(str::from_utf8(&buffer[..n]).unwrap()),
                other => panic!("the stream ended: {other:?} after {}", self.read),
            }
        }
        self.parse()
    }

    /// Splits what was read into events, as a browser would; sizes of chunks are no fields and fall out.
    fn parse(&self) -> Vec<Event> {
        let body = self.read.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let blocks = body.split("\n\n");
        blocks
            .filter_map(|block| {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let data = field("data:")?;
                Some(Event { id: field("id:").map(str::to_owned), event: field("event:").unwrap_or("message").to_owned(), data: serde_json::from_str(data).unwrap() })
            })
            .collect()
    }
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().filter_map(|event| event.id.as_deref()).collect()
}

/// Short enough for a test to see that nothing else comes.
fn quick() -> Plane {
    plane_with(greenroom_delivery::Limits { keep_alive: Duration::from_millis(100), ..limits() })
}

#[tokio::test]
async fn a_change_is_announced_once_and_without_values() {
    let plane = quick();
    let address = serve(&plane).await;
    let path = plane.stream_of(ANN).await;
    let mut client = Client::connect(&address, &path, None).await;
    let head = client.read.to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("access-control-allow-origin: *") && head.contains("cache-control: no-cache"), "{head}");
    assert_eq!(client.events().await, [], "who has the latest is told nothing");
    assert!(client.read.contains("retry: ") && client.read.contains("id: 41\n"), "{}", client.read);

    plane.publish(42);
    assert!(client.until("\"etag\":\"42\"").await);
    let events = client.events().await;
    assert_eq!(ids(&events), ["42"]);
    assert_eq!((events[0].event.as_str(), events[0].data.r#type.as_str()), ("message", "refetchEvaluation"));
    assert!(events[0].data.last_modified.as_ref().is_some_and(|at| at.is_u64()));
    assert!(!client.read.contains("plain"), "values never travel on the stream");
}

/// A stream may begin on a connection that has answered before, and for a client that does not know of chunks. Who asks for the head
/// alone is given no more.
#[tokio::test]
async fn a_stream_begins_wherever_it_is_asked_for() {
    let plane = quick();
    let address = serve(&plane).await;
    let path = plane.stream_of(ANN).await;
    let mut client = Client { socket: TcpStream::connect(&address).await.unwrap(), read: String::new() };
    let asked = format!("POST /ofrep/v1/evaluate/flags/plain HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sdk-one\r\nContent-Length: {}\r\n\r\n{ANN}", ANN.len());
    client.socket.write_all(asked.as_bytes()).await.unwrap();
    assert!(client.until("\"key\":\"plain\"").await, "{}", client.read);
    client.socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    assert!(client.until("retry: ").await && client.read.to_lowercase().contains("transfer-encoding: chunked"), "{}", client.read);

    let mut old = Client { socket: TcpStream::connect(&address).await.unwrap(), read: String::new() };
    old.socket.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    assert!(old.until("retry: ").await && !old.read.to_lowercase().contains("chunked"), "{}", old.read);
    let mut head = Client { socket: TcpStream::connect(&address).await.unwrap(), read: String::new() };
    head.socket.write_all(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    assert!(!head.until("never").await && head.read.starts_with("HTTP/1.1 200") && head.read.ends_with("\r\n\r\n"), "{}", head.read);
    plane.publish(42);
    assert!(client.until("\"etag\":\"42\"").await && old.until("\"etag\":\"42\"").await);
}

/// Reconnecting with the current revision brings no event, with an older one exactly one, however much was missed.
#[tokio::test]
async fn what_was_missed_is_announced_once_on_return() {
    let plane = quick();
    let address = serve(&plane).await;
    let path = plane.stream_of(ANN).await;
    let client = Client::connect(&address, &path, None).await;
    drop(client);
    for revision in 42..=45 {
        plane.publish(revision);
    }
    let mut late = Client::connect(&address, &path, Some("41")).await;
    let events = late.events().await;
    assert_eq!(ids(&events), ["45"]);
    assert_eq!(events[0].data.etag.as_deref(), Some("45"));

    let mut current = Client::connect(&address, &path, Some("45")).await;
    assert_eq!(current.events().await, []);
    plane.publish(46);
    assert!(current.until("\"etag\":\"46\"").await && late.until("\"etag\":\"46\"").await);
    assert_eq!(ids(&late.events().await), ["45", "46"]);
    assert_eq!(ids(&current.events().await), ["46"]);

    // From a replica that is ahead of us: nothing until we have passed it.
    let mut ahead = Client::connect(&address, &path, Some("50")).await;
    plane.publish(49);
    assert_eq!(ahead.events().await, []);
    plane.publish(51);
    assert!(ahead.until("\"etag\":\"51\"").await);
}

#[tokio::test]
async fn what_changed_between_fetching_and_listening_is_announced() {
    let plane = quick();
    let address = serve(&plane).await;
    let path = plane.stream_of(ANN).await;
    plane.publish(42);
    let mut client = Client::connect(&address, &path, None).await;
    assert_eq!(ids(&client.events().await), ["42"]);
}

#[tokio::test]
async fn listeners_are_present_until_they_leave() {
    let plane = quick();
    let address = serve(&plane).await;
    let path = plane.stream_of(ANN).await;
    let mut client = Client::connect(&address, &path, None).await;
    client.events().await;
    assert_eq!(plane.presence.streams("production"), 1);
    plane.publish(42);
    let said = plane.presence.acknowledged("production", 42);
    assert_eq!((said.in_contact, said.acknowledged, said.laggards), (1, 0, vec!["sdk-one".to_owned()]));
    plane.post("/ofrep/v1/evaluate/flags?flagConfigEtag=42", ANN, &[]).await;
    let said = plane.presence.acknowledged("production", 42);
    assert_eq!((said.in_contact, said.acknowledged), (1, 1));

    drop(client);
    // Only writing shows that the other side is gone, and comments are written every 100 ms.
    while plane.presence.streams("production") > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polls another task or process until a deadline
    }
}

#[tokio::test]
async fn an_address_is_not_to_be_guessed() {
    let plane = plane();
    let address = serve(&plane).await;
    let path = plane.stream_of(ANN).await;
    let forged = path.replace("token=", "token=0");
    for path in ["/ofrep/v1/stream", "/ofrep/v1/stream?token=abc.def", forged.as_str()] {
        let client = Client::connect(&address, path, None).await;
        assert!(client.read.starts_with("HTTP/1.1 401"), "{path}: {}", client.read);
    }
}

/// A browser gives up for good on an error, so an expired address says to fetch, which brings a new one.
#[tokio::test]
async fn an_expired_address_asks_to_fetch_and_hangs_up() {
    let plane = plane_with(greenroom_delivery::Limits { stream_token: Duration::ZERO, ..limits() });
    let address = serve(&plane).await;
    let path = plane.stream_of(ANN).await;
    let mut client = Client::connect(&address, &path, Some("41")).await;
    assert!(client.until("\n\n").await);
    let events = client.parse();
    assert_eq!((events.len(), events[0].data.etag.as_deref(), events[0].id.as_deref()), (1, None, None));
}

#[tokio::test]
async fn closing_hangs_up() {
    let plane = quick();
    let address = serve(&plane).await;
    let path = plane.stream_of(ANN).await;
    let mut client = Client::connect(&address, &path, None).await;
    client.events().await;
    plane.feeds.close();
    assert!(client.until("\r\n0\r\n\r\n").await, "the stream ends as a whole response: {}", client.read);
}
