//! Tasks whose worker died go back to the front of their queue; delayed ones become due. The script does all of it: this
//! only calls it often enough. The operator may call it too.

use crate::state::AppState;

/// One run.
pub async fn reap(state: AppState) -> anyhow::Result<()> {
    let report = state.queue.reap(&state.config.reap_options()).await?;
    let counts = [
        ("expired", report.expired),
        ("poisoned", report.poisoned),
        ("adopted", report.adopted),
        ("promoted", report.promoted),
        ("ghosts", report.ghosts),
        ("purged", report.purged),
    ];
    for (what, count) in counts {
        metrics::counter!("wtt_reaped_total", "what" => what).increment(count);
    }
    if report.amnesty {
        tracing::warn!(
            "nobody had reaped for longer than a lease; running tasks get one more lease"
        );
    }
    if report.expired + report.poisoned + report.adopted + report.ghosts > 0 {
        tracing::info!(
            expired = report.expired,
            poisoned = report.poisoned,
            adopted = report.adopted,
            ghosts = report.ghosts,
            "took tasks back from lost workers"
        );
    }
    Ok(())
}
