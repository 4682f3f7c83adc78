//! The recording, to the worker that holds its task.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::Attempt;
use crate::db::Row;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::Path;
use crate::objects::ObjectKey;
use crate::state::AppState;

pub(super) async fn send(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let attempt = Attempt::of(&id, &headers)?;
    attempt.verify_live(&state).await?;
    let row = state
        .db
        .get(attempt.id.as_str())
        .await?
        .ok_or_else(|| attempt.unknown())?;
    respond(&state, &row).await
}

/// Whole: a worker that was cut off starts again.
pub(crate) async fn respond(state: &AppState, row: &Row) -> ApiResult<Response> {
    let stream = match state.objects.stream(ObjectKey::Audio(&row.id), None).await {
        Ok(stream) => stream,
        Err(error) if error.is_not_found() => {
            tracing::error!(task.id = %row.id, "the recording of an unfinished transcription is missing");
            return Err(ApiError::new(
                Code::FileUnknown,
                format!("the recording of {} is gone", row.id),
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let headers = [
        (header::CONTENT_TYPE, row.media_type.clone()),
        (header::CONTENT_LENGTH, row.bytes.to_string()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}
