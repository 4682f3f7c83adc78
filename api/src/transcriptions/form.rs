//! The multipart body of a new transcription: `audio` (the file) and `options` (JSON), in any order, each at most once.
//! What can be refused early is: options that come first are checked before the recording is read.

use std::collections::BTreeMap;

use axum::extract::multipart::Field;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::row::Choice;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::Multipart;
use crate::problems;
use crate::state::AppState;
use crate::upload::{self, Received};

const MOST_LABELS: usize = 16;
const LONGEST_LABEL_BYTES: usize = 64;

/// The `options` part.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    model: Option<String>,
    options: Map<String, Value>,
    labels: BTreeMap<String, String>,
}

/// A body that has been read.
pub(crate) struct Form {
    pub(crate) choice: Choice,
    received: Option<Received>,
    audio_sha256: String,
}

impl Form {
    pub(crate) fn take_received(&mut self) -> ApiResult<Received> {
        self.received.take().ok_or_else(audio_missing)
    }

    /// What must be the same for a request to be the same.
    pub(crate) fn request_sha256(&self) -> String {
        let said = serde_json::json!([
            self.audio_sha256,
            self.choice.model.name,
            self.choice.options,
            self.choice.labels,
        ]);
        hex::encode(Sha256::digest(said.to_string().as_bytes()))
    }
}

/// Reads the whole body; the recording is stored under `id`, or only hashed where there is none.
pub(crate) async fn read_form(
    state: &AppState,
    multipart: &mut Multipart,
    id: Option<&str>,
) -> ApiResult<Form> {
    let (mut choice, mut received, mut audio_sha256) = (None, None, None);
    let mut parts = 0;
    while let Some(field) = multipart.0.next_field().await? {
        parts += 1;
        if parts > state.config.limits.max_parts {
            let detail = format!(
                "the body has more than {} parts",
                state.config.limits.max_parts
            );
            return Err(ApiError::new(Code::MultipartMalformed, detail));
        }
        match field.name().unwrap_or_default() {
            "audio" if audio_sha256.is_some() => return Err(twice("audio")),
            "audio" => match id {
                Some(id) => {
                    let stored = upload::receive(state, id, field).await?;
                    audio_sha256 = Some(stored.sha256.clone());
                    received = Some(stored);
                }
                None => audio_sha256 = Some(upload::hash_only(state, field).await?),
            },
            "options" if choice.is_some() => return Err(twice("options")),
            "options" => choice = Some(choose(state, &read_small(state, field).await?)?),
            other => {
                let detail = format!(
                    "part {other:?} is not known; send `audio` (the file) and `options` (JSON)"
                );
                return Err(ApiError::new(Code::PartUnknown, detail));
            }
        }
    }
    let audio_sha256 = audio_sha256.ok_or_else(audio_missing)?;
    let choice = choice.unwrap_or_else(|| Choice::default_of(state));
    Ok(Form {
        choice,
        received,
        audio_sha256,
    })
}

fn audio_missing() -> ApiError {
    ApiError::new(
        Code::AudioMissing,
        "send the recording as the part `audio`, for example `curl -F audio=@take3.flac`",
    )
}

fn twice(part: &str) -> ApiError {
    ApiError::new(
        Code::MultipartMalformed,
        format!("the part `{part}` comes twice"),
    )
}

async fn read_small(state: &AppState, mut field: Field<'_>) -> ApiResult<Vec<u8>> {
    let limit_bytes = state.config.limits.max_json_bytes;
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await? {
        if bytes.len() + chunk.len() > limit_bytes {
            let detail = format!("the part `options` may have at most {limit_bytes} bytes");
            return Err(
                ApiError::new(Code::BodyTooLarge, detail).member("limit_bytes", limit_bytes)
            );
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn choose(state: &AppState, json: &[u8]) -> ApiResult<Choice> {
    let unusable = |code, why: &dyn std::fmt::Display| {
        ApiError::new(code, format!("the part `options` cannot be used: {why}"))
    };
    let value: Value =
        serde_json::from_slice(json).map_err(|error| unusable(Code::JsonMalformed, &error))?;
    // serde would take a list for a struct, field by field.
    if !value.is_object() {
        return Err(unusable(Code::OptionsInvalid, &"it must be a JSON object"));
    }
    let wanted: Wanted =
        serde_json::from_value(value).map_err(|error| unusable(Code::OptionsInvalid, &error))?;
    let model = match &wanted.model {
        Some(name) => state.models.require(name)?.clone(),
        None => state.models.default_model().clone(),
    };
    model.check_options(&wanted.options)?;
    check_labels(&wanted.labels)?;
    Ok(Choice {
        model,
        options: wanted.options,
        labels: wanted.labels,
    })
}

fn check_labels(labels: &BTreeMap<String, String>) -> ApiResult<()> {
    let short =
        |text: &str| text.len() <= LONGEST_LABEL_BYTES && !text.chars().any(char::is_control);
    if labels.len() > MOST_LABELS {
        return Err(ApiError::new(
            Code::LabelsInvalid,
            format!("at most {MOST_LABELS} labels are kept"),
        ));
    }
    match labels
        .iter()
        .find(|(name, value)| name.is_empty() || !short(name) || !short(value))
    {
        None => Ok(()),
        Some((name, _)) => {
            let detail = format!(
                "names and values of labels have at most {LONGEST_LABEL_BYTES} bytes and no control characters"
            );
            Err(ApiError::new(Code::LabelsInvalid, detail).field(
                format!("/labels/{}", problems::escaped(name)),
                "not a valid label",
            ))
        }
    }
}
