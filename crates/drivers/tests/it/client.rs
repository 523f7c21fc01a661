//! Users: they ask the stable address all the time, in several ways, and count every answer that is not one. No client
//! library that would ask again on its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

type Connection = SendRequest<Full<Bytes>>;

pub async fn connect(to: SocketAddr) -> Result<Connection, String> {
    let stream = tokio::net::TcpStream::connect(to).await.map_err(|e| format!("connect: {e}"))?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The text of a 200.
pub async fn ask(connection: &mut Connection, method: &str, path: &str, body: &'static str) -> Result<String, String> {
    connection.ready().await.map_err(|e| format!("ready: {e}"))?;
    let request = Request::builder().method(method).uri(path).header("host", "shop").body(Full::new(Bytes::from(body))).unwrap();
    let response = connection.send_request(request).await.map_err(|e| format!("send: {e}"))?;
    let status = response.status();
    let text = response.into_body().collect().await.map_err(|e| format!("read: {e}"))?.to_bytes();
    let text = String::from_utf8_lossy(&text).into_owned();
    if status == 200 { Ok(text) } else { Err(format!("{status}: {text}")) }
}

pub async fn get(to: SocketAddr, path: &str) -> Result<String, String> {
    ask(&mut connect(to).await?, "GET", path, "").await
}

/// Requests going on in the background.
pub struct Users {
    stop: Arc<AtomicBool>,
    log: Arc<Mutex<Log>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Answers by their text, and what went wrong.
#[derive(Debug, Default)]
pub struct Log {
    pub answers: BTreeMap<String, u32>,
    pub failures: Vec<String>,
}

impl Users {
    /// `ways`: method, path, body; each on one connection kept alive and on a fresh one each time.
    pub fn start(to: SocketAddr, ways: &[(&'static str, &'static str, &'static str)]) -> Self {
        let (stop, log) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Log::default())));
        let mut tasks = Vec::new();
        for (method, path, body) in ways.iter().copied() {
            for keep_alive in [true, false] {
                let (stop, log) = (Arc::clone(&stop), Arc::clone(&log));
                tasks.push(tokio::spawn(async move {
                    let mut kept = None;
                    // Fresh connections use up ports of this machine, which come back only after a minute.
                    let mut pace = tokio::time::interval(std::time::Duration::from_millis(2));
                    while !stop.load(Ordering::Relaxed) {
                        let connection = match kept.take() {
                            Some(connection) => Ok(connection),
                            None => connect(to).await,
                        };
                        let answer = match connection {
                            Ok(mut connection) => {
                                let answer = ask(&mut connection, method, path, body).await;
                                kept = Some(connection).filter(|_| keep_alive && answer.is_ok());
                                answer
                            }
                            Err(e) => Err(e),
                        };
                        log.lock().unwrap().note(answer.map_err(|why| format!("{method} {path} (keep-alive: {keep_alive}): {why}")));
                        pace.tick().await;
                    }
                }));
            }
        }
        Self { stop, log, tasks }
    }

    pub fn count(&self, text: &str) -> u32 {
        self.log.lock().unwrap().answers.get(text).copied().unwrap_or(0)
    }

    pub fn failures(&self) -> Vec<String> {
        self.log.lock().unwrap().failures.clone()
    }

    pub async fn finish(self) -> Log {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

impl Log {
    fn note(&mut self, answer: Result<String, String>) {
        match answer {
            Ok(text) => *self.answers.entry(text).or_default() += 1,
            Err(why) => self.failures.push(why),
        }
    }

    pub fn assert_no_failure(&self) {
        assert!(self.failures.is_empty(), "{} failures, first {:?}; answers {:?}", self.failures.len(), self.failures.first(), self.answers);
    }
}
