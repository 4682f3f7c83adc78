//! `GET /api/v1/transcriptions/{id}`: the job object, with a tag so that polling an unchanged one costs little.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::conditional::{etag_of, is_known, put};
use super::row::find;
use super::view_one;
use crate::error::ApiResult;
use crate::extract::Path;
use crate::state::AppState;

pub(crate) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let row = find(&state, &id).await?;
    let shown = view_one(&state, row).await;
    let body = shown.to_json().to_string();
    let etag = etag_of(body.as_bytes());
    let mut response = if is_known(&headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    let answer = response.headers_mut();
    put(answer, header::ETAG, &etag);
    put(answer, header::CACHE_CONTROL, "private, no-cache");
    if !shown.state().is_final() {
        put(answer, header::RETRY_AFTER, "1");
    }
    Ok(response)
}
