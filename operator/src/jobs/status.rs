//! A job's status from what is known: pure, and the same again for the same knowledge.

use crds::{
    Audio, Condition, Failure, JobResult, TranscriptionJob, TranscriptionJobStatus, find, is_true,
};
use k8s_openapi::jiff::Timestamp;

use super::known::Live;
use super::words::{self, ACCEPTED, COMPLETE, FAILED, NO_POOL, QUEUED, RUNNING, SUSPENDED};
use crate::cluster::Kind;
use crate::conditions::{Conditions, Truth, at_ms};
use crate::ledger::{Item, Problem, State};

/// Everything that a status is made of.
#[derive(Debug)]
pub struct View<'a> {
    pub job: &'a TranscriptionJob,
    /// The status as it was written last.
    pub base: &'a TranscriptionJobStatus,
    pub item: Option<&'a Item>,
    pub live: &'a Live,
    /// The job itself is at fault.
    pub refused: Option<&'a Problem>,
    /// The API cannot be asked at present.
    pub trouble: Option<&'a str>,
    /// A pool serves the queue.
    pub has_pool: bool,
    /// What stands before a result's address when that begins with a slash.
    pub public_url: &'a str,
    pub now: Timestamp,
}

pub fn status(view: &View) -> TranscriptionJobStatus {
    let generation = view.job.metadata.generation;
    let mut conditions = Conditions::from(&view.base.conditions, generation, view.now);
    let mut status = TranscriptionJobStatus {
        observed_generation: generation,
        ..view.base.clone()
    };
    if let Some(problem) = view.refused {
        refused(view, problem, &mut conditions, &mut status);
    } else if let Some(item) = view.item {
        facts(item, view.live, &mut status);
        if item.state.is_final() {
            finished(view, item, &mut conditions, &mut status);
        } else {
            unfinished(view, item, &mut conditions, &mut status);
        }
    } else {
        let message = view.trouble.unwrap_or("it has not been asked for yet");
        conditions.set(ACCEPTED, Truth::Unknown, "ApiUnavailable", message);
        suspension(view, &mut conditions);
    }
    status.conditions = conditions.into_list();
    status.state = Some(words::state(&status.conditions));
    status
}

fn refused(
    view: &View,
    problem: &Problem,
    conditions: &mut Conditions,
    status: &mut TranscriptionJobStatus,
) {
    let reason = words::reason(&problem.code);
    conditions.set(ACCEPTED, Truth::False, &reason, &problem.message);
    end(view, conditions, status, None);
    conditions.set(FAILED, Truth::True, &reason, &problem.message);
    status.failure = Some(Failure {
        code: problem.code.clone(),
        message: problem.message.clone(),
    });
}

/// What is measured and counted, whatever the state.
fn facts(item: &Item, live: &Live, status: &mut TranscriptionJobStatus) {
    status.model = item.model.clone().or(status.model.take());
    status.queue = item.queue.clone().or(status.queue.take());
    let audio = Audio {
        duration_seconds: item
            .audio_ms
            .filter(|ms| *ms > 0)
            .map(|ms| (ms + 500) / 1000),
        sample_rate_hz: item.sample_rate.filter(|rate| *rate > 0),
        channels: item.channels.filter(|channels| *channels > 0),
    };
    if audio != Audio::default() {
        status.audio = Some(audio);
    }
    // A count never goes down: an old answer may come late.
    let attempts = item
        .attempt
        .max(live.attempt)
        .max(status.attempts)
        .filter(|attempts| *attempts > 0);
    status.attempts = attempts;
    status.worker = live.worker.clone().or(status.worker.take());
    let started_ms = item
        .started_at_ms
        .or(live.started_at_ms)
        .filter(|ms| *ms > 0);
    status.start_time = status.start_time.take().or(started_ms.and_then(at_ms));
}

