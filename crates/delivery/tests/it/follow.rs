//! The signed snapshot, its stream and the reports of those who follow it.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greenroom_delivery::{Acknowledged, Counted, Limits};
use greenroom_exposure::Model;
use greenroom_exposure::wire::follow::Delta;
use http::{Request, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stream::serve;
use crate::{Plane, Reply, key, limits, plane, plane_with, snapshot};

fn signed_by_us(body: &[u8], signature: &str) -> bool {
    let bytes: [u8; 64] = STANDARD.decode(signature).unwrap().try_into().unwrap();
    key().0.verify(body, &ed25519_dalek::Signature::from_bytes(&bytes)).is_ok()
}

/// The model of an envelope whose signature holds for its bytes as they stand.
fn opened(envelope: &str) -> Model {
    #[derive(serde::Deserialize)]
    struct Signed<'a> {
        #[serde(borrow)]
        snapshot: &'a RawValue,
        signature: String,
    }
    let signed: Signed<'_> = serde_json::from_str(envelope).unwrap();
    assert!(signed_by_us(signed.snapshot.get().as_bytes(), &signed.signature));
    serde_json::from_str(signed.snapshot.get()).unwrap()
}

/// A follower that checks what it is sent, as one of another make would.
struct Client {
    socket: TcpStream,
    read: String,
    events: Vec<(String, u64)>,
    model: Option<Model>,
}

impl Client {
    async fn connect(address: &str, instance: &str, last: Option<&str>) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let last = last.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        // 1.0: the body comes as it is, without the sizes of chunks
        let request = format!("GET /api/v1/snapshot/stream HTTP/1.0\r\nHost: h\r\nAuthorization: Bearer sdk-one\r\nGreenroom-Instance: {instance}\r\n{last}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        Self { socket, read: String::new(), events: Vec::new(), model: None }
    }

    /// Reads until `revision` has come.
    async fn at(&mut self, revision: u64) -> &Model {
        let mut buffer = vec![0; 65_536];
        while self.model.as_ref().is_none_or(|model| model.revision < revision) {
            let read = tokio::time::timeout(Duration::from_secs(5), self.socket.read(&mut buffer)).await.expect("an event in time").unwrap();
            assert!(read > 0, "the stream ended: {}", self.read);
            self.read.push_str(str::from_utf8(&buffer[..read]).unwrap());
            while let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.take(&block);
                self.read = rest;
            }
        }
        self.model.as_ref().unwrap()
    }

    fn take(&mut self, block: &str) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let (Some(event), Some(id), Some(data)) = (field("event:"), field("id:"), field("data:")) else { return };
        self.events.push((event.to_owned(), id.parse().unwrap()));
        match event {
            "snapshot" => self.model = Some(opened(data)),
            "delta" => {
                let delta: Delta = serde_json::from_str(data).unwrap();
                let model = self.model.as_mut().unwrap();
                assert_eq!(model.revision, delta.from);
                let (change, signature) = delta.into_change();
                model.apply(&change);
                assert!(signed_by_us(&serde_json::to_vec(&model).unwrap(), &signature), "a delta leads to what is signed");
            }
            other => panic!("unknown event {other}"),
        }
    }
}

impl Plane {
    async fn snapshot(&self, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::get("/api/v1/snapshot");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(axum::body::Body::empty()).unwrap()).await
    }

    fn switch(&self, revision: u64, shown: bool) {
        self.feeds.publish("production", snapshot("production", revision, shown));
    }
}

const ONE: (&str, &str) = ("authorization", "Bearer sdk-one");

