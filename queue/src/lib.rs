//! The task queue: every key, every script and every answer of the Redis protocol, and nothing about audio, HTTP or databases.
//!
//! Each transition of a task is one Lua script (`scripts/`), so it happens wholly or not at all, on the server's clock, and can
//! be repeated after a lost reply. See docs/queue-protocol.md for the protocol and docs/decisions/0003-queue-protocol.md for its reasons.

mod cancel;
mod claim;
mod client;
mod drain;
mod enqueue;
mod error;
mod events;
mod finish;
mod front;
mod fsck;
mod heartbeat;
mod hints;
mod ids;
mod keys;
mod link;
mod observe;
mod outbox;
mod park;
mod payload;
mod reap;
mod script;
mod snapshot;
mod stats;
#[doc(hidden)]
pub mod testing;

pub use cancel::{CancelAnswer, CancelKind, Replayed};
pub use claim::{Claim, ClaimAnswer, ClaimRequest};
pub use client::{Queue, QueueConfig};
pub use drain::{DrainTarget, Epoch};
pub use enqueue::{Enqueued, NewTask, Priority};
pub use error::Error;
pub use events::{Event, EventStream, Interest};
pub use finish::{Completed, Completion, FailAnswer, Failure, Released, Verdict};
pub use fsck::FsckReport;
pub use heartbeat::{Beat, BeatAnswer, LeaseState, WorkerAbout, WorkerState};
pub use hints::Hints;
pub use ids::{QueueName, TaskId, Token, WorkerId};
pub use observe::{Depth, InFlight, Observation, RealTimeFactor, WorkerSeen};
pub use outbox::OutboxEntry;
pub use park::ParkAnswer;
pub use payload::{Progress, ResultPointer, TaskError, TaskPayload};
pub use reap::{ReapOptions, ReapReport};
pub use snapshot::{TaskSnapshot, TaskStatus};
pub use stats::ServerInfo;