fn unfinished(
    view: &View,
    item: &Item,
    conditions: &mut Conditions,
    status: &mut TranscriptionJobStatus,
) {
    conditions.set(ACCEPTED, Truth::True, "Accepted", "the API has it");
    let queue = item.queue.as_deref().unwrap_or("default");
    let running = item.state == State::Running || view.live.running;
    if running {
        let worker = view.live.worker.as_deref().unwrap_or("a worker");
        conditions.set(
            RUNNING,
            Truth::True,
            "Started",
            &format!("{worker} works on it"),
        );
        conditions.set(QUEUED, Truth::False, "Started", "a worker has it");
        status.queue_position = None;
        status.progress_percent = view.live.percent.or(status.progress_percent);
    } else {
        if is_true(conditions.list(), RUNNING) {
            conditions.set(
                RUNNING,
                Truth::False,
                "Requeued",
                "its worker is gone or it failed; it will be tried again",
            );
        } else if !conditions.has(RUNNING) {
            conditions.set(
                RUNNING,
                Truth::False,
                "NotStarted",
                "it has not been started yet",
            );
        }
        if item.state == State::Created {
            conditions.set(
                QUEUED,
                Truth::False,
                "Fetching",
                "the API fetches and checks the recording",
            );
        } else if view.has_pool {
            conditions.set(
                QUEUED,
                Truth::True,
                "Waiting",
                &format!("it waits in the queue {queue}"),
            );
        } else {
            let message = format!(
                "it waits in the queue {queue}, which no WorkerPool serves; make one with spec.queue: {queue}"
            );
            conditions.set(QUEUED, Truth::True, NO_POOL, &message);
        }
        status.progress_percent = None;
        status.queue_position = view.live.position;
    }
    status.estimated_completion_time = view.live.done_at.clone();
    suspension(view, conditions);
}

fn suspension(view: &View, conditions: &mut Conditions) {
    let wished = view.job.spec.suspend;
    let running = is_true(conditions.list(), RUNNING);
    let stands = view.item.is_none_or(|item| item.suspended);
    if wished && running {
        conditions.set(
            SUSPENDED,
            Truth::False,
            "Running",
            "it was running already and is not stopped",
        );
    } else if wished && stands {
        conditions.set(
            SUSPENDED,
            Truth::True,
            "Suspended",
            "spec.suspend is true: no worker gets it",
        );
    } else if conditions.has(SUSPENDED) {
        conditions.set(SUSPENDED, Truth::False, "Resumed", "spec.suspend is false");
    }
}

fn finished(
    view: &View,
    item: &Item,
    conditions: &mut Conditions,
    status: &mut TranscriptionJobStatus,
) {
    conditions.set(ACCEPTED, Truth::True, "Accepted", "the API has it");
    end(view, conditions, status, item.finished_at_ms);
    if item.state == State::Succeeded {
        let outcome = item.result.clone().unwrap_or_default();
        let notes = i32::try_from(outcome.notes).unwrap_or(i32::MAX);
        status.result = Some(JobResult {
            url: absolute(outcome.url.unwrap_or_default(), view.public_url),
            sha256: outcome.sha256,
            note_count: notes,
        });
        status.failure = None;
        status.progress_percent = Some(100);
        conditions.set(
            COMPLETE,
            Truth::True,
            "Completed",
            &format!("{notes} notes"),
        );
        return;
    }
    let problem = item.error.clone().unwrap_or_default();
    let (code, message) = match item.state {
        State::Expired => (
            "expired".to_owned(),
            "the API keeps it no longer".to_owned(),
        ),
        State::Cancelled if problem.code.is_empty() => {
            ("cancelled".to_owned(), "it was cancelled".to_owned())
        }
        _ if problem.code.is_empty() => {
            ("failed".to_owned(), "the API does not say why".to_owned())
        }
        _ => (problem.code, problem.message),
    };
    let cancelled = item.state == State::Cancelled && code == "cancelled";
    let reason = if cancelled {
        words::CANCELLED.to_owned()
    } else {
        words::reason(&code)
    };
    conditions.set(FAILED, Truth::True, &reason, &message);
    status.failure = Some(Failure { code, message });
}

