//! Every key and channel name of the protocol, in one place. Nothing else in the crate spells one, but the scripts.

/// Ids that would collide with the queue's own keys under `task:`.
pub(crate) const RESERVED_IDS: &[&str] = &[
    "queue",
    "processing",
    "delayed",
    "failed",
    "results",
    "seq",
    "parked",
    "work",
    "inflight",
    "rtf",
    "drain",
    "epoch",
    "paused",
    "stats",
    "new",
    "claimed",
    "completed",
    "progress",
];
