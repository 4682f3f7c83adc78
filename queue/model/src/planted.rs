//! Planted defects. Each is one rule of the protocol left out, and names the property that must break without it: a model
//! in which nothing can fail proves nothing.

use crate::property::{self as p, Name};
use crate::size::{Faults, Size};

/// One rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    CompleteWithoutToken,
    FailWithoutToken,
    ReleaseWithoutToken,
    HeartbeatWithoutToken,
    /// The token is the attempt's number alone.
    TokenWithoutNonce,
    ClaimWithoutLease,
    /// CLAIM does not look at the nonce of the worker's last claim.
    NonceIgnored,
    /// CLAIM hands a second task to a worker that runs one alone.
    CompanyForTheLonely,
    ReapWithoutAdoption,
    /// REAP takes the id out and does not queue it.
    ReapLosesTheId,
    /// Solo crashes are not counted.
    PoisonNotCounted,
    /// COMPLETE leaves the lease behind.
    LeaseLeftBehind,
    /// CANCEL ends a running task instead of asking.
    CancelEndsRunning,
    /// CANCEL of a parked task leaves it in the set.
    ParkedLeftBehind,
    /// A claimed task stays in the sum of waiting work.
    ClaimNotCounted,
    /// RELEASE queues a task whose cancel was asked.
    ReleaseForgetsCancel,
    /// What returns to a list does not look at `parked`.
    ParkIgnored,
    ReplayKeepsDeadLetter,
    ReplayResetsAttempt,
    /// FAIL reaches its final state without an outbox entry.
    FinalWithoutOutbox,
    /// A finished task's number in the outbox is the last one again.
    NumberRepeated,
    /// After a lost suffix the numbers go on where they were.
    NumberFallsBack,
    /// EXPIRE_WORKER hears every leader.
    EpochIgnored,
    /// The row takes an outcome of another life.
    RowWithoutLifeGuard,
    /// The row takes an outcome although it has one.
    RowWithoutFinalGuard,
    AckBeforeCommit,
    /// All attempts of a task store their result under one name.
    ResultNameWithoutToken,
    /// A hand-in that was refused removes its files, though an outcome that Redis lost may name them.
    RefusedHandInRemovesFiles,
    /// Nobody compares rows with Redis after Redis lost data.
    NoReconciler,
}

/// A defect, what must break, and the smallest world in which it shows.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    pub bug: Bug,
    pub breaks: Name,
    faults: u8,
    acts: u8,
    slots: usize,
}

impl Planted {
    pub fn size(&self) -> Size {
        Size {
            tasks: 2,
            workers: 2,
            slots: self.slots,
            leaders: 2,
            faults: self.faults,
            acts: self.acts,
            lost_suffix: 1,
            kinds: Faults::ALL,
        }
    }
}

const fn plant(bug: Bug, breaks: Name, faults: u8, acts: u8, slots: usize) -> Planted {
    Planted {
        bug,
        breaks,
        faults,
        acts,
        slots,
    }
}

/// The figures: faults, acts, slots.
pub const PLANTED: &[Planted] = &[
    plant(Bug::CompleteWithoutToken, p::S5, 1, 0, 1),
    plant(Bug::FailWithoutToken, p::S5, 1, 1, 1),
    plant(Bug::ReleaseWithoutToken, p::S5, 1, 1, 1),
    plant(Bug::HeartbeatWithoutToken, p::S5, 2, 0, 1),
    plant(Bug::TokenWithoutNonce, p::S5, 1, 0, 1),
    plant(Bug::ClaimWithoutLease, p::S2, 1, 0, 1),
    plant(Bug::NonceIgnored, p::N1, 1, 0, 1),
    plant(Bug::CompanyForTheLonely, p::A1, 2, 0, 2),
    plant(Bug::ReapWithoutAdoption, p::L1, 1, 0, 1),
    plant(Bug::PoisonNotCounted, p::P1, 2, 0, 1),
    plant(Bug::LeaseLeftBehind, p::S4, 1, 0, 1),
    plant(Bug::CancelEndsRunning, p::S4, 0, 1, 1),
    plant(Bug::ParkedLeftBehind, p::S4, 0, 2, 1),
    plant(Bug::ClaimNotCounted, p::W1, 0, 0, 1),
    plant(Bug::ReapLosesTheId, p::S1, 1, 0, 1),
    plant(Bug::ReleaseForgetsCancel, p::K1, 0, 1, 1),
    plant(Bug::ParkIgnored, p::K2, 1, 1, 1),
    plant(Bug::ReplayKeepsDeadLetter, p::S7, 0, 2, 1),
    plant(Bug::ReplayResetsAttempt, p::S6, 0, 2, 1),
    plant(Bug::FinalWithoutOutbox, p::S9, 0, 1, 1),
    plant(Bug::NumberRepeated, p::S8, 1, 0, 1),
    plant(Bug::NumberFallsBack, p::S8, 1, 0, 1),
    plant(Bug::EpochIgnored, p::E1, 2, 0, 1),
    plant(Bug::RowWithoutLifeGuard, p::M1, 0, 2, 1),
    plant(Bug::RowWithoutFinalGuard, p::S3, 1, 0, 1),
    plant(Bug::AckBeforeCommit, p::S9, 1, 0, 1),
    plant(Bug::ResultNameWithoutToken, p::R1, 1, 0, 1),
    plant(Bug::RefusedHandInRemovesFiles, p::R1, 2, 0, 1),
    plant(Bug::NoReconciler, p::L1, 1, 0, 1),
];
