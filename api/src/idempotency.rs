//! Idempotency-Key: the first request with a key runs, a repetition gets its answer, another payload is refused.
//! The key is held by a guard; a request that comes to nothing gives it back.

use std::time::Duration;

use axum::http::HeaderMap;
use tokio_util::task::AbortOnDropHandle;

use crate::auth::Principal;
use crate::db::{Answered, Remembered};
use crate::error::{ApiError, ApiResult, Code};
use crate::state::{AppState, now_ms};

const LONGEST_KEY: usize = 255;
/// How often a running request says that it still runs.
const KEEP: Duration = Duration::from_secs(5);
/// One that was silent for so long died with its server: whoever repeats it must not wait for an upload's whole time.
const STALE_MS: u64 = 20_000;

/// What a key leads to.
pub(crate) enum Taken {
    /// The first request: it holds the key until it is answered or dropped.
    Ours(Held),
    /// A repetition, to be compared with the first one.
    Answered {
        request_sha256: String,
        transcription_id: String,
        answer: String,
    },
}

/// Holds a key; dropped before `done`, it gives the key back.
pub(crate) struct Held {
    state: Option<AppState>,
    principal: Principal,
    key: String,
    _keeper: AbortOnDropHandle<()>,
}

/// The key of a request, if it sent one: bare, or quoted as the draft standard has it.
pub(crate) fn key_of(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let mut sent = headers.get_all("idempotency-key").iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    if sent.next().is_some() {
        let detail = "send one Idempotency-Key, not several";
        return Err(ApiError::new(Code::IdempotencyKeyInvalid, detail));
    }
    let key = value.to_str().unwrap_or_default().trim();
    let key = key
        .strip_prefix('"')
        .and_then(|key| key.strip_suffix('"'))
        .unwrap_or(key);
    let sane = !key.is_empty()
        && key.len() <= LONGEST_KEY
        && key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if !sane || key.contains('"') {
        let detail =
            format!("the Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters");
        return Err(ApiError::new(Code::IdempotencyKeyInvalid, detail));
    }
    Ok(Some(key.to_owned()))
}

pub(crate) async fn take(state: &AppState, principal: &Principal, key: String) -> ApiResult<Taken> {
    let now = now_ms();
    let stale = now.saturating_sub(STALE_MS);
    let expired = now.saturating_sub(state.config.timing.idempotency_seconds * 1000);
    match state
        .db
        .take_key(&principal.0, &key, now, stale, expired)
        .await?
    {
        Remembered::Ours => Ok(Taken::Ours(Held {
            state: Some(state.clone()),
            _keeper: AbortOnDropHandle::new(tokio::spawn(keep(
                state.clone(),
                principal.clone(),
                key.clone(),
            ))),
            principal: principal.clone(),
            key,
        })),
        Remembered::Running => {
            let detail = "the first request with this Idempotency-Key has not been answered yet";
            Err(ApiError::new(Code::IdempotencyInProgress, detail).retry_after(2))
        }
        Remembered::Answered {
            request_sha256,
            transcription_id,
            answer,
        } => Ok(Taken::Answered {
            request_sha256,
            transcription_id,
            answer,
        }),
    }
}

/// Until aborted.
async fn keep(state: AppState, principal: Principal, key: String) {
    loop {
        tokio::time::sleep(KEEP).await;
        if let Err(error) = state.db.keep_key(&principal.0, &key, now_ms()).await {
            tracing::debug!(cause = %error, "a running request could not keep its Idempotency-Key");
        }
    }
}

pub(crate) fn reused() -> ApiError {
    let detail =
        "this Idempotency-Key was used with another request; take a new key for a new request";
    ApiError::new(Code::IdempotencyKeyReused, detail)
}

impl Held {
    /// What to store beside the row.
    pub(crate) fn answered(
        &self,
        request_sha256: String,
        transcription_id: &str,
        answer: String,
    ) -> Answered {
        Answered {
            principal: self.principal.0.to_string(),
            key: self.key.clone(),
            request_sha256,
            transcription_id: transcription_id.to_owned(),
            answer,
        }
    }

    /// The answer is stored: the key stays taken.
    pub(crate) fn done(mut self) {
        self.state = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (Some(state), Ok(runtime)) = (self.state.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (principal, key) = (self.principal.clone(), std::mem::take(&mut self.key));
        runtime.spawn(async move {
            if let Err(error) = state.db.release_key(&principal.0, &key).await {
                tracing::warn!(cause = %error, "failed to give an idempotency key back; it is free after its time-out");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static [u8]) -> Result<Option<String>, Code> {
        let mut headers = HeaderMap::new();
        headers.insert(
            "idempotency-key",
            axum::http::HeaderValue::from_bytes(value).unwrap(),
        );
        key_of(&headers).map_err(|error| error.code)
    }

    #[test]
    fn keys_come_bare_or_quoted() {
        assert_eq!(read(b"abc"), Ok(Some("abc".to_owned())));
        assert_eq!(read(b"\"a b\""), Ok(Some("a b".to_owned())));
        for bad in [&b""[..], b"\"\"", b"a\"b", b"\xff", &[b'x'; 256]] {
            assert_eq!(read(bad.to_vec().leak()), Err(Code::IdempotencyKeyInvalid));
        }
        assert_eq!(key_of(&HeaderMap::new()).unwrap(), None);
    }
}
