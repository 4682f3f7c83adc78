//! Prometheus on the admin port. Counters are kept where things happen; what Redis or the database knows is asked at each
//! scrape, so that it is true for every replica. Metrics never decide anything.

pub(crate) mod names;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;

use crate::state::AppState;

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// `/metrics`. Also starts the recorder.
pub(crate) fn router() -> Router<AppState> {
    recorder();
    Router::new().route("/metrics", get(scrape))
}

/// One recorder per process, however many services a test runs in it.
fn recorder() -> Option<&'static PrometheusHandle> {
    let start = || {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in names::BUCKETS {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
                .ok()?;
        }
        let handle = builder.install_recorder().inspect_err(|error| {
            tracing::error!(cause = %error, "metrics cannot be recorded");
        });
        names::describe();
        gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle.ok()
    };
    RECORDER.get_or_init(start).as_ref()
}

/// Folds what was measured into the buckets: where nobody scrapes, single values would pile up for ever.
pub(crate) async fn upkeep(_: AppState) -> anyhow::Result<()> {
    if let Some(recorder) = recorder() {
        recorder.run_upkeep();
    }
    Ok(())
}

async fn scrape(State(state): State<AppState>) -> Response {
    let Some(recorder) = recorder() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let (queue, database) = tokio::join!(observe_queues(&state), observe_database(&state));
    gauge!(names::QUEUE_UP).set(f64::from(u8::from(queue.is_ok())));
    if let Err(cause) = queue {
        tracing::warn!(%cause, "the queue could not be observed for metrics");
    }
    if let Err(cause) = database {
        tracing::warn!(%cause, "the database could not be observed for metrics");
    }
    let streams: usize = state
        .streams
        .lock()
        .map_or(0, |streams| streams.values().sum());
    gauge!(names::SSE_STREAMS).set(streams as f64);
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        recorder.render(),
    )
        .into_response()
}

async fn observe_queues(state: &AppState) -> Result<(), queue::Error> {
    for queue in state.models.queues() {
        let seen = state.queue.observe(&queue).await?;
        let name = queue.as_str().to_owned();
        let depths = [
            ("alone", seen.depth.alone),
            ("high", seen.depth.high),
            ("normal", seen.depth.normal),
            ("low", seen.depth.low),
            ("running", seen.in_flight_count),
        ];
        for (list, count) in depths {
            gauge!(names::QUEUE_JOBS, "queue" => name.clone(), "state" => list).set(count as f64);
        }
        let backlog_ms: u64 = seen.work_ms.values().sum();
        gauge!(names::QUEUE_BACKLOG, "queue" => name.clone()).set(backlog_ms as f64 / 1000.0);
        gauge!(names::QUEUE_OLDEST, "queue" => name)
            .set(seen.oldest_wait_ms.unwrap_or(0) as f64 / 1000.0);
        gauge!(names::QUEUE_JOBS, "queue" => "all", "state" => "delayed").set(seen.delayed as f64);
        gauge!(names::QUEUE_JOBS, "queue" => "all", "state" => "parked").set(seen.parked as f64);
        gauge!(names::QUEUE_PAUSED).set(f64::from(u8::from(seen.paused)));
        for word in ["idle", "busy", "draining"] {
            let count = seen
                .workers
                .iter()
                .filter(|worker| worker.state == word)
                .count();
            gauge!(names::WORKERS, "state" => word).set(count as f64);
        }
    }
    for (transition, count) in state.queue.stats().await? {
        counter!(names::QUEUE_EVENTS, "transition" => transition).absolute(count);
    }
    Ok(())
}

async fn observe_database(state: &AppState) -> Result<(), crate::db::Error> {
    let sums = state.db.sums().await?;
    for known in crate::db::State::ALL {
        let (count, _) = sums
            .iter()
            .find(|sum| sum.0 == known)
            .map_or((0, 0), |sum| (sum.1, sum.2));
        gauge!(names::JOBS, "state" => known.as_str()).set(count as f64);
    }
    let bytes: u64 = sums.iter().map(|sum| sum.2).sum();
    gauge!(names::STORAGE, "kind" => "source").set(bytes as f64);
    Ok(())
}

/// Adds milliseconds to a counter of whole seconds; what is left of a second is kept for the next call.
pub(crate) fn count_ms(name: &'static str, model: &str, ms: u64) {
    static LEFT: Mutex<BTreeMap<(&'static str, String), u64>> = Mutex::new(BTreeMap::new());
    let mut left = LEFT.lock();
    let left_ms = left.entry((name, model.to_owned())).or_default();
    *left_ms += ms;
    counter!(name, "model" => model.to_owned()).increment(*left_ms / 1000);
    *left_ms %= 1000;
}

/// Middleware: counts answers and measures them, by matched route only (a path from a client would never end).
pub(crate) async fn count_request(request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", |path| path.as_str())
        .to_owned();
    let method = known_method(request.method().as_str());
    let asked = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    counter!(names::HTTP_REQUESTS, "method" => method, "route" => route.clone(), "status" => status).increment(1);
    histogram!(names::HTTP_SECONDS, "method" => method, "route" => route)
        .record(asked.elapsed().as_secs_f64());
    response
}

fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    KNOWN
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}
