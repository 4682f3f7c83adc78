//! One source: opened, streamed into the object store, looked at, and its row moved on. Whatever happens, the row ends up queued,
//! failed with a code, or due again.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::http::{failed, host_of};
use super::{LEASE, RENEW, ms};
use crate::db::{self, Fetch, Fetched, Row, Source, State};
use crate::metrics::names;
use crate::objects::ObjectKey;
use crate::state::{AppState, now_ms};
use crate::transcriptions::{self, row::expiry};
use crate::upload::{self, Received};

/// After a try that was the source's fault; longer each time.
const PAUSE: Duration = Duration::from_secs(2);
/// After one that was ours.
const AWAY: Duration = Duration::from_secs(5);

pub(super) async fn run(state: AppState, fetch: Fetch) {
    let id = fetch.row.id.clone();
    let ended = tokio::select! {
        ended = bounded(&state, &fetch) => ended,
        () = keep(&state, &fetch) => Err(Failure::Lost),
        () = state.shutdown.cancelled() => Err(Failure::Away("shutting down".to_owned())),
    };
    if let Err(cause) = settle(&state, &fetch, ended).await {
        // Its time runs out, and somebody takes it again.
        tracing::warn!(task.id = %id, %cause, "failed to say what became of a source");
    }
}

/// Renews the time; ends when the row is not ours any more.
async fn keep(state: &AppState, fetch: &Fetch) {
    loop {
        tokio::time::sleep(RENEW).await;
        match state.db.keep_fetch(fetch, now_ms() + ms(LEASE)).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(cause) => {
                tracing::warn!(task.id = %fetch.row.id, %cause, "failed to renew the time for a source")
            }
        }
    }
}

async fn bounded(state: &AppState, fetch: &Fetch) -> Result<(Received, Fetched), Failure> {
    let seconds = state.config.operator.fetch_timeout_seconds;
    let fetching = obtain(state, fetch);
    match tokio::time::timeout(Duration::from_secs(seconds), fetching).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::again(
            "source_timeout",
            format!("the recording did not arrive within {seconds} s"),
        )),
    }
}

async fn obtain(state: &AppState, fetch: &Fetch) -> Result<(Received, Fetched), Failure> {
    let row = &fetch.row;
    let Some(operated) = &row.operated else {
        return Err(Failure::Lost);
    };
    match &operated.asked.source {
        Source::Url(url) => {
            let answer = state.sources.http.open(url).await?;
            if let Some(bytes) = answer.content_length() {
                check_size(state, bytes)?;
            }
            let host = host_of(answer.url());
            let stream = answer
                .bytes_stream()
                .map(|piece| piece.map_err(|error| failed(&error.without_url(), &host)));
            receive(state, fetch, stream).await
        }
        Source::Object(key) => match state.objects.stream(ObjectKey::Import(key), None).await {
            Ok(stream) => {
                let stream =
                    stream.map(|piece| piece.map_err(|cause| Failure::Away(cause.to_string())));
                receive(state, fetch, stream).await
            }
            Err(error) if error.is_not_found() => {
                let message = format!("there is no object {key:?} in the store");
                Err(Failure::last("source_not_found", message))
            }
            Err(error) => Err(error.into()),
        },
        Source::Transcription(id) => copy(state, fetch, id, &operated.origin).await,
    }
}

fn check_size(state: &AppState, bytes: u64) -> Result<(), Failure> {
    let most = state.config.limits.max_upload_bytes;
    match bytes > most {
        true => Err(Failure::last(
            "source_too_large",
            format!("a recording may have at most {most} bytes"),
        )),
        false => Ok(()),
    }
}

/// Stores the bytes, and looks at what they are.
async fn receive(
    state: &AppState,
    fetch: &Fetch,
    stream: impl Stream<Item = Result<Bytes, Failure>>,
) -> Result<(Received, Fetched), Failure> {
    let id = fetch.row.id.as_str();
    let mut writer = state.objects.writer(ObjectKey::Audio(id)).await?;
    let (mut bytes, mut hash) = (0_u64, Sha256::new());
    let mut stream = std::pin::pin!(stream);
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        bytes += piece.len() as u64;
        check_size(state, bytes)?;
        hash.update(&piece);
        writer.write(piece).await?;
    }
    if bytes == 0 {
        return Err(Failure::last("audio_empty", "the source is empty"));
    }
    confirm(state, fetch).await?;
    writer.finish().await?;
    let sha256 = hex::encode(hash.finalize());
    let received = Received::stored(state, id, &fetch.row.filename, bytes, &sha256);
    let inspected = upload::inspect(state, &received).await?;
    let found = Fetched {
        filename: fetch.row.filename.clone(),
        media_type: inspected.media_type,
        bytes,
        sha256,
        sample_rate: inspected.sample_rate.into(),
        channels: inspected.channels.into(),
        audio_ms: inspected.audio_ms,
        duration_estimated: inspected.duration_estimated,
    };
    Ok((received, found))
}

/// Just before something becomes visible under the row's name.
async fn confirm(state: &AppState, fetch: &Fetch) -> Result<(), Failure> {
    match state.db.keep_fetch(fetch, now_ms() + ms(LEASE)).await? {
        true => Ok(()),
        false => Err(Failure::Lost),
    }
}

