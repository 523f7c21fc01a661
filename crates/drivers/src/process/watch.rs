//! The readiness probe and what it said so far.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use greenroom_domain::deployment::service::Probe;
use greenroom_domain::time::Span;

use super::step::Probed;
use crate::table::Identity;

/// How long one probe may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon to ask again before the first answer.
const EAGER: Duration = Duration::from_millis(50);

/// A client for questions to this machine: no proxy, no redirects, a fresh connection each time.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0).timeout(PATIENCE).build()
}

/// Whether `listen` answers 2xx, else why not.
pub(crate) async fn probe(client: &reqwest::Client, listen: SocketAddr, path: &str) -> Result<(), String> {
    let url = format!("http://{listen}/{}", path.trim_start_matches('/'));
    match client.get(url).send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("status {}", answer.status().as_u16())),
        Err(e) if e.is_timeout() => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        Err(e) if e.is_connect() => Err("connection refused".into()),
        Err(e) => Err(root_cause(&e)),
    }
}

pub(crate) fn root_cause(e: &dyn std::error::Error) -> String {
    let mut cause = e;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Asks one process and remembers; another process starts a new memory.
pub(crate) struct Watch {
    client: reqwest::Client,
    probe: Probe,
    process: Option<Identity>,
    passed: u32,
    failed: u32,
    asked: bool,
    ready_since: Option<Instant>,
    last_failure: Option<String>,
    due: Instant,
}

impl Watch {
    pub(crate) fn new(client: reqwest::Client, probe: Probe) -> Self {
        Self { client, probe, process: None, passed: 0, failed: 0, asked: false, ready_since: None, last_failure: None, due: Instant::now() }
    }

    pub(crate) fn probed(&self) -> Probed {
        Probed {
            passed_in_a_row: self.passed,
            failed_in_a_row: self.failed,
            asked: self.asked,
            ready_for: self.ready_since.map(|t| Span(i64::try_from(t.elapsed().as_micros()).unwrap_or(i64::MAX))),
            last_failure: self.last_failure.clone(),
        }
    }

    /// Counts stability from now on.
    pub(crate) fn start_over(&mut self) {
        (self.failed, self.asked, self.ready_since, self.due) = (0, false, None, Instant::now());
    }

    /// Asks if it is time.
    pub(crate) async fn look(&mut self, process: Identity, listen: SocketAddr) {
        if self.process.as_ref() != Some(&process) {
            *self = Self::new(self.client.clone(), self.probe.clone());
            self.process = Some(process);
        }
        if Instant::now() < self.due {
            return;
        }
        let every = self.probe.every.as_std();
        self.asked = true;
        match probe(&self.client, listen, &self.probe.http).await {
            Ok(()) => {
                (self.passed, self.failed) = (self.passed.saturating_add(1), 0);
                self.ready_since.get_or_insert_with(Instant::now);
                self.due = Instant::now() + every;
            }
            Err(why) => {
                self.due = Instant::now() + if self.ready_since.is_some() { every } else { every.min(EAGER) };
                (self.passed, self.failed) = (0, self.failed.saturating_add(1));
                self.ready_since = None;
                self.last_failure = Some(why);
            }
        }
    }
}
