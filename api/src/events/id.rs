//! Names of events: `{life}.{seq}`. Within a life the queue counts up; the end of a life has the last number of all, so that
//! it is known as the end even when the queue has forgotten the task.

use std::fmt;

use crate::transcriptions::View;

/// The largest integer that JavaScript holds exactly.
const END: u64 = (1 << 53) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId {
    pub(super) life: u64,
    pub(super) seq: u64,
}

impl EventId {
    /// What has been seen by whoever saw this view.
    pub(super) fn of(view: &View) -> Self {
        let life = view.row.life;
        if view.state().is_final() {
            return Self::end_of(life);
        }
        Self {
            life,
            seq: view.snapshot.as_ref().map_or(0, |snapshot| snapshot.seq),
        }
    }

    pub(super) fn end_of(life: u64) -> Self {
        Self { life, seq: END }
    }

    /// For the snapshot before the end: it must not pass for the end itself if the connection breaks between the two.
    pub(super) fn while_running(self) -> Self {
        Self {
            seq: self.seq.min(END - 1),
            ..self
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (life, seq) = text.trim().split_once('.')?;
        Some(Self {
            life: life.parse().ok()?,
            seq: seq.parse().ok()?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.life, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_strangers_do_not() {
        let id = EventId { life: 2, seq: 17 };
        assert_eq!(EventId::parse(&id.to_string()), Some(id));
        for text in ["", "1", "1.", ".1", "1.x", "-1.2", "1.2.3"] {
            assert_eq!(EventId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_snapshot_before_the_end_is_not_the_end() {
        assert_ne!(EventId::end_of(1).while_running(), EventId::end_of(1));
    }
}