#[tokio::test]
async fn the_snapshot_is_signed_as_it_stands_and_sent_once() {
    let plane = plane();
    let reply = plane.snapshot(&[ONE]).await;
    assert_eq!((reply.status, opened(&reply.text).revision), (StatusCode::OK, 41));
    let tag = reply.header("etag").to_owned();
    assert_eq!(plane.snapshot(&[ONE, ("if-none-match", &tag)]).await.status, StatusCode::NOT_MODIFIED);
    plane.switch(42, false);
    let reply = plane.snapshot(&[ONE, ("if-none-match", &tag)]).await;
    assert_eq!((reply.status, opened(&reply.text).features["plain"].default.as_str()), (StatusCode::OK, "off"));
    assert_eq!(plane.snapshot(&[]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(plane.snapshot(&[("authorization", "Bearer admin")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(plane.snapshot(&[("authorization", "Bearer sdk-new")]).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let test = plane.snapshot(&[("authorization", "Bearer sdk-test")]).await;
    assert_eq!(opened(&test.text).environment, "test");
}

#[tokio::test]
async fn a_follower_gets_the_whole_then_what_changes_and_after_a_gap_the_whole_again() {
    let plane = plane();
    let address = serve(&plane).await;
    let mut client = Client::connect(&address, "one", None).await;
    assert_eq!(client.at(41).await.features["plain"].default, "on");
    plane.switch(42, false);
    assert_eq!(client.at(42).await.features["plain"].default, "off");
    plane.switch(43, true);
    assert_eq!(client.at(43).await.features["plain"].default, "on");
    let kinds: Vec<(&str, u64)> = client.events.iter().map(|(event, id)| (event.as_str(), *id)).collect();
    assert_eq!(kinds, [("snapshot", 41), ("delta", 42), ("delta", 43)]);

    let mut back = Client::connect(&address, "back", Some("42")).await;
    back.model = Some(Model { revision: 42, ..client.model.clone().unwrap() });
    back.model.as_mut().unwrap().apply(&greenroom_exposure::Change { revision: 42, put: snapshot("production", 42, false).model().features, ..Default::default() });
    back.at(43).await;
    assert_eq!(back.events, [("delta".to_owned(), 43)]);

    let mut gap = Client::connect(&address, "gap", Some("17")).await;
    gap.at(43).await;
    assert_eq!(gap.events, [("snapshot".to_owned(), 43)]);
}

#[tokio::test]
async fn who_does_not_read_holds_up_nobody_and_then_gets_where_we_are() {
    let plane = plane();
    let address = serve(&plane).await;
    let mut sleeper = Client::connect(&address, "sleeper", None).await;
    let mut client = Client::connect(&address, "reader", None).await;
    for revision in 42..200 {
        plane.switch(revision, revision % 2 == 0);
        client.at(revision).await;
    }
    assert_eq!(sleeper.at(199).await, client.at(199).await);
}

fn acknowledged(in_contact: u64, acknowledged: u64, laggards: &[&str]) -> Acknowledged {
    Acknowledged { in_contact, acknowledged, laggards: laggards.iter().map(|name| (*name).to_owned()).collect() }
}

#[tokio::test]
async fn a_follower_acknowledges_by_name_and_counts_what_it_gave() {
    let plane = plane_with(Limits { keep_alive: Duration::from_millis(50), ..limits() });
    let address = serve(&plane).await;
    let mut client = Client::connect(&address, "shop-1", None).await;
    client.at(41).await;
    assert_eq!(plane.presence.acknowledged("production", 41), acknowledged(1, 0, &["shop-1"]), "what is sent is not yet applied");
    let report = |revision: u64, number: u64| {
        let count = |feature: &str, variant: &str, count: u64| json!({"feature": feature, "variant": variant, "count": count});
        let counts = [count("plain", "on", 3), count("plain", "on", 1), count("plain", "unheard", 5), count("gone", "on", 7)];
        json!({"instance": "shop-1", "build": "shop-web@1.2.0", "revision": revision, "batch": {"number": number, "counts": counts, "dropped": 2}}).to_string()
    };
    assert_eq!(plane.post("/api/v1/evaluators", &report(41, 1), &[]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(plane.presence.acknowledged("production", 41), acknowledged(1, 1, &[]));
    let plain = Counted { environment: "production".into(), feature: "plain".into(), variant: "on".into(), build: Some("shop-web@1.2.0".into()) };
    assert_eq!((plane.usage.take(), plane.usage.dropped()), (HashMap::from([(plain, 4)]), 14));

    plane.switch(42, false);
    client.at(42).await;
    assert_eq!(plane.presence.acknowledged("production", 42), acknowledged(1, 0, &["shop-1"]));
    // of what is not published nobody can speak
    plane.post("/api/v1/evaluators", &report(99, 2), &[]).await;
    assert_eq!(plane.presence.acknowledged("production", 42), acknowledged(1, 1, &[]));
    assert_eq!(plane.presence.acknowledged("production", 43), acknowledged(1, 0, &["shop-1"]));
}

/// Whoever did not hear the answer says the same once more; the number, and not the counts, tells that it is the same.
#[tokio::test]
async fn a_batch_is_counted_once() {
    let plane = plane();
    let counted = async |instance: &str, token: &str, number: u64| {
        let counts = [json!({"feature": "plain", "variant": "on", "count": 3})];
        let report = json!({"instance": instance, "revision": 41, "batch": {"number": number, "counts": counts, "dropped": 1}}).to_string();
        let before = plane.usage.dropped();
        let reply = plane.post("/api/v1/evaluators", &report, &[("authorization", token)]).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "whoever repeats itself shall stop");
        (plane.usage.take().into_values().sum::<u64>(), plane.usage.dropped() - before)
    };
    let (taken, known) = ((3, 1), (0, 0));
    assert_eq!([counted("shop-1", ONE.1, 7).await, counted("shop-1", ONE.1, 7).await], [taken, known]);
    assert_eq!([counted("shop-1", ONE.1, 8).await, counted("shop-1", ONE.1, 7).await], [taken, known], "what was held up on the way is known as well");
    assert_eq!([counted("shop-2", ONE.1, 8).await, counted("shop-1", "Bearer sdk-test", 8).await], [taken, taken], "others have numbers of their own");
}

#[tokio::test]
async fn a_report_is_read_strictly() {
    let plane = plane();
    for body in [
        "",
        "{}",
        r#"{"instance":"a b","revision":1}"#,
        r#"{"instance":"","revision":1}"#,
        r#"{"instance":"a","revision":1,"user":"ann"}"#,
        r#"{"instance":"a","revision":1,"build":"shop"}"#,
        r#"{"instance":"a","revision":1,"counts":[]}"#,
        r#"{"instance":"a","revision":1,"batch":{"counts":[]}}"#,
        r#"{"instance":"a","revision":1,"batch":{"number":1,"counts":[{"feature":"plain","variant":"on","count":1,"build":"shop"}]}}"#,
    ] {
        assert_eq!(plane.post("/api/v1/evaluators", body, &[]).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let large = format!(r#"{{"instance":"a","revision":1,"build":"{}"}}"#, "x".repeat(5000));
    assert_eq!(plane.post("/api/v1/evaluators", &large, &[]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(plane.post("/api/v1/evaluators", "{}", &[("none", "")]).await.status, StatusCode::UNAUTHORIZED);
}

/// Whoever reads a page can read the token in it: it opens answers about one caller, and not whom the rules list.
#[tokio::test]
async fn who_may_only_ask_does_not_get_the_rules() {
    let plane = plane();
    let web = [("authorization", "Bearer web")];
    assert_eq!(plane.post("/ofrep/v1/evaluate/flags", "{}", &web).await.status, StatusCode::OK);
    for path in ["/api/v1/snapshot", "/api/v1/snapshot/stream"] {
        let request = Request::get(path).header("authorization", "Bearer web").body(axum::body::Body::empty()).unwrap();
        assert_eq!(plane.send(request).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(plane.post("/api/v1/evaluators", r#"{"instance": "page", "revision": 1}"#, &web).await.status, StatusCode::FORBIDDEN);
}
