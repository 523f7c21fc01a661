//! Eyes on the shop while the story goes on: customers who never stop, an application that listens, and keys that count.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Customers of the stable addresses; not one request may fail, whatever happens to deployments or to the server.
pub struct Customers {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<String>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Customers {
    pub fn come(addresses: Vec<String>) -> Self {
        let (stop, served, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let tasks = addresses
            .into_iter()
            .map(|address| {
                let (stop, served, failed) = (Arc::clone(&stop), Arc::clone(&served), Arc::clone(&failed));
                tokio::spawn(async move {
                    let http = reqwest::Client::new();
                    while !stop.load(Ordering::Relaxed) {
                        let outcome = match http.get(&address).timeout(Duration::from_secs(10)).send().await {
                            Ok(answer) if answer.status().is_success() => answer.bytes().await.map(|_| ()).map_err(|e| e.to_string()),
                            Ok(answer) => Err(format!("{address}: {}", answer.status())),
                            Err(error) => Err(format!("{address}: {error:?}")),
                        };
                        match outcome {
                            Ok(()) => {
                                served.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(why) => {
                                if let Ok(mut failed) = failed.lock() {
                                    failed.push(why);
                                }
                            }
                        }
                        tokio::time::sleep(Duration::from_millis(4)).await;
                    }
                })
            })
            .collect();
        Self { stop, served, failed, tasks }
    }

    /// How many were served; an error if one was not.
    pub async fn leave(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await?;
        }
        let failed = self.failed.lock().map(|f| f.clone()).unwrap_or_default();
        ensure!(failed.is_empty(), "{} requests failed, the first: {}", failed.len(), failed.first().map_or("", String::as_str));
        Ok(self.served.load(Ordering::Relaxed))
    }
}

/// One evaluation over OFREP.
pub async fn ask(http: &reqwest::Client, url: &str, token: &str, feature: &str, context: &Value) -> Result<Value> {
    let answer = http.post(format!("{url}/ofrep/v1/evaluate/flags/{feature}")).bearer_auth(token).json(&json!({"context": context})).send().await?;
    Ok(answer.error_for_status()?.json().await?)
}

/// Which of `count` fixed keys are shown the feature.
pub async fn shown(http: &reqwest::Client, url: &str, token: &str, feature: &str, count: usize) -> Result<BTreeSet<usize>> {
    let answers = futures_util::stream::iter(0..count).map(|i| async move {
        let answer = ask(http, url, token, feature, &json!({"targetingKey": format!("user-{i}")})).await?;
        Ok::<_, anyhow::Error>((i, answer["value"] == true))
    });
    let all: Vec<_> = answers.buffer_unordered(32).collect().await;
    all.into_iter().filter_map(|r| r.map(|(i, on)| on.then_some(i)).transpose()).collect()
}

/// An application that listens to the stream of refetch notices, and loses its connection when told to.
pub struct Listener {
    pub heard: Arc<Mutex<Vec<u64>>>,
    cut: tokio::sync::watch::Sender<u32>,
    task: JoinHandle<()>,
}

impl Listener {
    pub async fn listen(http: reqwest::Client, url: String, token: String) -> Result<Self> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (cut, mut cuts) = tokio::sync::watch::channel(0);
        let address = stream_of(&http, &url, &token).await?;
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let mut ready = Some(ready);
        let task = tokio::spawn({
            let heard = Arc::clone(&heard);
            async move {
                let mut last: Option<u64> = None;
                loop {
                    let mut request = http.get(format!("{url}{address}"));
                    if let Some(id) = last {
                        request = request.header("last-event-id", id.to_string());
                    }
                    let Ok(answer) = request.send().await else {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    };
                    if let Some(ready) = ready.take() {
                        let _ = ready.send(());
                    }
                    let mut bytes = answer.bytes_stream();
                    let mut text = String::new();
                    loop {
                        let chunk = tokio::select! {
                            chunk = bytes.next() => chunk,
                            _ = cuts.changed() => break,
                        };
                        let Some(Ok(chunk)) = chunk else { break };
                        text.push_str(&String::from_utf8_lossy(&chunk));
                        while let Some(end) = text.find("\n\n") {
                            let event: String = text.drain(..end + 2).collect();
                            let id = event.lines().find_map(|l| l.strip_prefix("id:")).and_then(|id| id.trim().parse().ok());
                            last = id.or(last);
                            // an id without data says where we are, and is no notice
                            if let Some(id) = id.filter(|_| event.contains("data:")) {
                                if let Ok(mut heard) = heard.lock() {
                                    heard.push(id);
                                }
                                // what a provider does on hearing of a change
                                let _ = http
                                    .post(format!("{url}/ofrep/v1/evaluate/flags?flagConfigEtag={id}"))
                                    .bearer_auth(&token)
                                    .json(&json!({"context": {"targetingKey": "listener"}}))
                                    .send()
                                    .await;
                            }
                        }
                    }
                }
            }
        });
        is_ready.await.context("the stream did not open")?;
        Ok(Self { heard, cut, task })
    }

    /// Loses the connection; it comes back with `Last-Event-ID`.
    pub fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }

    pub fn heard(&self) -> Vec<u64> {
        self.heard.lock().map(|h| h.clone()).unwrap_or_default()
    }

    pub fn leave(self) {
        self.task.abort();
    }
}

async fn stream_of(http: &reqwest::Client, url: &str, token: &str) -> Result<String> {
    let bulk: Value = http
        .post(format!("{url}/ofrep/v1/evaluate/flags"))
        .bearer_auth(token)
        .json(&json!({"context": {"targetingKey": "listener"}}))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    bulk["eventStreams"][0]["endpoint"]["requestUri"].as_str().map(str::to_owned).context("the bulk answer names no stream")
}
