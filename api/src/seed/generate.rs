//! `POST /transcribe/generate/`: starts an uploaded recording. Doing it twice starts it once.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{SeedError, find};
use crate::db::{self, Row};
use crate::error::{ApiError, Code};
use crate::extract::{Json, Multipart};
use crate::metrics::names;
use crate::state::{AppState, now_ms};
use crate::transcriptions;

pub(super) async fn generate(State(state): State<AppState>, request: Request) -> Response {
    match start(&state, request).await {
        Ok(id) => Json(json!({
            "message": "Transcription queued. Check status endpoint for updates.",
            "audio_midi_id": id,
        }))
        .into_response(),
        // A form that cannot be read is a form without the id.
        Err(error) if error.0.code == Code::ParameterInvalid => {
            error.with_status(StatusCode::BAD_REQUEST)
        }
        Err(error) => error.into_response(),
    }
}

async fn start(state: &AppState, request: Request) -> Result<String, SeedError> {
    let Some(id) = audio_midi_id(state, request).await? else {
        return Err(SeedError::new(
            Code::ParameterInvalid,
            "audio_midi_id is required",
        ));
    };
    let row = find(state, &id).await?;
    if row.state == db::State::Created {
        // From here on the client may hang up: the row changes and its task comes to be together, or not at all.
        tokio::spawn(commit(state.clone(), row))
            .await
            .map_err(ApiError::internal)??;
    }
    Ok(id)
}

/// Row, then task; takes the row back where the queue refuses.
async fn commit(state: AppState, row: Row) -> Result<(), SeedError> {
    if !state.db.set_queued(&row.id, now_ms()).await? {
        return Ok(());
    }
    let queued = state
        .db
        .get(&row.id)
        .await?
        .ok_or_else(SeedError::unknown)?;
    if let Err(refused) = transcriptions::submit(&state, &queued).await {
        state
            .db
            .set_created(&row.id, now_ms(), row.expires_at_ms)
            .await?;
        return Err(refused.into());
    }
    names::count_submitted("seed", &row.model);
    if let Ok(task) = queue::TaskId::parse(row.id.as_str()) {
        state.hub.look(&task);
    }
    state.changed.notify_waiters();
    Ok(())
}

/// From a form of either kind, or from JSON.
async fn audio_midi_id(state: &AppState, request: Request) -> Result<Option<String>, ApiError> {
    const NAME: &str = "audio_midi_id";
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    if content_type.starts_with("multipart/form-data") {
        let mut form = Multipart::from_request(request, state).await?.0;
        while let Some(field) = form.next_field().await? {
            if field.name() == Some(NAME) {
                return Ok(Some(field.text().await?));
            }
        }
        return Ok(None);
    }
    let body = Bytes::from_request(request, state).await?;
    if content_type.starts_with("application/json") {
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        return Ok(match &body[NAME] {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        });
    }
    let mut pairs = url::form_urlencoded::parse(&body);
    Ok(pairs
        .find(|(name, _)| name == NAME)
        .map(|(_, id)| id.into_owned()))
}
