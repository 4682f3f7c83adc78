//! How large the checked world is, and which rules it keeps.

use crate::planted::Bug;

/// Room in the fixed arrays; a size asks for at most this.
pub const MOST_TASKS: usize = 2;
pub const MOST_WORKERS: usize = 3;

/// Solo crashes until a task is poison (three in production; two show the same with shorter histories).
pub const MAX_CRASHES: u8 = 2;
/// Errors after which a task fails (three runs in production).
pub const MAX_RETRIES: u8 = 1;
/// The row's life, raised by a retry, ends here.
pub const MAX_LIVES: u8 = 2;

/// Which disturbances may happen. Each that happens costs one of `faults`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    pub crash: bool,
    /// A living worker that stands still until its lease has ended.
    pub pause: bool,
    pub lost_reply: bool,
    /// A call that arrives once more, or much later than it was sent.
    pub late_call: bool,
    /// Redis goes back by at most `lost_suffix` transitions.
    pub failover: bool,
    /// Redis forgets everything.
    pub wipe: bool,
    /// A client of the seed's era moves an id and dies.
    pub bare_move: bool,
    /// Nobody reaps for longer than a lease.
    pub nobody_reaps: bool,
}

impl Faults {
    pub const ALL: Self = Self {
        crash: true,
        pause: true,
        lost_reply: true,
        late_call: true,
        failover: true,
        wipe: true,
        bare_move: true,
        nobody_reaps: true,
    };
}

/// A size of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub tasks: usize,
    pub workers: usize,
    /// Tasks that one worker runs at once.
    pub slots: usize,
    /// Leaders of the cluster that call EXPIRE_WORKER, each with its own epoch, beside a parent without one.
    pub leaders: u8,
    /// Disturbances in one history, of any kinds in any order.
    pub faults: u8,
    /// Deeds of people and hosts in one history: an error, a hand-back, an overrun, a cancel, a suspend, a retry.
    pub acts: u8,
    /// Most transitions of Redis that a failover undoes.
    pub lost_suffix: u8,
    pub kinds: Faults,
}

/// A size and the rule that it breaks, if any.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub size: Size,
    pub bug: Option<Bug>,
}

impl Rules {
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

const FULL: Size = Size {
    tasks: 2,
    workers: 3,
    slots: 1,
    leaders: 2,
    faults: 1,
    acts: 2,
    lost_suffix: 2,
    kinds: Faults::ALL,
};

/// What `make model` looks at, each to its end: any fault among any two deeds, any two faults, and workers with two slots.
pub const SIZES: &[(&str, Size)] = &[
    ("one fault and two deeds", FULL),
    (
        "two faults",
        Size {
            faults: 2,
            acts: 0,
            ..FULL
        },
    ),
    (
        "two slots a worker, so that tasks run beside each other or alone",
        Size {
            workers: 2,
            slots: 2,
            faults: 2,
            acts: 0,
            lost_suffix: 1,
            ..FULL
        },
    ),
];

/// What the tests look at: every fault and every deed, but fewer of them in one history.
pub const CI_SIZES: &[(&str, Size)] = &[
    (
        "one fault and one deed",
        Size {
            acts: 1,
            lost_suffix: 1,
            ..FULL
        },
    ),
    (
        "two faults, one task",
        Size {
            tasks: 1,
            workers: 2,
            faults: 2,
            acts: 1,
            ..FULL
        },
    ),
    (
        "two slots a worker",
        Size {
            workers: 2,
            slots: 2,
            acts: 0,
            ..FULL
        },
    ),
];
