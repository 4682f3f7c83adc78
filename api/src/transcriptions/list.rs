//! `GET /api/v1/transcriptions`: newest first, by keyset; `running` and `queued` are told apart by Redis.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cursor::Cursor;
use super::view;
use crate::db::State as JobState;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Json, Query};
use crate::state::AppState;
use crate::transcriptions::View;

const MOST: usize = 100;
const USUAL: usize = 20;
/// Pages looked through for a state that only Redis knows, before the client is asked to come again.
const MOST_LOOKS: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    state: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(state): State<AppState>,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Response> {
    let limit = wanted.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::new(
            Code::ParameterInvalid,
            format!("`limit` must lie between 1 and {MOST}"),
        ));
    }
    let filter = wanted.state.as_deref().map(parse_state).transpose()?;
    let after = wanted.cursor.as_deref().map(Cursor::decode).transpose()?;
    let (found, next) = collect(&state, filter, after, limit).await?;
    let data: Vec<Value> = found.iter().map(View::to_json).collect();
    let mut body = json!({"object": "list", "data": data, "has_more": next.is_some()});
    let Some(next) = next else {
        return Ok(Json(body).into_response());
    };
    let cursor = next.encode();
    body["next_cursor"] = cursor.as_str().into();
    let filter = filter
        .map(|state| format!("&state={}", state.as_str()))
        .unwrap_or_default();
    let link =
        format!("</api/v1/transcriptions?limit={limit}{filter}&cursor={cursor}>; rel=\"next\"");
    Ok(([(header::LINK, link)], Json(body)).into_response())
}

fn parse_state(text: &str) -> ApiResult<JobState> {
    JobState::parse(text).ok_or_else(|| {
        let known: Vec<&str> = JobState::ALL.iter().map(|state| state.as_str()).collect();
        ApiError::new(
            Code::ParameterInvalid,
            format!("`state` must be one of {}", known.join(", ")),
        )
    })
}

/// Up to `limit` rows that show the wanted state, and where to go on if there may be more.
async fn collect(
    state: &AppState,
    filter: Option<JobState>,
    mut after: Option<Cursor>,
    limit: usize,
) -> ApiResult<(Vec<View>, Option<Cursor>)> {
    // Redis tells queued from running; the database holds both as queued.
    let stored = filter.map(|state| {
        if state == JobState::Running {
            JobState::Queued
        } else {
            state
        }
    });
    let mut found: Vec<View> = Vec::new();
    for _ in 0..MOST_LOOKS {
        let place = after
            .as_ref()
            .map(|cursor| (cursor.created_at_ms, cursor.id.as_str()));
        let page = state.db.list(place, stored, MOST).await?;
        for shown in view(state, page.rows).await {
            if found.len() == limit {
                let last = found.last().map(|shown| Cursor::after(&shown.row));
                // Rows that were passed over between the last shown one and here need no second look.
                return Ok((found, after.or(last)));
            }
            let here = Cursor::after(&shown.row);
            if filter.is_none_or(|wanted| shown.state() == wanted) {
                found.push(shown);
            }
            after = Some(here);
        }
        let Some((created_at_ms, id)) = page.end else {
            return Ok((found, None));
        };
        after = Some(Cursor { created_at_ms, id });
    }
    Ok((found, after))
}
