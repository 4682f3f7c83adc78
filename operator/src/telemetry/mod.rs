//! What the process shows of itself: logs, metrics, and whether its loops still turn.

mod health;
pub mod names;

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

pub use health::{Pulse, serve};

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// One recorder a process, however many operators a test runs in it.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    let start = || {
        let handle = PrometheusBuilder::new()
            .set_buckets(names::BUCKETS)
            .ok()?
            .install_recorder()
            .inspect_err(|cause| tracing::error!(%cause, "metrics cannot be recorded"))
            .ok();
        names::describe();
        handle
    };
    RECORDER.get_or_init(start).as_ref()
}

/// Logs to standard error; JSON, a line each, unless somebody reads them at a terminal.
pub fn log(plain: bool) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,kube_client=warn"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if plain {
        logs.init();
    } else {
        logs.json().init();
    }
}
