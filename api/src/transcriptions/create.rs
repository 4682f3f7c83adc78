//! `POST /api/v1/transcriptions`: upload, look, row, task. The row comes before the task; what is refused leaves nothing.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::form::{Form, read_form};
use super::row::{new_id, new_row};
use super::{Submitted, submit, view_one};
use crate::auth::Principal;
use crate::db::{Row, State as JobState};
use crate::error::{ApiError, ApiResult};
use crate::extract::Multipart;
use crate::idempotency::{self, Held, Taken};
use crate::metrics::names;
use crate::objects::ObjectKey;
use crate::state::AppState;
use crate::transcriptions::View;
use crate::upload::{self, Received};

const LONGEST_WAIT_SECONDS: u64 = 60;
const POLL_SECONDS: u64 = 2;

pub(crate) async fn create(
    State(state): State<AppState>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    mut multipart: Multipart,
) -> ApiResult<Response> {
    let answer = match upload::refuse_announced(&state, &headers) {
        Ok(()) => accept(&state, &principal, &headers, &mut multipart).await,
        Err(error) => Err(error),
    };
    answer.inspect_err(names::count_rejected)
}

async fn accept(
    state: &AppState,
    principal: &Principal,
    headers: &HeaderMap,
    multipart: &mut Multipart,
) -> ApiResult<Response> {
    let held = match idempotency::key_of(headers)? {
        None => None,
        Some(key) => match idempotency::take(state, principal, key).await? {
            Taken::Ours(held) => Some(held),
            Taken::Answered {
                request_sha256,
                transcription_id,
                answer,
            } => {
                let form = read_form(state, multipart, None).await?;
                if form.request_sha256() != request_sha256 {
                    return Err(idempotency::reused());
                }
                let mut response = accepted(&transcription_id, answer);
                response
                    .headers_mut()
                    .insert("idempotent-replayed", HeaderValue::from_static("true"));
                return Ok(response);
            }
        },
    };
    let id = new_id();
    let mut form = read_form(state, multipart, Some(&id)).await?;
    let received = form.take_received()?;
    let inspected = upload::inspect(state, &received).await?;
    let row = new_row(
        state,
        JobState::Queued,
        &received,
        &inspected,
        form.choice.clone(),
    );
    // From here on the client may hang up: the row and its task come to be together, or not at all.
    let answer = tokio::spawn(commit(state.clone(), row, received, form, held))
        .await
        .map_err(ApiError::internal)??;
    match wanted_wait(headers) {
        Some(seconds) => wait_for_end(state, &id, answer, seconds).await,
        None => Ok(accepted(&id, answer)),
    }
}

/// Row, then task. Returns the job object.
async fn commit(
    state: AppState,
    row: Row,
    received: Received,
    form: Form,
    held: Option<Held>,
) -> ApiResult<String> {
    let answer = View {
        row: row.clone(),
        snapshot: None,
    }
    .to_json()
    .to_string();
    let answered = held
        .as_ref()
        .map(|held| held.answered(form.request_sha256(), &row.id, answer.clone()));
    upload::insert(&state, &row, answered.as_ref(), received).await?;
    if let Some(held) = held {
        held.done();
    }
    match submit(&state, &row).await {
        Ok(Submitted::Queued | Submitted::Later) => {}
        Err(refused) => match state.db.withdraw(&row.id).await {
            Ok(()) => {
                if let Err(error) = state.objects.delete(ObjectKey::Audio(&row.id)).await {
                    tracing::warn!(task.id = %row.id, cause = %error, "failed to delete a refused recording");
                }
                return Err(refused);
            }
            // The row stands, so the promise does: the reconciler will enqueue it.
            Err(error) => {
                tracing::warn!(task.id = %row.id, cause = %error, "failed to withdraw a refused row")
            }
        },
    }
    names::count_submitted("upload", &row.model);
    state.changed.notify_waiters();
    Ok(answer)
}

fn accepted(id: &str, answer: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::LOCATION, format!("/api/v1/transcriptions/{id}")),
        (header::RETRY_AFTER, POLL_SECONDS.to_string()),
    ];
    (StatusCode::ACCEPTED, headers, answer).into_response()
}

/// `Prefer: wait=N`, N seconds at most a minute.
fn wanted_wait(headers: &HeaderMap) -> Option<u64> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .find_map(|preference| {
            let (name, seconds) = preference.split_once('=')?;
            let seconds: u64 = seconds.trim().trim_matches('"').parse().ok()?;
            name.trim()
                .eq_ignore_ascii_case("wait")
                .then_some(seconds.min(LONGEST_WAIT_SECONDS))
        })
}

/// 200 with the finished job if it ends in time, else the 202 that it would have been at once.
async fn wait_for_end(
    state: &AppState,
    id: &str,
    answer: String,
    seconds: u64,
) -> ApiResult<Response> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let applied = [("preference-applied", format!("wait={seconds}"))];
    loop {
        let changed = state.changed.notified();
        let Some(row) = state.db.get(id).await? else {
            break;
        };
        if row.state.is_final() {
            let body = view_one(state, row).await.to_json().to_string();
            let headers = [(header::CONTENT_TYPE, "application/json".to_owned())];
            return Ok((applied, headers, body).into_response());
        }
        let pause = tokio::time::sleep_until(deadline.min(Instant::now() + Duration::from_secs(1)));
        tokio::select! {
            () = changed => {}
            () = pause => {}
            () = state.shutdown.cancelled() => break,
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    Ok((applied, accepted(id, answer)).into_response())
}
