//! `POST /transcribe/upload/`: stores the recording and nothing more; `generate` starts it.

use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::SeedError;
use crate::db;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Json, Multipart};
use crate::metrics::names;
use crate::state::AppState;
use crate::transcriptions::row::{Choice, new_id, new_row};
use crate::upload;

/// An upload that nobody starts goes after a day.
const KEPT_MS: u64 = 24 * 3600 * 1000;

pub(super) async fn upload(
    State(state): State<AppState>,
    headers: HeaderMap,
    multipart: Result<Multipart, ApiError>,
) -> Result<Json<Value>, SeedError> {
    upload::refuse_announced(&state, &headers).inspect_err(names::count_rejected)?;
    let Ok(mut multipart) = multipart else {
        return Err(not_a_file().await);
    };
    match store(&state, &mut multipart).await {
        Ok(Some(row)) => Ok(Json(json!({
            "message": "File uploaded successfully!",
            "audio_filename": row.filename,
            "audio_midi_id": row.seed_id,
        }))),
        Ok(None) => Err(not_a_file().await),
        Err(error) => {
            names::count_rejected(&error);
            Err(error.into())
        }
    }
}

pub(super) async fn not_a_file() -> SeedError {
    SeedError::new(Code::AudioMissing, "Failed to upload file")
}

/// None: there is no part `audio`.
async fn store(state: &AppState, multipart: &mut Multipart) -> ApiResult<Option<db::Row>> {
    while let Some(field) = multipart.0.next_field().await? {
        if field.name() != Some("audio") {
            continue;
        }
        let received = upload::receive(state, &new_id(), field).await?;
        let inspected = upload::inspect(state, &received).await?;
        let mut row = new_row(
            state,
            db::State::Created,
            &received,
            &inspected,
            Choice::default_of(state),
        );
        row.expires_at_ms = Some(row.created_at_ms + KEPT_MS);
        let (state, inserted) = (state.clone(), row.clone());
        let insert = async move { upload::insert(&state, &inserted, None, received).await };
        tokio::spawn(insert).await.map_err(ApiError::internal)??;
        return Ok(Some(row));
    }
    Ok(None)
}
