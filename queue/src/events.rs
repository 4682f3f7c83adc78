//! Hints from pub/sub, reconnecting. A hint may be lost: whoever acts on it also polls, and catches up on `Connected`.

use std::time::Duration;

use futures::StreamExt;
use redis::Msg;
use redis::aio::{PubSubSink, PubSubStream};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::keys::Keys;
use crate::{Progress, Queue, TaskId};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A reader that falls further behind makes the server hang up, which ends in `Connected`: catch up.
const BUFFER: usize = 1024;

/// Which channels to listen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    NewTasks,
    /// task:completed and task:failed.
    Finished,
    /// Its progress and its end.
    Task(TaskId),
    Everything,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// After every (re)subscription: catch up now.
    Connected,
    Disconnected,
    New {
        id: TaskId,
    },
    Claimed {
        id: TaskId,
    },
    Progress {
        id: TaskId,
        seq: u64,
        progress: Option<Progress>,
        cancel: bool,
    },
    Completed {
        id: TaskId,
        seq: u64,
    },
    Failed {
        id: TaskId,
        seq: u64,
        kind: String,
    },
    /// A message that is none of ours.
    Other,
}

/// Never ends; drop it to unsubscribe.
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<Event>,
}

impl EventStream {
    /// Waits for the next event. Safe to drop and call again (`select!`).
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            // The listener is gone only when its runtime is; there is nothing to wait for, and nobody to tell.
            None => futures::future::pending().await,
        }
    }
}

impl Queue {
    /// Listens on a connection of its own, from a task of the current runtime.
    pub fn events(&self, interest: Interest) -> EventStream {
        let (sender, events) = mpsc::channel(BUFFER);
        tokio::spawn(listen(self.clone(), interest, sender));
        EventStream { events }
    }
}

/// The reader went away.
struct Closed;

async fn listen(queue: Queue, interest: Interest, sender: mpsc::Sender<Event>) {
    let mut pause = PAUSE_MIN;
    loop {
        let connected = tokio::select! {
            () = sender.closed() => return,
            connected = timeout(CONNECT_TIMEOUT, subscribe(&queue, &interest)) => connected,
        };
        match connected {
            Ok(Ok((sink, stream))) => {
                pause = PAUSE_MIN;
                if sender.send(Event::Connected).await.is_err()
                    || forward(&queue.keys, &interest, sink, stream, &sender)
                        .await
                        .is_err()
                    || sender.send(Event::Disconnected).await.is_err()
                {
                    return;
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, "cannot subscribe; will try again"),
            Err(_) => tracing::debug!("subscribing took too long; will try again"),
        }
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
        }
    }
}

async fn subscribe(
    queue: &Queue,
    interest: &Interest,
) -> redis::RedisResult<(PubSubSink, PubSubStream)> {
    let keys = &queue.keys;
    let finished = [keys.channel_completed(), keys.channel_failed()];
    let mut pubsub = queue.client.get_async_pubsub().await?;
    match interest {
        Interest::NewTasks => pubsub.subscribe(keys.channel_new()).await?,
        Interest::Finished => pubsub.subscribe(&finished).await?,
        Interest::Task(id) => {
            pubsub.subscribe(keys.progress(id)).await?;
            pubsub.subscribe(&finished).await?;
        }
        Interest::Everything => {
            pubsub
                .subscribe(&[keys.channel_new(), keys.channel_claimed()])
                .await?;
            pubsub.subscribe(&finished).await?;
            pubsub.psubscribe(keys.glob("task:progress:")).await?;
        }
    }
    Ok(pubsub.split())
}

/// Until the connection is lost (Ok) or the reader is gone (Err).
async fn forward(
    keys: &Keys,
    interest: &Interest,
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    sender: &mpsc::Sender<Event>,
) -> Result<(), Closed> {
    loop {
        let message = tokio::select! {
            () = sender.closed() => return Err(Closed),
            message = timeout(PING_EVERY, stream.next()) => message,
        };
        match message {
            Ok(Some(message)) => {
                let event = read(keys, &message);
                if concerns(interest, &event) {
                    sender.send(event).await.map_err(|_| Closed)?;
                }
            }
            Ok(None) => return Ok(()),
            // Silence: a dead connection looks the same, so ask.
            Err(_) => match timeout(PING_TIMEOUT, sink.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                _ => return Ok(()),
            },
        }
    }
}

/// The channels of final states carry all tasks.
fn concerns(interest: &Interest, event: &Event) -> bool {
    match (interest, event) {
        (Interest::Task(wanted), Event::Completed { id, .. } | Event::Failed { id, .. }) => {
            id == wanted
        }
        _ => true,
    }
}

/// The seed published bare ids; ours are JSON.
fn read(keys: &Keys, message: &Msg) -> Event {
    let payload = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
    let body = serde_json::from_str::<Value>(&payload).unwrap_or(Value::Null);
    let id_text = match &body["id"] {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => payload.trim().to_owned(),
    };
    let Ok(id) = TaskId::parse(id_text) else {
        return Event::Other;
    };
    let seq = body["seq"].as_u64().unwrap_or(0);
    let Some(channel) = message
        .get_channel_name()
        .strip_prefix(keys.prefix.as_str())
    else {
        return Event::Other;
    };
    match channel {
        "task:new" => Event::New { id },
        "task:claimed" => Event::Claimed { id },
        "task:completed" => Event::Completed { id, seq },
        "task:failed" => Event::Failed {
            id,
            seq,
            kind: body["kind"].as_str().unwrap_or_default().to_owned(),
        },
        _ if channel.starts_with("task:progress:") => Event::Progress {
            id,
            seq,
            progress: serde_json::from_value(body["progress"].clone()).ok(),
            cancel: body["cancel"] == 1,
        },
        _ => Event::Other,
    }
}
