//! What a worker fetches and hands in over HTTP. Its credential is the token of its claim, and the queue judges it: an
//! attempt that was overtaken gets 409, changes nothing and leaves nothing. No API key opens these routes.

mod attempt;
mod recording;
mod result;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, put};

pub(crate) use attempt::Attempt;
pub(crate) use recording::respond as recording;
pub(crate) use result::{HandIn, Outcome, Report, body_limit, part, store};

use crate::state::AppState;

pub(crate) fn router(state: &AppState) -> Router<AppState> {
    let body = DefaultBodyLimit::max(result::body_limit(state));
    Router::new()
        .route("/internal/v1/tasks/{id}/audio", get(recording::send))
        .route(
            "/internal/v1/tasks/{id}/result",
            put(result::receive).layer(body),
        )
}
