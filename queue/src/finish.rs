//! processing -> completed, failed or back to pending, by whoever holds the token.

use serde::Serialize;

use crate::script::Transition;
use crate::{Error, Queue, ResultPointer, TaskError, TaskId, Token, script};

/// How long a final hash stays readable where the caller does not say: longer than any outage of the database.
pub(crate) const FINAL_TTL_MS: u64 = 24 * 3600 * 1000;
const RESULT_LIMIT_BYTES: usize = 16 * 1024;
/// Longer messages of errors are cut.
const MESSAGE_LIMIT_CHARS: usize = 2000;

#[derive(Clone, Debug)]
pub struct Completion {
    pub id: TaskId,
    pub token: Token,
    pub result: ResultPointer,
    /// The worker's busy wall time, divided among the songs of each batch.
    pub busy_ms: u64,
    /// How long the finished hash stays readable (24 h).
    pub ttl_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    Done,
    /// By this very token: the earlier reply was lost.
    Already,
    Stale,
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Failure {
    pub id: TaskId,
    pub token: Token,
    /// `error.kind` is the kind of the final record.
    pub error: TaskError,
    pub retryable: bool,
    /// Jittered by the caller.
    pub backoff_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailAnswer {
    Retrying,
    Final,
    Already,
    Stale,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    Returned,
    WasCancelled,
    Already,
    Stale,
    Unknown,
}

/// What a token is worth at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Live,
    DoneByThisToken,
    Stale,
    Unknown,
}

impl Queue {
    pub async fn complete(&self, completion: &Completion) -> Result<Completed, Error> {
        let keys = &self.keys;
        let names = [
            keys.task(&completion.id),
            keys.processing(),
            keys.leases(),
            keys.real_time_factors(),
        ];
        let result = to_json(&completion.result);
        if result.len() > RESULT_LIMIT_BYTES {
            return Err(Error::TooLarge {
                what: "the result",
                bytes: result.len(),
                limit: RESULT_LIMIT_BYTES,
            });
        }
        let args = vec![
            completion.id.to_string(),
            completion.token.as_str().to_owned(),
            result,
            completion.ttl_ms.max(1).to_string(),
            completion.busy_ms.to_string(),
        ];
        let answer = self.run(&script::COMPLETE, &names, args).await?;
        match answer.number()? {
            1 => Ok(Completed::Done),
            2 => Ok(Completed::Already),
            0 => Ok(Completed::Stale),
            -1 => Ok(Completed::Unknown),
            _ => Err(answer.unexpected()),
        }
    }

    pub async fn fail(&self, failure: &Failure) -> Result<FailAnswer, Error> {
        let error = clipped(&failure.error);
        let args = vec![
            failure.id.to_string(),
            failure.token.as_str().to_owned(),
            to_json(&error),
            if error.kind.is_empty() {
                "internal".to_owned()
            } else {
                error.kind
            },
            u8::from(failure.retryable).to_string(),
            failure.backoff_ms.to_string(),
            FINAL_TTL_MS.to_string(),
        ];
        match self.hand_back(&script::FAIL, &failure.id, args).await? {
            1 => Ok(FailAnswer::Retrying),
            2 => Ok(FailAnswer::Final),
            3 => Ok(FailAnswer::Already),
            0 => Ok(FailAnswer::Stale),
            _ => Ok(FailAnswer::Unknown),
        }
    }

    /// Graceful hand-back to the front of the queue; costs no retry.
    pub async fn release(&self, id: &TaskId, token: &Token) -> Result<Released, Error> {
        let args = vec![
            id.to_string(),
            token.as_str().to_owned(),
            FINAL_TTL_MS.to_string(),
        ];
        match self.hand_back(&script::RELEASE, id, args).await? {
            1 => Ok(Released::Returned),
            2 => Ok(Released::WasCancelled),
            3 => Ok(Released::Already),
            0 => Ok(Released::Stale),
            _ => Ok(Released::Unknown),
        }
    }

    async fn hand_back(
        &self,
        transition: &Transition,
        id: &TaskId,
        args: Vec<String>,
    ) -> Result<i64, Error> {
        let names = [
            self.keys.task(id),
            self.keys.processing(),
            self.keys.leases(),
        ];
        let answer = self.run(transition, &names, args).await?;
        match answer.number()? {
            code @ -1..=3 => Ok(code),
            _ => Err(answer.unexpected()),
        }
    }

    /// Reads only; the answer may be out of date when it arrives, COMPLETE asks again.
    pub async fn verify(&self, id: &TaskId, token: &Token) -> Result<Verdict, Error> {
        let (status, payload, current): (Option<String>, Option<Vec<u8>>, Option<String>) =
            redis::cmd("HMGET")
                .arg(self.keys.task(id))
                .arg(&["status", "payload", "token"])
                .query_async(&mut self.manager())
                .await?;
        let owner = current.as_deref() == Some(token.as_str());
        Ok(match status.as_deref() {
            None if payload.is_none() => Verdict::Unknown,
            Some("processing") if owner => Verdict::Live,
            Some("completed") if owner => Verdict::DoneByThisToken,
            _ => Verdict::Stale,
        })
    }
}

fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

fn clipped(error: &TaskError) -> TaskError {
    TaskError {
        message: error.message.chars().take(MESSAGE_LIMIT_CHARS).collect(),
        ..error.clone()
    }
}
