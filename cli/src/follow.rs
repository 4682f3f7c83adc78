//! Follows one transcription to its end over the event stream, through dropped connections and restarts of the server.
//! What it hears it hands on; it draws nothing.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Response;
use serde_json::Value;
use tokio::time::Instant;

use crate::client::Client;
use crate::failure::Failure;
use crate::job::{Job, State};
use crate::sse::{Event, Parser};

/// The server says something at least every 15 s; after this much silence the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// Between two tries to reach the server, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A server that is not back after this is gone; the transcription may well go on without us.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the finished transcription as the server describes it then. `hear` gets every change on the way.
pub(crate) async fn follow(
    client: &Client,
    id: &str,
    hear: impl Fn(&Job),
) -> anyhow::Result<Value> {
    // The first look is not repeated: an unknown id or no server at all should be said at once.
    let value = client.transcription(id).await?;
    let mut job = read(&value)?;
    hear(&job);
    if job.state.is_final() {
        return Ok(value);
    }
    let mut last_event_id: Option<String> = None;
    let mut pause = FIRST_PAUSE;
    let mut away_since: Option<Instant> = None;
    let mut was_told_wrong = false;
    loop {
        let heard = match client.events(id, last_event_id.as_deref()).await {
            Ok(Some(stream)) => listen(stream, &mut job, &mut last_event_id, &hear).await,
            Ok(None) => 0,
            // No stream (too many of them, a proxy in between, a server that is away): then it is asked now and then.
            // Whether there is any hope is decided below, where it is asked.
            Err(error) => {
                tracing::debug!(task.id = id, "no event stream of {id}: {error:#}");
                0
            }
        };
        if heard > 0 {
            (pause, away_since) = (FIRST_PAUSE, None);
        }
        let told_the_end = job.state.is_final();
        if !told_the_end || was_told_wrong {
            tracing::debug!(
                task.id = id,
                last_event_id,
                "the event stream of {id} broke"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // The stream tells what happens; what is true now, files and reasons included, only the resource itself says.
        match client.transcription(id).await {
            Ok(value) => {
                job = read(&value)?;
                hear(&job);
                if job.state.is_final() {
                    return Ok(value);
                }
                away_since = None;
                was_told_wrong = told_the_end;
            }
            Err(error) => {
                let away = away_since.get_or_insert_with(Instant::now).elapsed();
                if !may_pass(&error) || away > PATIENCE {
                    return Err(error);
                }
            }
        }
    }
}

/// Listens until the stream ends, breaks, falls silent or tells the end; returns how many events came.
async fn listen(
    stream: Response,
    job: &mut Job,
    last_event_id: &mut Option<String>,
    hear: &impl Fn(&Job),
) -> usize {
    let mut parser = Parser::default();
    let mut blocks = stream.bytes_stream();
    let mut heard = 0;
    while let Ok(Some(Ok(block))) = tokio::time::timeout(SILENCE, blocks.next()).await {
        let Ok(events) = parser.push(&block) else {
            break;
        };
        for event in events {
            heard += 1;
            take(job, &event);
            if event.id.is_some() {
                last_event_id.clone_from(&event.id);
            }
            hear(job);
        }
        if job.state.is_final() {
            break;
        }
    }
    heard
}

/// Folds an event into what is known. A snapshot carries the whole transcription, other events parts of it; an event
/// without a body still says something by its name.
fn take(job: &mut Job, event: &Event) {
    if let Ok(body) = serde_json::from_str::<Value>(&event.data) {
        if let Some(state) = body
            .get("state")
            .and_then(|state| serde_json::from_value(state.clone()).ok())
        {
            job.state = state;
        }
        let progress = match body.get("progress") {
            Some(progress) => Some(progress),
            None => (event.name == "progress").then_some(&body),
        };
        if let Some(progress) =
            progress.and_then(|progress| serde_json::from_value(progress.clone()).ok())
        {
            job.progress = progress;
        }
    }
    job.state = match event.name.as_str() {
        "completed" | "succeeded" => State::Succeeded,
        "failed" => State::Failed,
        "cancelled" => State::Cancelled,
        "expired" => State::Expired,
        // Progress can only come from a worker that runs it.
        "progress" if !job.state.is_final() => State::Running,
        _ => job.state,
    };
}

fn read(value: &Value) -> anyhow::Result<Job> {
    serde_json::from_value(value.clone())
        .map_err(|error| anyhow::anyhow!("the server's answer is not a transcription: {error}"))
}

/// A server that is away may come back; one that says no will say it again.
fn may_pass(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Unreachable { .. }) => true,
        Some(Failure::NotOurs { status, .. }) => *status >= 500,
        Some(Failure::Problem(problem)) => problem
            .status
            .is_some_and(|status| status >= 500 || status == 429),
        Some(Failure::Usage(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(events: &[(&str, &str)]) -> Job {
        let mut job = Job::default();
        for (name, data) in events {
            take(
                &mut job,
                &Event {
                    name: (*name).into(),
                    data: (*data).into(),
                    id: None,
                },
            );
        }
        job
    }

    #[test]
    fn snapshots_and_parts_are_both_understood() {
        let job = after(&[
            ("snapshot", r#"{"id":"a","state":"queued","progress":null}"#),
            (
                "progress",
                r#"{"stage":"inference","current":3,"total":12}"#,
            ),
        ]);
        assert_eq!(job.state, State::Running);
        assert_eq!(job.progress.unwrap().percent(), Some(25));
        let job = after(&[(
            "progress",
            r#"{"state":"running","progress":{"stage":"notes","current":1,"total":2}}"#,
        )]);
        assert_eq!(job.progress.unwrap().stage.as_deref(), Some("notes"));
    }

    #[test]
    fn the_end_is_known_by_name_or_by_state() {
        assert_eq!(after(&[("completed", "")]).state, State::Succeeded);
        assert_eq!(
            after(&[("state", r#"{"state":"failed"}"#)]).state,
            State::Failed
        );
        assert_eq!(
            after(&[("completed", ""), ("progress", "{}")]).state,
            State::Succeeded
        );
        assert_eq!(after(&[("news", "not json")]).state, State::Unknown);
    }
}
