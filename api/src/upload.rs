//! A recording on its way in: streamed to the object store while it is counted and hashed, then looked at through ranged
//! reads of what is stored (headers and last pages; nothing is decoded here). What is not kept is deleted.

use axum::extract::multipart::Field;
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use crate::db::{Answered, Row};
use crate::error::{ApiError, ApiResult, Code};
use crate::objects::ObjectKey;
use crate::state::AppState;
use crate::transcriptions::MULTIPART_OVERHEAD_BYTES;

const LONGEST_FILENAME_BYTES: usize = 255;
/// Of a recording whose length is unknown: what a small codec needs.
const ESTIMATED_BITS_PER_SECOND: u64 = 32_000;

/// A stored recording that nobody owns yet; dropped without `keep`, it is deleted.
pub(crate) struct Received {
    pub(crate) filename: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    id: String,
    state: Option<AppState>,
}

/// What the headers of a recording say.
#[derive(Debug, Clone)]
pub(crate) struct Inspected {
    pub(crate) media_type: String,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
    pub(crate) audio_ms: u64,
    pub(crate) duration_estimated: bool,
}

impl Received {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// One that was stored by other means than an upload.
    pub(crate) fn stored(
        state: &AppState,
        id: &str,
        filename: &str,
        bytes: u64,
        sha256: &str,
    ) -> Self {
        Self {
            filename: filename.to_owned(),
            bytes,
            sha256: sha256.to_owned(),
            id: id.to_owned(),
            state: Some(state.clone()),
        }
    }

    /// A row owns it now.
    pub(crate) fn keep(mut self) {
        self.state = None;
    }
}

/// The recording's row: afterwards both are there, or neither. A client that hangs up must not cut this short.
pub(crate) async fn insert(
    state: &AppState,
    row: &Row,
    answered: Option<&Answered>,
    received: Received,
) -> ApiResult<()> {
    if let Err(error) = state.db.insert(row, answered).await {
        // The answer may have been lost, not the row: only what is surely not there may lose its recording.
        if !error.is_undone() && state.db.withdraw(&row.id).await.is_err() {
            tracing::warn!(task.id = %row.id, "keeping the recording of a row that may exist");
            received.keep();
        }
        return Err(error.into());
    }
    received.keep();
    Ok(())
}

impl Drop for Received {
    fn drop(&mut self) {
        let (Some(state), Ok(runtime)) = (self.state.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let id = std::mem::take(&mut self.id);
        runtime.spawn(async move {
            if let Err(error) = state.objects.delete(ObjectKey::Audio(&id)).await {
                tracing::warn!(task.id = %id, cause = %error, "failed to delete a refused recording");
            }
        });
    }
}

/// Streams a field of a multipart body to the object store as the recording of `id`.
pub(crate) async fn receive(
    state: &AppState,
    id: &str,
    mut field: Field<'_>,
) -> ApiResult<Received> {
    let limit_bytes = state.config.limits.max_upload_bytes;
    let filename = display_name(field.file_name().unwrap_or_default());
    let mut writer = state.objects.writer(ObjectKey::Audio(id)).await?;
    let (mut bytes, mut hash) = (0_u64, Sha256::new());
    while let Some(chunk) = field.chunk().await? {
        bytes += chunk.len() as u64;
        if bytes > limit_bytes {
            writer.abort().await;
            return Err(too_large(limit_bytes));
        }
        hash.update(&chunk);
        writer.write(chunk).await?;
    }
    if bytes == 0 {
        writer.abort().await;
        return Err(ApiError::new(
            Code::AudioEmpty,
            format!("the file {filename:?} is empty"),
        ));
    }
    let received = Received {
        filename,
        bytes,
        sha256: hex::encode(hash.finalize()),
        id: id.to_owned(),
        state: Some(state.clone()),
    };
    // A client that hangs up now does not stop the store: the object appears all the same, and the guard, dropped behind it in
    // this task, takes it away again.
    let finish = async move { writer.finish().await.map(|()| received) };
    Ok(tokio::spawn(finish).await.map_err(ApiError::internal)??)
}

/// Counts and hashes a field without storing it: for a repeated request whose answer is known.
pub(crate) async fn hash_only(state: &AppState, mut field: Field<'_>) -> ApiResult<String> {
    let limit_bytes = state.config.limits.max_upload_bytes;
    let (mut bytes, mut hash) = (0_u64, Sha256::new());
    while let Some(chunk) = field.chunk().await? {
        bytes += chunk.len() as u64;
        if bytes > limit_bytes {
            return Err(too_large(limit_bytes));
        }
        hash.update(&chunk);
    }
    Ok(hex::encode(hash.finalize()))
}

/// Whoever announces more than is taken is told before anything is read, and before it is sent where the client asks first
/// (`Expect: 100-continue`).
pub(crate) fn refuse_announced(state: &AppState, headers: &HeaderMap) -> ApiResult<()> {
    let limit_bytes = state.config.limits.max_upload_bytes;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(bytes) if bytes > limit_bytes.saturating_add(MULTIPART_OVERHEAD_BYTES) => {
            Err(too_large(limit_bytes))
        }
        _ => Ok(()),
    }
}

