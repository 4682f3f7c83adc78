//! The whole world in one value: Redis, what it may fall back to, the rows, the stored files, and what each process knows.
//! No behaviour here; sizes are small on purpose, because millions of these are compared.

use crate::redis::Redis;
use crate::size::{MOST_TASKS, MOST_WORKERS};

/// Index of a task.
pub type Id = u8;
/// Index of a worker's boot, or `DEAD`: a boot that is over.
pub type Wid = u8;
pub const DEAD: Wid = 250;

/// `ATTEMPT-NONCE`. Nonces are numbers here; equal numbers mean the same nonce, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    pub attempt: u8,
    pub nonce: u8,
}

/// What a result refers to: the name of the stored file, and whose bytes were measured (the checksum).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer {
    pub name: Token,
    pub content: Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct File {
    pub task: Id,
    pub name: Token,
    pub content: Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Ok,
    Cancelled,
    Error,
    Timeout,
    Poison,
}

/// One line of `task:results`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub number: u8,
    pub task: Id,
    pub life: u8,
    pub kind: Kind,
    pub result: Option<Pointer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowState {
    Queued,
    Succeeded,
    Failed,
    Cancelled,
}

/// A transcription in the database, which loses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    pub state: RowState,
    pub life: u8,
    pub number: u8,
    pub result: Option<Pointer>,
    /// For the properties alone: whose life the outcome was, and how many outcomes this life got.
    pub outcome_life: u8,
    pub outcomes: u8,
}

/// Where a worker is with one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    Running,
    /// The files lie in the store, COMPLETE is next (again, if its reply was lost).
    Stored,
    /// FAIL was called and its reply lost, or a heartbeat told that the running limit is over.
    Failing {
        retryable: bool,
    },
    /// RELEASE was called and its reply lost, or a heartbeat told that cancel was asked.
    Releasing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    pub task: Id,
    pub token: Token,
    pub phase: Phase,
}

/// What one boot of a worker knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Worker {
    /// The nonce of a CLAIM whose reply was lost.
    pub asking: Option<u8>,
    pub held: Vec<Held>,
}

/// The API's reader of the outbox, between its two steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    pub top: u8,
    pub most: u8,
    /// Read but not committed; only a broken reader (`AckBeforeCommit`) has any between its steps.
    pub uncommitted: Vec<Entry>,
}

/// A call on its way: a second copy, or one whose sender stood still between looking and acting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Claim {
        worker: Wid,
        nonce: u8,
        held: u8,
    },
    Heartbeat {
        task: Id,
        token: Token,
    },
    Complete {
        task: Id,
        token: Token,
    },
    Fail {
        task: Id,
        token: Token,
        retryable: bool,
    },
    Release {
        task: Id,
        token: Token,
    },
    Cancel {
        task: Id,
    },
    Enqueue {
        task: Id,
        life: u8,
    },
    Replay {
        task: Id,
        life: u8,
    },
    Forget {
        task: Id,
    },
    Commit {
        entry: Entry,
    },
    Ack {
        top: u8,
        most: u8,
    },
}

/// Redis as it was a few transitions ago, on a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    pub redis: Redis,
    pub behind: u8,
}

/// Set by a step that broke a rule about steps; the properties read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Broken {
    pub fencing: bool,
    pub attempt_fell: bool,
    pub repeated_claim: bool,
    pub number_fell: bool,
    pub deposed_leader: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub redis: Redis,
    pub replica: Option<Box<Replica>>,
    pub rows: [Row; MOST_TASKS],
    pub files: Vec<File>,
    pub workers: [Worker; MOST_WORKERS],
    pub reader: Option<Reader>,
    pub late: Option<Call>,
    pub faults: u8,
    pub acts: u8,
    /// The clock, as far as outbox numbers need one: the highest number ever given.
    pub clock: u8,
    /// Redis has lost data at least once.
    pub lost_data: bool,
    pub broken: Broken,
}
