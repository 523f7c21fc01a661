//! The data plane without a control plane: a model from a file, served to released client libraries under test.
//!
//! `plane FILE` reads a model, or a file of Unleash's (`exposure::import`), prints one line of JSON,
//! `{"address","control","token","forbidden"}`, and serves until its standard input ends. `address` is the data plane,
//! `control` is for whoever runs the test:
//! `POST /change` (a model as body) publishes it, `POST /import` (a file of Unleash's) publishes what it says as the next
//! revision, `POST /stop` cuts every connection and closes the port, `POST /start` opens the same port again,
//! `POST /restart` is both, `POST /evaluate` (`{"callers":[context,…]}`) gives for each caller
//! `{feature: {value, variant, reason}}` as the library evaluates it, past any wire, `POST /capabilities`
//! `{feature: [capability,…]}`, `POST /usage` the counts of evaluations that were not taken yet,
//! `{feature: {variant: count}}`, and `POST /acknowledged` (`{"revision"}`) who has it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to the one that started it")]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use greenroom_delivery::{DataPlane, Denied, Feeds, Gate, Limits, Presence, Scope, Usage, router};
use greenroom_exposure::{Json as Attributes, Model, Snapshot, capabilities, import};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

const TOKEN: &str = "plane-token";
/// Known, and not good for evaluating.
const FORBIDDEN: &str = "forbidden-token";

struct Token {
    environment: Arc<str>,
}

impl Gate for Token {
    fn scope(&self, presented: Option<&str>) -> Result<Scope, Denied> {
        match presented {
            Some(TOKEN) => Ok(Scope { environment: Arc::clone(&self.environment), id: "plane".into() }),
            Some(FORBIDDEN) => Err(Denied::Forbidden),
            _ => Err(Denied::Unauthenticated),
        }
    }
}

/// One data plane, which is up or down.
struct Plane {
    environment: Arc<str>,
    feeds: Arc<Feeds>,
    presence: Arc<Presence>,
    usage: Arc<Usage>,
    address: SocketAddr,
    /// Of its own, so that stopping it cuts connections as the end of a process does.
    running: Mutex<Option<Runtime>>,
}

impl Plane {
    fn start(&self) -> Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return Ok(());
        }
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(self.address))?;
        let gate = Arc::new(Token { environment: Arc::clone(&self.environment) });
        let plane = DataPlane::new(Arc::clone(&self.feeds), Arc::clone(&self.presence), gate, [7; 32]).with_usage(Arc::clone(&self.usage));
        let plane = plane.with_limits(Limits { keep_alive: Duration::from_secs(1), ..Limits::default() });
        runtime.spawn(async move { axum::serve(listener, router(plane)).await });
        *running = Some(runtime);
        Ok(())
    }

    fn stop(&self) {
        let runtime = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    fn publish(&self, model: &Model) {
        let (snapshot, warnings) = Snapshot::compile(model);
        for warning in warnings {
            eprintln!("{warning}");
        }
        self.feeds.publish(&self.environment, Arc::new(snapshot));
    }
}

#[derive(Deserialize)]
struct Callers {
    callers: Vec<Map<String, Value>>,
}

/// What a file of Unleash's says in our words.
fn imported(text: &str, revision: u64) -> Result<Model> {
    let imported = import::unleash(text)?;
    let mut model = Model::new("production", revision);
    model.cohorts = imported.cohorts.into_iter().map(|(name, cohort)| (name, Arc::new(cohort))).collect();
    model.features = imported.features.into_iter().map(|(key, feature)| (key, Arc::new(feature))).collect();
    Ok(model)
}

async fn import_next(State(plane): State<Arc<Plane>>, text: String) -> Result<(), (StatusCode, String)> {
    let revision = plane.feeds.current(&plane.environment).map_or(1, |snapshot| snapshot.revision() + 1);
    plane.publish(&imported(&text, revision).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?);
    Ok(())
}

