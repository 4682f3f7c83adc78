//! `GET /transcribe/metrics/`: the JSON numbers of the first system. Prometheus has its own port.

use axum::extract::State;
use serde_json::{Value, json};

use super::SeedError;
use crate::extract::Json;
use crate::state::AppState;

pub(super) async fn metrics(State(state): State<AppState>) -> Result<Json<Value>, SeedError> {
    let info = state.queue.server_info().await?;
    Ok(Json(json!({
        "queue_pending": info.queue_pending,
        "queue_processing": info.queue_processing,
        "queue_failed": info.queue_failed,
        "processing_timed": info.processing_timed,
        "subscribers_task_new": info.subscribers_task_new,
        "redis_connected_clients": info.redis_connected_clients,
        "redis_uptime_seconds": info.redis_uptime_seconds,
        "redis_used_memory_human": info.redis_used_memory_human,
    })))
}
