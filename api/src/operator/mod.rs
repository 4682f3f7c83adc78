//! `/internal/v1/transcriptions`: what a Kubernetes operator asks of the service. It never writes a task: it says what is wanted,
//! and fetching, queueing, deadlines and results are the service's own. Its key opens these routes and no others.

mod ask;
mod cancel;
mod feed;
mod item;
mod put;
mod suspend;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, put as put_to};

pub(crate) use cancel::end;
pub(crate) use suspend::follow;

use crate::auth;
use crate::db::Row;
use crate::error::{ApiError, ApiResult, Code};
use crate::state::AppState;
use crate::transcriptions::row::find;

pub(crate) fn router(state: &AppState) -> Router<AppState> {
    Router::new()
        .route("/internal/v1/transcriptions", get(feed::list))
        .route(
            "/internal/v1/transcriptions/{id}",
            put_to(put::put).get(item::show).delete(cancel::cancel),
        )
        .route(
            "/internal/v1/transcriptions/{id}/suspended",
            put_to(suspend::suspend),
        )
        .route_layer(from_fn_with_state(state.clone(), auth::require_operator))
}

/// A row that an operator asked for; uploads are not its business.
async fn operated(state: &AppState, id: &str) -> ApiResult<Row> {
    let row = find(state, id).await?;
    match row.operated {
        Some(_) => Ok(row),
        None => Err(ApiError::new(
            Code::TranscriptionUnknown,
            format!("there is no transcription {id:?}"),
        )),
    }
}