async fn report(State(plane): State<Arc<Plane>>) -> Json<Value> {
    let snapshot = plane.feeds.current(&plane.environment);
    let all = snapshot.iter().flat_map(|snapshot| snapshot.features().map(|(key, _)| (key, json!(capabilities(snapshot, key)))));
    Json(json!(all.collect::<BTreeMap<_, _>>()))
}

async fn usage(State(plane): State<Arc<Plane>>) -> Json<BTreeMap<String, BTreeMap<String, u64>>> {
    let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (counted, count) in plane.usage.take() {
        *counts.entry(counted.feature.to_string()).or_default().entry(counted.variant.to_string()).or_default() += count;
    }
    Json(counts)
}

#[derive(Deserialize)]
struct Asked {
    revision: u64,
}

async fn acknowledged(State(plane): State<Arc<Plane>>, Json(Asked { revision }): Json<Asked>) -> Json<Value> {
    let said = plane.presence.acknowledged(&plane.environment, revision);
    Json(json!({"in_contact": said.in_contact, "acknowledged": said.acknowledged, "laggards": said.laggards}))
}

async fn change(State(plane): State<Arc<Plane>>, Json(model): Json<Model>) {
    plane.publish(&model);
}

async fn evaluate(State(plane): State<Arc<Plane>>, Json(asked): Json<Callers>) -> Result<Json<Vec<Value>>, StatusCode> {
    let snapshot = plane.feeds.current(&plane.environment).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let of = |caller: &Map<String, Value>| {
        let caller = Attributes(caller);
        let answers = snapshot.evaluate_all(&caller);
        answers.map(|answer| (answer.key().to_owned(), json!({"value": answer.value(), "variant": answer.variant(), "reason": answer.reason().as_str()}))).collect()
    };
    Ok(Json(asked.callers.iter().map(of).collect()))
}

/// Starting and stopping wait for threads, so they do it beside the runtime that answers here.
async fn switch(plane: Arc<Plane>, how: fn(&Plane) -> Result<()>) -> Result<(), (StatusCode, String)> {
    let done = tokio::task::spawn_blocking(move || how(&plane)).await;
    let failed = |error: String| (StatusCode::INTERNAL_SERVER_ERROR, error);
    done.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(format!("{error:#}")))
}

fn stop(plane: &Plane) -> Result<()> {
    plane.stop();
    Ok(())
}

fn restart(plane: &Plane) -> Result<()> {
    plane.stop();
    plane.start()
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("usage: plane FILE")?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("`{path}` cannot be read"))?;
    let model = serde_json::from_str::<Model>(&text);
    let model = model.or_else(|error| imported(&text, 1).with_context(|| format!("`{path}` is not a model either: {error}")))?;
    // the port is chosen once, and is the same after a restart
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let plane = Arc::new(Plane {
        environment: model.environment.as_str().into(),
        feeds: Arc::default(),
        presence: Arc::default(),
        usage: Arc::default(),
        address,
        running: Mutex::default(),
    });
    plane.publish(&model);
    plane.start()?;

    let control = Router::new()
        .route("/change", post(change))
        .route("/import", post(import_next))
        .route("/evaluate", post(evaluate))
        .route("/capabilities", post(report))
        .route("/usage", post(usage))
        .route("/acknowledged", post(acknowledged))
        .route("/start", post(|State(plane)| switch(plane, Plane::start)))
        .route("/stop", post(|State(plane)| switch(plane, stop)))
        .route("/restart", post(|State(plane)| switch(plane, restart)))
        .layer(DefaultBodyLimit::disable())
        .with_state(plane);
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addresses = json!({"address": format!("http://{address}"), "control": format!("http://{}", listener.local_addr()?), "token": TOKEN, "forbidden": FORBIDDEN});
        println!("{addresses}");
        std::thread::spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(0)
        });
        Ok(axum::serve(listener, control).await?)
    })
}