pub(crate) fn too_large(limit_bytes: u64) -> ApiError {
    let detail = format!("a recording may have at most {limit_bytes} bytes");
    ApiError::new(Code::UploadTooLarge, detail).member("limit_bytes", limit_bytes)
}

/// What the stored recording is, or why it cannot be transcribed.
pub(crate) async fn inspect(state: &AppState, received: &Received) -> ApiResult<Inspected> {
    let source = state
        .objects
        .source(ObjectKey::Audio(&received.id), received.bytes);
    let extension = extension(&received.filename);
    let probed =
        tokio::task::spawn_blocking(move || audio::probe(Box::new(source), extension.as_deref()));
    let probe = probed.await.map_err(ApiError::internal)??;
    audio::Limits::default().check_header(&probe)?;
    let limit_seconds = state.config.limits.max_decoded_seconds;
    let (audio_ms, duration_estimated) = match probe.duration_seconds {
        Some(seconds) if seconds > limit_seconds as f64 => {
            let detail =
                format!("the recording lasts {seconds:.0} s; the limit is {limit_seconds} s");
            return Err(
                ApiError::new(Code::AudioTooLong, detail).member("limit_seconds", limit_seconds)
            );
        }
        Some(seconds) if seconds <= 0.0 => {
            return Err(ApiError::new(
                Code::AudioEmpty,
                "the recording holds no sound",
            ));
        }
        Some(seconds) => ((seconds * 1000.0).ceil() as u64, false),
        None => {
            let guess_ms = received.bytes.saturating_mul(8 * 1000) / ESTIMATED_BITS_PER_SECOND;
            (guess_ms.clamp(1, limit_seconds.saturating_mul(1000)), true)
        }
    };
    Ok(Inspected {
        media_type: probe.media_type.to_owned(),
        sample_rate: probe.sample_rate,
        channels: probe.channels,
        audio_ms,
        duration_estimated,
    })
}

/// The client's name for the file, for display: no folders, no control characters, not too long.
pub(crate) fn display_name(sent: &str) -> String {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name: String = last
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    while name.len() > LONGEST_FILENAME_BYTES {
        name.pop();
    }
    let name = name.trim();
    if name.is_empty() {
        "recording".to_owned()
    } else {
        name.to_owned()
    }
}

fn extension(filename: &str) -> Option<String> {
    let (_, extension) = filename.rsplit_once('.')?;
    (!extension.is_empty() && extension.len() <= 8).then(|| extension.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_for_display_only() {
        assert_eq!(display_name("../../etc/passwd"), "passwd");
        assert_eq!(display_name("C:\\music\\take 3.FLAC"), "take 3.FLAC");
        assert_eq!(display_name("a\r\nb\u{7}"), "ab");
        assert_eq!(display_name(""), "recording");
        assert_eq!(display_name(&"é".repeat(300)).len(), 254);
        assert_eq!(extension("a.FLAC").as_deref(), Some("flac"));
        assert_eq!(extension("none"), None);
    }
}
