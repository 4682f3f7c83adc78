//! Follows one transcription to its end over the event stream, through dropped connections and restarts of the server.
//! What it hears it hands on; it draws nothing.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Response;
use serde_json::Value;

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
    let mut value = client.transcription(id).await?;
    let mut last_event_id: Option<String> = None;
    let mut pause = FIRST_PAUSE;
    let mut heard_at = tokio::time::Instant::now();
    loop {
        let mut job = read(&value)?;
        hear(&job);
        if job.state.is_final() {
            return Ok(value);
        }
        let listened = match client.events(id, last_event_id.as_deref()).await {
            Ok(Some(stream)) => listen(stream, &mut job, &mut last_event_id, &hear).await,
            Ok(None) => 0,
            Err(error) => {
                give_up_if_hopeless(error, heard_at)?;
                0
            }
        };
        if listened > 0 {
            pause = FIRST_PAUSE;
        }
        if !job.state.is_final() {
            tracing::debug!(
                task.id = id,
                last_event_id,
                "the event stream of {id} ended early; asking again"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // The stream tells what happens; what is true now, files and reasons included, only the resource itself says.
        match client.transcription(id).await {
            Ok(now) => {
                value = now;
                heard_at = tokio::time::Instant::now();
            }
            Err(error) => give_up_if_hopeless(error, heard_at)?,
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
fn give_up_if_hopeless(error: anyhow::Error, heard_at: tokio::time::Instant) -> anyhow::Result<()> {
    let may_pass = match error.downcast_ref::<Failure>() {
        Some(Failure::Unreachable { .. }) => true,
        Some(Failure::NotOurs { status, .. }) => *status >= 500,
        Some(Failure::Problem(problem)) => problem
            .status
            .is_some_and(|status| status >= 500 || status == 429),
        Some(Failure::Usage(_)) | None => false,
    };
    if may_pass && heard_at.elapsed() < PATIENCE {
        Ok(())
    } else {
        Err(error)
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
