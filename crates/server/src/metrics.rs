//! `/metrics` for Prometheus: counts since the start, and sizes now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::http::Api;

/// A histogram as it stands.
#[derive(Debug)]
struct Histogram {
    buckets: Vec<(f64, u64)>,
    sum: f64,
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = self.buckets.iter().map(|(_, n)| n).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum, count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

pub async fn metrics(Extract(api): Extract<Arc<Api>>) -> Response {
    let counters = &api.engine.counters;
    let state = api.engine.state.load();
    let read = |counter: &AtomicU64| ConstCounter::new(counter.load(Ordering::Relaxed));
    let size = |n: usize| ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX));
    let mut registry = Registry::with_prefix("greenroom");
    registry.register("commands", "Commands that reached the writer", read(&counters.commands));
    registry.register("refusals", "Commands that were refused", read(&counters.refusals));
    registry.register("batches", "Flushes of the ledger", read(&counters.batches));
    registry.register("events", "Events appended", read(&counters.events));
    registry.register("http_commands", "Commands received over HTTP", read(&counters.http));
    registry.register_with_unit("commit", "Time spent in flushes", Unit::Other("microseconds".to_owned()), read(&counters.commit_micros));
    registry.register("ledger_seq", "Seq of the last durable event", ConstGauge::new(i64::try_from(state.seq).unwrap_or(i64::MAX)));
    registry.register("placements", "Placements known", size(state.placements.len()));
    registry.register("builds", "Builds in memory", size(state.builds.len()));
    registry.register("rollouts_active", "Rollouts that hold a placement", size(state.active.len()));
    registry.register("rollouts_waiting", "Rollouts that wait", size(state.waiting.len()));
    registry.register("releases", "Releases in memory", size(state.releases.len()));
    registry.register("holds", "Holds that stand", size(state.holds.len()));
    registry.register(
        "ledger_chain_sound",
        "What the last look at the whole chain found: 1 sound, 0 broken, -1 not looked yet",
        ConstGauge::new(counters.chain_sound.load(Ordering::Relaxed)),
    );
    registry.register("evaluations_uncounted", "Evaluations that were reported and not counted, for want of room", ConstCounter::new(api.engine.usage.dropped()));
    registry.register_with_unit(
        "writer_stall",
        "What the writer does for a batch beside its flush",
        Unit::Seconds,
        Histogram { buckets: counters.stalls.buckets(), sum: counters.stalls.sum() },
    );
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