/// The API may not know under which address people reach it.
pub(super) fn absolute(url: String, public_url: &str) -> String {
    if url.starts_with('/') {
        format!("{public_url}{url}")
    } else {
        url
    }
}

/// It neither waits nor runs any more.
fn end(
    view: &View,
    conditions: &mut Conditions,
    status: &mut TranscriptionJobStatus,
    finished_ms: Option<i64>,
) {
    for type_ in [QUEUED, RUNNING] {
        conditions.set(type_, Truth::False, "Finished", "it is finished");
    }
    if conditions.has(SUSPENDED) {
        conditions.set(SUSPENDED, Truth::False, "Finished", "it is finished");
    }
    status.queue_position = None;
    status.estimated_completion_time = None;
    let now = at_ms(view.now.as_millisecond());
    status.completion_time = status
        .completion_time
        .take()
        .or(finished_ms.filter(|ms| *ms > 0).and_then(at_ms))
        .or(now);
}

/// Whether only what moves all the time differs: progress, place, estimate. That is written when there is time.
pub fn only_soft(old: &TranscriptionJobStatus, new: &TranscriptionJobStatus) -> bool {
    let hard = |status: &TranscriptionJobStatus| TranscriptionJobStatus {
        progress_percent: None,
        queue_position: None,
        estimated_completion_time: None,
        ..status.clone()
    };
    hard(old) == hard(new)
}

/// An event to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub kind: Kind,
    pub reason: String,
    pub action: &'static str,
    pub note: String,
}

/// What changed from one status to the next, in words for people; nothing where only numbers moved.
pub fn notices(old: &[Condition], new: &TranscriptionJobStatus) -> Vec<Notice> {
    let mut told = Vec::new();
    let mut tell = |kind, reason: &str, action, note: &str| {
        told.push(Notice {
            kind,
            reason: reason.to_owned(),
            action,
            note: note.to_owned(),
        });
    };
    let list = &new.conditions;
    let became = |type_: &str, truth: &str| {
        find(list, type_)
            .filter(|is| is.status == truth)
            .filter(|_| find(old, type_).is_none_or(|was| was.status != truth))
    };
    if let Some(accepted) = became(ACCEPTED, "Unknown") {
        tell(
            Kind::Warning,
            &accepted.reason,
            "Validate",
            &accepted.message,
        );
    }
    if let Some(failed) = became(FAILED, "True") {
        let kind = if failed.reason == words::CANCELLED {
            Kind::Normal
        } else {
            Kind::Warning
        };
        tell(kind, &failed.reason, "Fail", &failed.message);
        return told;
    }
    if let Some(complete) = became(COMPLETE, "True") {
        tell(Kind::Normal, "Completed", "Complete", &complete.message);
        return told;
    }
    if let Some(queued) = find(list, QUEUED).filter(|queued| queued.status == "True") {
        let was = find(old, QUEUED).filter(|was| was.status == "True");
        if queued.reason == NO_POOL && was.is_none_or(|was| was.reason != NO_POOL) {
            tell(Kind::Warning, NO_POOL, "Enqueue", &queued.message);
        } else if was.is_none() && !is_true(old, RUNNING) {
            tell(Kind::Normal, "Enqueued", "Enqueue", &queued.message);
        }
    }
    if let Some(running) = became(RUNNING, "True") {
        tell(Kind::Normal, "Started", "Run", &running.message);
    } else if is_true(old, RUNNING) && !is_true(list, RUNNING) {
        tell(
            Kind::Warning,
            "Requeued",
            "Requeue",
            "its worker is gone or it failed; it will be tried again",
        );
    }
    if became(SUSPENDED, "True").is_some() {
        tell(
            Kind::Normal,
            "Suspended",
            "Suspend",
            "spec.suspend is true: no worker gets it",
        );
    } else if is_true(old, SUSPENDED) && !is_true(list, SUSPENDED) {
        tell(Kind::Normal, "Resumed", "Resume", "it may be started");
    }
    told
}
