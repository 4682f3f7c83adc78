//! `GET /internal/v1/transcriptions`: what has changed since a number, in pages.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::is_origin;
use super::item::item;
use crate::db;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Json, Query};
use crate::state::AppState;
use crate::transcriptions::view;

const MOST: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    origin: String,
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    #[serde(default)]
    active: bool,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Json<Value>> {
    let whole_release = wanted.origin.strip_suffix('/');
    // A namespace stands in for what is left open.
    let fits = match whole_release {
        Some(release) => is_origin(&format!("{release}/x")),
        None => is_origin(&wanted.origin),
    };
    if !fits {
        let detail = "`origin` must be RELEASE/NAMESPACE, or RELEASE/ for all of them";
        return Err(ApiError::new(Code::ParameterInvalid, detail));
    }
    let changes = state
        .db
        .changes(db::Wanted {
            origin: &wanted.origin,
            after: wanted.after,
            limit: wanted.limit.unwrap_or(MOST).min(MOST),
            active: wanted.active,
        })
        .await?;
    let next = changes.next;
    let mut items: Vec<(u64, Value)> = view(&state, changes.rows)
        .await
        .iter()
        .map(|shown| {
            let seq = shown
                .row
                .operated
                .as_ref()
                .map_or(0, |operated| operated.seq);
            (seq, item(&state, shown))
        })
        .collect();
    // Their owner still waits for them.
    for (id, origin, seq) in changes.removed {
        let error = json!({"code": "deleted", "kind": "cancelled", "message": "the transcription was deleted"});
        let item =
            json!({"id": id, "origin": origin, "seq": seq, "state": "cancelled", "error": error});
        items.push((seq, item));
    }
    items.sort_by_key(|(seq, _)| *seq);
    let items: Vec<Value> = items.into_iter().map(|(_, item)| item).collect();
    Ok(Json(json!({"items": items, "next": next})))
}
