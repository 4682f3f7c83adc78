//! `/api/v1/transcriptions`: what a client can do with a transcription, one module per deed.
//! Requests and answers only; statements are `db`'s, transitions are the queue's.

mod actions;
mod conditional;
mod create;
mod cursor;
mod delete;
pub(crate) mod disposition;
mod enqueue;
pub(crate) mod files;
mod form;
mod list;
mod range;
pub(crate) mod row;
mod show;
mod view;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::state::AppState;

pub(crate) use actions::end_row;
pub(crate) use delete::remove;
pub(crate) use enqueue::{Submitted, resubmit, start, submit, task_id, task_of};
pub(crate) use view::{View, view, view_one};

/// Room for the other parts and the boundaries around a recording of the largest size.
pub(crate) const MULTIPART_OVERHEAD_BYTES: u64 = 1024 * 1024;

pub(crate) fn router(state: &AppState) -> Router<AppState> {
    let body = state
        .config
        .limits
        .max_upload_bytes
        .saturating_add(MULTIPART_OVERHEAD_BYTES);
    let body = DefaultBodyLimit::max(usize::try_from(body).unwrap_or(usize::MAX));
    Router::new()
        .route(
            "/api/v1/transcriptions",
            post(create::create).layer(body).get(list::list),
        )
        .route(
            "/api/v1/transcriptions/{id}",
            get(show::show).delete(delete::delete),
        )
        .route("/api/v1/transcriptions/{id}/cancel", post(actions::cancel))
        .route("/api/v1/transcriptions/{id}/retry", post(actions::retry))
        .route("/api/v1/transcriptions/{id}/files", get(files::list_files))
        .route(
            "/api/v1/transcriptions/{id}/files/{name}",
            get(files::get_file),
        )
}
