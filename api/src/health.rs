//! Whether the process lives, has started and can serve, each answered apart, so that a probe restarts or unroutes for the
//! right reason only. A full queue is not unready; a lost Redis is `degraded`: uploads are kept and queued when it is back.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::state::AppState;

/// A dependency that takes longer than this to answer is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// `/livez`, `/readyz`, `/startupz`.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/startupz", get(started))
}

/// The event loop answers; nothing else is asked, because a restart would mend nothing else.
async fn live(State(state): State<AppState>) -> Response {
    answer(
        StatusCode::OK,
        json!({ "status": "alive", "uptime_seconds": state.started_at.elapsed().as_secs() }),
    )
}

/// The port is bound after the migrations and before the loops, so an answer is the proof.
async fn started() -> Response {
    answer(StatusCode::OK, json!({ "status": "started" }))
}

/// 503 where a request would fail: database or objects away, or shutting down.
async fn ready(State(state): State<AppState>) -> Response {
    let (database, objects, queue) = tokio::join!(
        check(state.db.ping()),
        check(state.objects.ping()),
        check(state.queue.ping())
    );
    let stopping = state.shutdown.is_cancelled();
    let serves = !stopping && database.is_ok() && objects.is_ok();
    let (status, word) = match (serves, queue.is_ok()) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
        (true, false) => (StatusCode::OK, "degraded"),
        (true, true) => (StatusCode::OK, "ready"),
    };
    let body = json!({
        "status": word,
        "shutting_down": stopping,
        "checks": { "database": report(database, true), "objects": report(objects, true), "queue": report(queue, false) },
    });
    answer(status, body)
}

async fn check<E: std::fmt::Display>(
    ping: impl Future<Output = Result<(), E>>,
) -> Result<u64, &'static str> {
    let asked = std::time::Instant::now();
    match tokio::time::timeout(PATIENCE, ping).await {
        Ok(Ok(())) => Ok(u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX)),
        Ok(Err(error)) => {
            // The cause may name hosts and users: it is for the log, not for whoever can reach the port.
            tracing::warn!(cause = %error, "a dependency is not ready");
            Err("unavailable")
        }
        Err(_) => Err("no answer in time"),
    }
}

fn report(check: Result<u64, &'static str>, required: bool) -> Value {
    match check {
        Ok(took_ms) => json!({ "ok": true, "required": required, "took_ms": took_ms }),
        Err(reason) => json!({ "ok": false, "required": required, "reason": reason }),
    }
}

fn answer(status: StatusCode, body: Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
