//! Live news of one transcription as server-sent events: a snapshot, then changes, then its end. An event is a state, not a
//! delta, so a client that missed some needs only the newest. The truth is looked up; hints only say when to look.

mod hub;
mod id;
mod slot;

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures::Stream;
use queue::{Progress, TaskId};
use serde_json::{Value, json};

use crate::auth::Principal;
use crate::db;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::Path;
use crate::state::AppState;
use crate::transcriptions::{View, row, view_one};
use hub::{Hint, Listener};
use id::EventId;
use slot::Slot;

pub(crate) use hub::Hub;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A client that lost its connection comes back after this.
const RECONNECT: Duration = Duration::from_secs(2);
/// A lost hint costs no more than this.
const POLL: Duration = Duration::from_secs(5);
/// While Redis has an end that the database has not: the outbox is being drained at this moment.
const SOON: Duration = Duration::from_millis(100);

pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/api/v1/transcriptions/{id}/events", get(events))
}

async fn events(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let Ok(task) = TaskId::parse(id.as_str()) else {
        return Err(ApiError::new(
            Code::TranscriptionUnknown,
            format!("there is no transcription {id:?}"),
        ));
    };
    if state.shutdown.is_cancelled() {
        return Err(ApiError::new(
            Code::ShuttingDown,
            "the server is shutting down; connect again soon",
        ));
    }
    let slot = Slot::take(&state, &principal)?;
    // Listen first, look second: what happens in between is heard.
    let hints = state.hub.listen(&task);
    let found = row::find(&state, &id).await?;
    let first = view_one(&state, found).await;
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(EventId::parse);
    if first.state().is_final() && seen == Some(EventId::of(&first)) {
        // The client has seen the end; EventSource stops reconnecting at 204.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follower = Follower {
        state,
        hints,
        view: first,
        _slot: slot,
    };
    let headers = [
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let stream = Sse::new(follower.events(seen)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok((headers, stream).into_response())
}

/// One stream's view of one transcription.
struct Follower {
    state: AppState,
    hints: Listener,
    view: View,
    _slot: Slot,
}

impl Follower {
    fn events(mut self, seen: Option<EventId>) -> impl Stream<Item = Result<Event, Infallible>> {
        async_stream::stream! {
            let mut at = EventId::of(&self.view);
            // The same id: nothing was missed. Any other: of another life, or there is a gap.
            if seen != Some(at) {
                yield Ok(event("snapshot", at.while_running(), &self.view.to_json()).retry(RECONNECT));
            }
            let mut blind = false;
            while !self.view.state().is_final() {
                let patience = if blind { POLL } else { self.patience() };
                let hint = tokio::select! {
                    // While the database is away no hint may shorten the pause: many would make a hot loop.
                    hint = self.hints.next(), if !blind => hint,
                    () = tokio::time::sleep(patience) => Hint::Look,
                    () = self.state.shutdown.cancelled() => return,
                };
                if let Hint::Progress { seq, progress } = &hint
                    && self.view.state() == db::State::Running
                {
                    if *seq > at.seq {
                        at.seq = *seq;
                        yield Ok(event("progress", at, &self.progress(progress)));
                        continue;
                    }
                    if *seq == at.seq {
                        continue;
                    }
                    // A late one, most likely; but a Redis that was wiped counts from the start again.
                }
                let before = Shown::of(&self.view);
                match self.look().await {
                    Ok(true) => blind = false,
                    Ok(false) => {
                        let gone = json!({ "id": self.view.row.id, "state": "deleted" });
                        yield Ok(event("deleted", EventId::end_of(at.life), &gone));
                        return;
                    }
                    // The next poll looks again; the client keeps what it has.
                    Err(cause) => {
                        tracing::warn!(task.id = %self.view.row.id, %cause, "an event stream cannot look at its row");
                        blind = true;
                        continue;
                    }
                }
                let now = EventId::of(&self.view);
                if self.view.state().is_final() {
                    break;
                }
                let counts_anew = self.view.snapshot.is_some() && now.seq < at.seq;
                if now.life != at.life || counts_anew {
                    at = now;
                    yield Ok(event("snapshot", at, &self.view.to_json()));
                    continue;
                }
                let shown = Shown::of(&self.view);
                at.seq = at.seq.max(now.seq);
                if shown.deed != before.deed {
                    yield Ok(event("state", at, &self.view.to_json()));
                } else if shown != before && let Some(progress) = &shown.progress {
                    yield Ok(event("progress", at, &self.progress(progress)));
                }
            }
            yield Ok(event(self.view.state().as_str(), EventId::of(&self.view), &self.view.to_json()));
        }
    }

    /// False: the row is gone.
    async fn look(&mut self) -> Result<bool, db::Error> {
        let Some(row) = self.state.db.get(&self.view.row.id).await? else {
            return Ok(false);
        };
        self.view = view_one(&self.state, row).await;
        Ok(true)
    }

    fn patience(&self) -> Duration {
        let ended = self
            .view
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.finished_at_ms.is_some());
        if ended { SOON } else { POLL }
    }

    fn progress(&self, progress: &Progress) -> Value {
        json!({
            "id": self.view.row.id,
            "state": self.view.state().as_str(),
            "attempt": self.view.snapshot.as_ref().map_or(0, |snapshot| snapshot.attempt),
            "progress": {
                "stage": progress.stage,
                "current": progress.current,
                "total": progress.total,
                "fraction": progress.fraction(),
            },
        })
    }
}

/// What of a view makes an event when it changes.
#[derive(PartialEq)]
struct Shown {
    deed: (db::State, u32, bool),
    progress: Option<Progress>,
}

impl Shown {
    fn of(view: &View) -> Self {
        let snapshot = view.snapshot.as_ref();
        let attempt = snapshot.map_or(0, |snapshot| snapshot.attempt);
        let cancel = snapshot.is_some_and(|snapshot| snapshot.cancel_requested);
        Self {
            deed: (view.state(), attempt, cancel),
            progress: snapshot.and_then(|snapshot| snapshot.progress.clone()),
        }
    }
}

fn event(name: &str, id: EventId, data: &Value) -> Event {
    // JSON holds no raw line break, so this is one `data:` line.
    Event::default()
        .event(name)
        .id(id.to_string())
        .data(data.to_string())
}
