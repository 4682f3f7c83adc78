//! Looks for tasks that fell between the queue's keys. Expected to find nothing; what it finds is a defect worth a look.

use std::time::Duration;

use crate::state::AppState;

pub(super) const INTERVAL: Duration = Duration::from_secs(600);

/// One run.
pub async fn check(state: AppState) -> anyhow::Result<()> {
    let report = state.queue.fsck().await?;
    let findings = [
        ("lost", report.lost),
        ("ghosts", report.ghosts),
        ("unleased", report.unleased),
        ("work_drift_ms", report.work_drift_ms),
        ("inflight_drift", report.inflight_drift),
    ];
    for (finding, count) in findings {
        metrics::gauge!("wtt_queue_fsck_findings", "finding" => finding).set(count as f64);
    }
    if findings.iter().any(|(_, count)| *count > 0) {
        tracing::warn!(?report, "the check of the queue found something to mend");
    }
    Ok(())
}
