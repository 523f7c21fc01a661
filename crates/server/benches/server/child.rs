//! The server and the floor as processes of their own, what they cost, and what the disk costs.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path as Segment, State};
use axum::routing::post;
use greenroom_exposure::{Json, Model, Snapshot};
use serde_json::{Value, json};

use crate::{Outcome, Wire, percentile};

pub use crate::process::Child;

const PATIENCE: Duration = Duration::from_secs(60);

/// Listens on a free port, says which, and serves until TERM.
pub fn serve(data: &str) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let address = std::env::var("BENCH_LISTEN")?.parse()?;
        let running = greenroom_server::start(Path::new(data), greenroom_server::Doors::http(address), std::env::current_exe()?).await?;
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        term.recv().await;
        running.stop().await;
        Ok(())
    })
}

/// The smallest honest code for one evaluation: parse, look up, evaluate, serialise; nobody is asked who they are.
pub fn floor() -> Outcome {
    let features: serde_json::Map<String, Value> =
        (0..2_000).map(|i| (format!("f{i}"), json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off"}))).collect();
    let model: Model = serde_json::from_value(json!({"format": "greenroom/snapshot/1", "environment": "floor", "revision": 1, "features": features}))?;
    let snapshot = Arc::new(Snapshot::compile(&model).0);
    let evaluate = async |State(snapshot): State<Arc<Snapshot>>, Segment(key): Segment<String>, body: axum::body::Bytes| {
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let context = request["context"].as_object().cloned().unwrap_or_default();
        match snapshot.evaluate(&key, &Json(&context)) {
            Some(answer) => axum::Json(json!({"key": key, "value": answer.value(), "variant": answer.variant(), "reason": "STATIC", "metadata": {"revision": 1}})),
            None => axum::Json(json!({"key": key, "errorCode": "FLAG_NOT_FOUND"})),
        }
    };
    // as many threads as the server answers on
    let lanes = std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2).max(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(lanes).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(std::env::var("BENCH_LISTEN")?).await?;
        let app = Router::new().route("/ofrep/v1/evaluate/flags/{key}", post(evaluate)).with_state(snapshot);
        Ok(axum::serve(listener, app).await?)
    })
}

impl Child {
    pub fn start(data: &Path) -> Outcome<Self> {
        Self::spawn(Command::new(std::env::current_exe()?).arg("serve").arg(data))
    }

    pub fn floor() -> Outcome<Self> {
        Self::spawn(Command::new(std::env::current_exe()?).arg("floor"))
    }

    /// Asks until the answer is 200.
    async fn until(&self, method: &str, path: &str, token: &str, body: &str) -> Outcome {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Ok(mut wire) = Wire::try_open(self.address).await
                && let Ok((200, _)) = wire.try_send(method, path, token, None, body).await
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err(format!("{path} was not answered").into())
    }

    pub async fn ready(&self) -> Outcome {
        self.until("GET", "/readyz", "", "").await
    }

    pub async fn evaluates(&self, sdk: &str) -> Outcome {
        self.until("POST", "/ofrep/v1/evaluate/flags/f1", sdk, r#"{"context":{"targetingKey":"user-1"}}"#).await
    }

    /// Waits until what exposure needs at the next start is on disk.
    pub async fn kept(&self, data: &Path) -> Outcome {
        let began = Instant::now();
        while !(data.join("snapshots/TICKETS").exists() && data.join("snapshots/development").exists()) {
            if began.elapsed() > PATIENCE {
                return Err("no snapshot was kept".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// TERM, and waits for the end.
    pub async fn stop(mut self) -> Outcome {
        let id = i32::try_from(self.process.id())?;
        if let Some(pid) = rustix::process::Pid::from_raw(id) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        tokio::task::spawn_blocking(move || self.process.wait()).await??;
        Ok(())
    }
}

/// What the state alone holds, and the largest of its parts.
pub fn weighed(data: &Path) -> Outcome<String> {
    let output = Command::new(std::env::current_exe()?).arg("weigh").arg(data).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let mut rows = Vec::new();
    for line in std::str::from_utf8(&output.stdout)?.lines().take(7) {
        let (name, bytes) = line.split_once(' ').ok_or("not a weight")?;
        rows.push(format!("{name} {:.1}", bytes.parse::<f64>()? / 1e6));
    }
    Ok(format!("{} MB", rows.join(", ")))
}

/// One page at a time into a file that is there already: p50 and p99 in ms.
pub fn fdatasync(dir: &Path) -> Outcome<(f64, f64)> {
    let file = std::fs::File::create(dir.join("sync"))?;
    let mut preallocated = &file;
    preallocated.write_all(&vec![0; 4 << 20])?;
    file.sync_all()?;
    let mut all = Vec::new();
    for i in 0..1_000 {
        let at = Instant::now();
        file.write_all_at(&[1; 4096], (i % 1024) * 4096)?;
        file.sync_data()?;
        all.push(at.elapsed());
    }
    all.sort_unstable();
    Ok((percentile(&all, 0.5), percentile(&all, 0.99)))
}
