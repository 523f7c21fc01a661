//! The typed client against servers that break: commands happen once, streams are taken up again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use greenroom_api::client::{Client, Error, Filter, call};
use greenroom_api::problem::Code;
use greenroom_api::requests::Nothing;

/// What one connection is answered with; nothing means that it is cut off once the request is read.
type Answer = Option<String>;

/// A server that plays `answers` in order, one connection each, and keeps what it was asked.
struct Play {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Play {
    fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = heard.clone();
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((stream, _)) = listener.accept() else { return };
                let mut reader = BufReader::new(stream);
                let mut request = String::new();
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).expect("a request");
                    if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
                        length = n.trim().parse().expect("a length");
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                    request.push_str(&line);
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a body");
                kept.lock().expect("no panic").push(request.to_lowercase());
                if let Some(answer) = answer {
                    let _ = reader.get_mut().write_all(answer.as_bytes());
                }
            }
        });
        Self { address, heard }
    }

    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address), Some("gr_pat_x".into()), |_| Box::pin(tokio::task::yield_now())).expect("an address")
    }

    fn heard(&self, header: &str) -> Vec<String> {
        let prefix = format!("{header}: ");
        let value = |request: &String| request.lines().find_map(|l| l.strip_prefix(&prefix).map(str::to_owned)).unwrap_or_default();
        self.heard.lock().expect("no panic").iter().map(value).collect()
    }
}

fn json(status: &str, headers: &str, body: &str) -> Answer {
    Some(format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

const STARTING: &str = r#"{"type":"/problems/starting","title":"not yet","status":503,"code":"starting"}"#;

#[test]
fn a_command_cut_off_is_repeated_with_the_same_key() {
    let play = Play::new(vec![
        None,
        json("503 Service Unavailable", "retry-after: 0\r\n", STARTING),
        json("200 OK", "greenroom-seq: 41\r\n", r#"{"seq":41}"#),
        json("200 OK", "", r#"{"items":[]}"#),
    ]);
    let client = play.client();
    let done = run(client.send(&call::lift_hold(3, &Nothing {}))).expect("done in the end");
    assert_eq!((done.seq, client.seen()), (41, 41));
    run(client.send(&call::holds())).expect("a list");
    let keys = play.heard("idempotency-key");
    assert_eq!(keys[0].len(), 32);
    assert_eq!(keys[..3], [keys[0].clone(), keys[0].clone(), keys[0].clone()]);
    // the read that follows sees what the command did, and is no command
    assert_eq!((play.heard("greenroom-after")[3].as_str(), keys[3].as_str()), ("41", ""));
    assert_eq!(play.heard("authorization")[0], "bearer gr_pat_x");
}

#[test]
fn a_command_that_stays_cut_off_is_unknown_and_names_its_key() {
    let play = Play::new(vec![None; 4]);
    let error = run(play.client().send(&call::lift_hold(3, &Nothing {}))).expect_err("nobody answered");
    let Error::OutcomeUnknown { key, .. } = error else { panic!("{error}") };
    assert_eq!(play.heard("idempotency-key"), vec![key; 4]);
}

#[test]
fn refusals_are_not_repeated_and_strange_answers_are_told_apart() {
    let refused = r#"{"type":"/problems/refused","title":"no","status":409,"code":"refused","reasons":[{"code":"hold","subject":"hold/1","message":"held"}]}"#;
    let newer = r#"{"title":"gone for good","status":410,"code":"evaporated"}"#;
    let play = Play::new(vec![json("409 Conflict", "", refused), json("410 Gone", "", newer), json("502 Bad Gateway", "", "<html>"), json("200 OK", "", "{}")]);
    let client = play.client();
    let ask = || run(client.send(&call::lift_hold(3, &Nothing {}))).expect_err("an error");
    let Error::Problem(problem) = ask() else { panic!() };
    assert_eq!((problem.code, problem.reasons.len()), (Code::Refused, 1));
    let Error::Problem(problem) = ask() else { panic!() };
    assert_eq!((problem.code, problem.title.as_str()), (Code::Invalid, "gone for good"));
    assert!(matches!(ask(), Error::Unreadable { status: 502, .. }));
    assert!(matches!(ask(), Error::Unreadable { status: 200, .. }));
    assert!(matches!(ask(), Error::OutcomeUnknown { .. } | Error::Unreachable { .. }));
}

#[test]
fn a_broken_stream_goes_on_after_the_last_event() {
    let event = |seq: u64| {
        format!(
            "id: {seq}\nevent: x\ndata: {{\"seq\":{seq},\"at\":\"2026-12-01T14:00:00Z\",\"kind\":\"x\",\"version\":1,\"actor\":\"a\",\"who\":\"a\",\"subjects\":[],\"summary\":\"s\",\"body\":null,\"hash\":\"\"}}\n\n"
        )
    };
    let stream = |body: String| Some(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hello\n\n{body}"));
    let play = Play::new(vec![stream(event(8) + &event(9)), None, stream(event(10))]);
    let client = play.client();
    let mut events = client.events(Filter::default(), 7);
    let seqs: Vec<u64> = run(async {
        let mut seqs = Vec::new();
        for _ in 0..3 {
            seqs.push(events.next().await.expect("an event").seq);
        }
        seqs
    });
    assert_eq!(seqs, [8, 9, 10]);
    assert_eq!(play.heard("last-event-id"), ["7", "9", "9"]);
}

#[test]
fn whoever_sends_elsewhere_is_not_followed_there() {
    let play = Play::new(vec![json("308 Permanent Redirect", "location: https://elsewhere.test/api/v1/holds\r\n", "")]);
    let error = run(play.client().send(&call::holds())).expect_err("an error");
    assert!(matches!(&error, Error::Moved { to, .. } if to == "https://elsewhere.test"), "{error}");
}

#[test]
fn keys_and_paths_are_encoded() {
    let play = Play::new(vec![json("200 OK", "", "{}")]);
    let key = "Team/check out:v2".replace(' ', "-").parse().expect("a key");
    let _ = run(play.client().send(&call::feature(&key)));
    assert!(play.heard.lock().expect("no panic")[0].starts_with("get /api/v1/features/team%2fcheck-out:v2 "));
}

#[test]
fn the_command_line_says_7_and_the_key() {
    let play = Play::new(vec![None; 4]);
    let server = format!("http://{}", play.address);
    let output = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(["hold", "lift", "3", "--server", &server, "--token", "x", "--key", "once"])
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("repeat it with --key once"), "{said}");
    assert_eq!(play.heard("idempotency-key"), ["once"; 4]);
}
