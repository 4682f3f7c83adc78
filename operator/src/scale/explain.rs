//! `wtt-operator explain`: takes what `kubectl get wp -o json` printed and works each last decision out again.

use std::fmt::Write;

use crds::WorkerPool;
use serde_json::Value;

use super::read_record;

/// Why what was given cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum Unexplained {
    #[error("this is no JSON; give what `kubectl get wp -o json` prints")]
    NotJson(#[source] serde_json::Error),
    #[error("item {0} is no WorkerPool; give what `kubectl get wp -o json` prints")]
    NotAPool(usize, #[source] serde_json::Error),
}

/// The text, and whether each recorded number is what comes out now.
pub fn explain(json: &str) -> Result<(String, bool), Unexplained> {
    let given: Value = serde_json::from_str(json).map_err(Unexplained::NotJson)?;
    let items = match given.get("items").and_then(Value::as_array) {
        Some(items) => items.clone(),
        None => vec![given],
    };
    let mut text = String::new();
    let mut same = true;
    for (number, item) in items.into_iter().enumerate() {
        let pool: WorkerPool =
            serde_json::from_value(item).map_err(|error| Unexplained::NotAPool(number, error))?;
        same &= one(&pool, &mut text);
    }
    Ok((text, same))
}

fn one(pool: &WorkerPool, text: &mut String) -> bool {
    let name = pool.metadata.name.as_deref().unwrap_or("?");
    let namespace = pool.metadata.namespace.as_deref().unwrap_or("?");
    let mut line = |written: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{written}");
    };
    line(format!("{namespace}/{name}"));
    let Some(recorded) = pool
        .status
        .as_ref()
        .and_then(|status| status.last_decision.as_ref())
    else {
        line("  no decision yet".to_owned());
        return true;
    };
    let decision = match read_record(&recorded.inputs) {
        Ok(decision) => decision,
        Err(error) => {
            line(format!("  its inputs cannot be read: {error}"));
            return false;
        }
    };
    let i = &decision.inputs;
    if let Some(when) = &recorded.observed_at {
        line(format!("  decided      {}", when.0));
    }
    if i.readable == 0 {
        line("  queue        could not be read".to_owned());
    } else {
        let s = |ms: i64| ms as f64 / 1000.0;
        line(format!(
            "  queue        {} queued ({:.0} s of one worker), {} running on {} workers ({:.0} s left, {:.0} s within the target)",
            i.queued,
            s(i.queued_ms),
            i.running,
            i.busy,
            s(i.running_ms),
            s(i.bound_ms)
        ));
    }
    line(format!(
        "  workers      {} asked for, {} ready, {} starting; a start takes {} s{}",
        i.replicas,
        i.ready,
        i.starting,
        i.cold_start_ms / 1000,
        if i.rollout == 1 {
            "; a rollout is going on"
        } else {
            ""
        }
    ));
    if i.queued > 0 && i.replicas > 0 {
        line(format!(
            "  without more {} s until what waits is done; {} are free before another one could begin, and leave {} s of it",
            i.alone_ms / 1000,
            i.free,
            i.rest_ms / 1000
        ));
    }
    line(format!(
        "  bounds       {} to {}, work to be done in {} s",
        i.min,
        i.max,
        i.target_ms / 1000
    ));
    line(format!(
        "  memory       quiet for {} s (zero after {} s), at most {} needed within {} s, watched for {} s",
        i.quiet_ms / 1000,
        i.zero_delay_ms / 1000,
        i.window_most,
        i.down_window_ms / 1000,
        i.watched_ms / 1000
    ));
    line(format!(
        "  decision     {} ({}): {}",
        decision.desired,
        decision.reason.as_str(),
        decision.message
    ));
    let same = decision.desired == recorded.desired && decision.reason.as_str() == recorded.reason;
    if !same {
        line(format!(
            "  DIFFERENT    the status says {} ({}); was it written by another version?",
            recorded.desired, recorded.reason
        ));
    }
    same
}
