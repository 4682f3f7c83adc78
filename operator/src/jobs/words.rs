//! The words of a job's conditions, and the one place where they become a state.

use crds::{Condition, State, find, is_true};

pub(super) const ACCEPTED: &str = "Accepted";
pub(super) const SUSPENDED: &str = "Suspended";
pub(super) const QUEUED: &str = "Queued";
pub(super) const RUNNING: &str = "Running";
pub(super) const COMPLETE: &str = "Complete";
pub(super) const FAILED: &str = "Failed";

pub(super) const CANCELLED: &str = "Cancelled";
pub(super) const EXPIRED: &str = "Expired";
pub(super) const NO_POOL: &str = "NoPool";

/// As a batch Job: finished when Complete or Failed is true.
pub fn is_finished(conditions: &[Condition]) -> bool {
    is_true(conditions, COMPLETE) || is_true(conditions, FAILED)
}

pub fn state(conditions: &[Condition]) -> State {
    let failed = find(conditions, FAILED).filter(|failed| failed.status == "True");
    match failed.map(|failed| failed.reason.as_str()) {
        Some(CANCELLED) => return State::Cancelled,
        Some(EXPIRED) => return State::Expired,
        Some(_) => return State::Failed,
        None => {}
    }
    for (type_, state) in [
        (COMPLETE, State::Succeeded),
        (RUNNING, State::Running),
        (SUSPENDED, State::Suspended),
        (QUEUED, State::Queued),
    ] {
        if is_true(conditions, type_) {
            return state;
        }
    }
    State::Created
}

/// `audio_undecodable` is `AudioUndecodable` as a reason; the deadlines have names that Kubernetes' users know.
pub fn reason(code: &str) -> String {
    match code {
        "deadline" => return "DeadlineExceeded".to_owned(),
        "queue_deadline" => return "QueueDeadlineExceeded".to_owned(),
        _ => {}
    }
    let mut word = String::with_capacity(code.len());
    for part in code.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut letters = part.chars();
        if let Some(first) = letters.next() {
            word.push(first.to_ascii_uppercase());
            word.extend(letters);
        }
    }
    match word.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => word,
        _ => format!("Code{word}"),
    }
}