/// The recording of another row, with what is known of it.
async fn copy(
    state: &AppState,
    fetch: &Fetch,
    from: &str,
    origin: &str,
) -> Result<(Received, Fetched), Failure> {
    let missing = || Failure::last("source_not_found", not_found(from));
    let source = state.db.get(from).await?;
    let source = source
        .filter(|row| may_use(row, origin))
        .ok_or_else(missing)?;
    if source.state == State::Created && !source.source_stored {
        return Err(Failure::Away(format!(
            "the source of {from} is not here yet"
        )));
    }
    if !source.source_stored {
        let message = format!("the recording of {from} is no longer kept");
        return Err(Failure::last("source_not_found", message));
    }
    confirm(state, fetch).await?;
    let id = fetch.row.id.as_str();
    let copied = state
        .objects
        .copy(ObjectKey::Audio(from), ObjectKey::Audio(id));
    copied.await.map_err(|error| match error.is_not_found() {
        true => missing(),
        false => error.into(),
    })?;
    let received = Received::stored(state, id, &source.filename, source.bytes, &source.sha256);
    let found = Fetched {
        filename: source.filename,
        media_type: source.media_type,
        bytes: source.bytes,
        sha256: source.sha256,
        sample_rate: source.sample_rate,
        channels: source.channels,
        audio_ms: source.audio_ms,
        duration_estimated: source.duration_estimated,
    };
    Ok((received, found))
}

/// What is not there and what is another's read alike.
pub(crate) fn not_found(id: &str) -> String {
    format!("there is no transcription {id:?} whose recording could be used")
}

/// An upload belongs to nobody: whoever knows its id may name it. A job's recording belongs to its namespace.
pub(crate) fn may_use(row: &Row, origin: &str) -> bool {
    row.operated
        .as_ref()
        .is_none_or(|operated| operated.origin == origin)
}

/// Moves the row on.
async fn settle(
    state: &AppState,
    fetch: &Fetch,
    ended: Result<(Received, Fetched), Failure>,
) -> Result<(), db::Error> {
    let id = fetch.row.id.as_str();
    let outcome = match ended {
        Ok((received, found)) => return fetched(state, fetch, received, &found).await,
        Err(Failure::Again(error)) if fetch.tries + 1 < state.config.operator.fetch_tries => {
            let pause =
                PAUSE * 2_u32.saturating_pow(u32::try_from(fetch.tries).unwrap_or(0).min(8));
            tracing::info!(task.id = %id, task.code = %error.code, cause = %error.message, "the source is tried again");
            state
                .db
                .put_off_fetch(fetch, now_ms() + ms(pause), true)
                .await?;
            "again"
        }
        Err(Failure::Again(found) | Failure::Final(found)) => {
            let now = now_ms();
            tracing::info!(task.id = %id, task.code = %found.code, cause = %found.message, "the source cannot be used");
            let ended = state.db.fail_fetch(fetch, &found, now, expiry(state, now));
            if ended.await? {
                let code = names::bounded_code(&found.code);
                metrics::counter!(names::JOBS_FINISHED, "state" => "failed", "code" => code)
                    .increment(1);
                changed(state, id);
            }
            "failed"
        }
        Err(Failure::Away(cause)) => {
            // At shutdown another replica, or this one again, may have it at once.
            let pause = match state.shutdown.is_cancelled() {
                true => Duration::ZERO,
                false => AWAY,
            };
            tracing::warn!(task.id = %id, %cause, "a source cannot be fetched now");
            state
                .db
                .put_off_fetch(fetch, now_ms() + ms(pause), false)
                .await?;
            "away"
        }
        Err(Failure::Lost) => {
            tracing::info!(task.id = %id, "the source is not ours to fetch any more");
            "lost"
        }
    };
    metrics::counter!(names::FETCHES, "outcome" => outcome).increment(1);
    Ok(())
}

async fn fetched(
    state: &AppState,
    fetch: &Fetch,
    received: Received,
    found: &Fetched,
) -> Result<(), db::Error> {
    let id = fetch.row.id.as_str();
    let row = match state.db.set_fetched(fetch, found, now_ms()).await {
        Ok(Some(row)) => {
            received.keep();
            row
        }
        Ok(None) => {
            // Only what no row owns goes: whoever took it over may have stored the same name by now.
            let owned = state
                .db
                .get(id)
                .await?
                .is_some_and(|row| row.source_stored || row.state == State::Created);
            if owned {
                received.keep();
            }
            metrics::counter!(names::FETCHES, "outcome" => "lost").increment(1);
            return Ok(());
        }
        Err(error) => {
            // The answer may have been lost, not the change.
            if !error.is_undone() {
                received.keep();
            }
            return Err(error);
        }
    };
    tracing::info!(task.id = %id, bytes = found.bytes, audio_ms = found.audio_ms, "the source is stored");
    metrics::counter!(names::FETCHES, "outcome" => "stored").increment(1);
    names::count_submitted("operator", &row.model);
    if let Err(error) = transcriptions::start(state, &row).await {
        tracing::warn!(task.id = %id, cause = %error, "the reconciler will enqueue {id}");
    }
    changed(state, id);
    Ok(())
}

fn changed(state: &AppState, id: &str) {
    state.changed.notify_waiters();
    if let Ok(task) = queue::TaskId::parse(id) {
        state.hub.look(&task);
    }
}
