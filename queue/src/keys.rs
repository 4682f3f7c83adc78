//! Every key and channel name that Rust code gives to Redis, in one place. The scripts derive theirs from the same prefix.

use crate::{Priority, QueueName, TaskId, WorkerId};

/// Ids that would collide with the queue's own keys under `task:`.
pub(crate) const RESERVED_IDS: &[&str] = &[
    "queue",
    "queues",
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

/// The list suffixes of one queue, in the order of their urgency.
pub(crate) const KINDS: [&str; 4] = ["alone", "high", "normal", "low"];

pub(crate) fn priority_word(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}

/// All names behind one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) prefix: String,
}

/// `fn NAME -> prefix + TEXT` for keys that hold nothing variable.
macro_rules! fixed {
    ($($name:ident = $text:literal;)*) => {
        $(pub(crate) fn $name(&self) -> String { format!("{}{}", self.prefix, $text) })*
    };
}

impl Keys {
    fixed! {
        processing = "task:processing";
        leases = "task:processing:time";
        delayed = "task:delayed";
        parked = "task:parked";
        dead_letters = "task:failed";
        results = "task:results";
        work = "task:work";
        inflight = "task:inflight";
        real_time_factors = "task:rtf";
        drain = "task:drain";
        paused = "task:paused";
        stats = "task:stats";
        queues = "task:queues";
        reap_lock = "task:reap:lock";
        worker_index = "worker:index";
        channel_new = "task:new";
        channel_claimed = "task:claimed";
        channel_completed = "task:completed";
        channel_failed = "task:failed";
    }

    pub(crate) fn task(&self, id: &TaskId) -> String {
        format!("{}task:{id}", self.prefix)
    }

    pub(crate) fn worker(&self, id: &WorkerId) -> String {
        format!("{}worker:{id}", self.prefix)
    }

    pub(crate) fn idempotency(&self, key: &str) -> String {
        format!("{}idem:{key}", self.prefix)
    }

    pub(crate) fn progress(&self, id: &TaskId) -> String {
        format!("{}task:progress:{id}", self.prefix)
    }

    /// alone, high, normal, low: `task:queue` and its brothers, `task:queue:NAME` and its brothers.
    pub(crate) fn lists(&self, queue: &QueueName) -> [String; 4] {
        let base = match queue.as_str() {
            "default" => format!("{}task:queue", self.prefix),
            name => format!("{}task:queue:{name}", self.prefix),
        };
        KINDS.map(|kind| {
            if kind == "normal" {
                base.clone()
            } else {
                format!("{base}:{kind}")
            }
        })
    }

    /// Who runs empty for the tasks that run alone.
    pub(crate) fn ticket(&self, queue: &QueueName) -> String {
        match queue.as_str() {
            "default" => format!("{}task:alone:next", self.prefix),
            name => format!("{}task:alone:next:{name}", self.prefix),
        }
    }

    /// A glob for SCAN and PSUBSCRIBE: everything that begins with the prefix and `text`.
    pub(crate) fn glob(&self, text: &str) -> String {
        let mut glob = String::with_capacity(self.prefix.len() + text.len() + 1);
        for c in self.prefix.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
                glob.push('\\');
            }
            glob.push(c);
        }
        glob.push_str(text);
        glob.push('*');
        glob
    }
}
