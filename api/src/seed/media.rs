//! `GET /media/audios/{name}`: a recording for the worker that holds its claim. The first system served its whole folder to
//! everyone; here there is no folder, only names that a live claim token opens.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::{SeedError, find};
use crate::error::Code;
use crate::extract::Path;
use crate::internal::{Attempt, recording};
use crate::state::AppState;

/// The name is the integer id, with or without an extension.
pub(super) async fn send(
    State(state): State<AppState>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, SeedError> {
    // Without a token every path answers alike, so that nobody can ask which exist. The id is not looked at before.
    Attempt::of("0", &headers)?;
    let name = path
        .strip_prefix("audios/")
        .filter(|name| !name.is_empty() && !name.contains('/'));
    let nothing = || SeedError::new(Code::NotFound, "there is nothing here");
    let name = name.ok_or_else(nothing)?;
    let id = name.split_once('.').map_or(name, |(id, _)| id);
    let row = find(&state, id).await.map_err(|_| nothing())?;
    Attempt::of(&row.id, &headers)?.verify_live(&state).await?;
    Ok(recording(&state, &row).await?)
}
