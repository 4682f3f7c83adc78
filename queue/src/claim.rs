//! pending -> processing, for one worker.

use crate::finish::FINAL_TTL_MS;
use crate::script::Answer;
use crate::{Error, Queue, QueueName, TaskId, TaskPayload, Token, WorkerId, script};

/// Dead entries that one claim may step over before it answers `Again`.
const MOST_SKIPS: u32 = 64;

/// A worker asks for work.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    pub worker: WorkerId,
    /// In order of preference.
    pub queues: Vec<QueueName>,
    /// From [`ClaimRequest::nonce`]; repeated unchanged until there is an answer.
    pub nonce: String,
    /// How many tasks this worker holds now.
    pub held: u32,
    /// How many it can hold.
    pub slots: u32,
}

impl ClaimRequest {
    /// 128 random bits, one per claim that is not a repetition.
    pub fn nonce() -> String {
        format!("{:032x}", rand::random::<u128>())
    }
}

/// Answer of [`Queue::claim`].
#[derive(Clone, Debug)]
pub enum ClaimAnswer {
    Claimed(Box<Claim>),
    /// Wait for the hint, the poll or this many milliseconds.
    Nothing {
        next_due_ms: Option<u64>,
    },
    Paused,
    Draining,
    /// Only dead entries were met, or the nonce was that of a claim that has ended; claim again at once with a new nonce.
    Again,
}

/// One attempt of one task, owned by whoever knows the token.
#[derive(Clone, Debug)]
pub struct Claim {
    pub id: TaskId,
    pub token: Token,
    pub attempt: u32,
    pub life: u64,
    pub queue: QueueName,
    pub model: String,
    pub payload: TaskPayload,
    pub audio_ms: u64,
    pub lease_ms: u64,
    /// Milliseconds from now until the running limit.
    pub hard_limit_ms: u64,
    pub retries: u32,
    pub crashes: u32,
    /// Runs alone: the worker gets nothing else until it ends.
    pub alone: bool,
    /// The answer to an earlier call with the same nonce.
    pub replayed: bool,
}

impl Queue {
    /// Asks for one task. A worker sends a heartbeat before its first claim, so that a drain of its pod finds it. After a lost
    /// reply the same request brings the same claim.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<ClaimAnswer, Error> {
        check_nonce(&request.nonce)?;
        let keys = &self.keys;
        let mut names = vec![
            keys.processing(),
            keys.leases(),
            keys.paused(),
            keys.worker(&request.worker),
            keys.drain(),
            keys.delayed(),
        ];
        let mut args = vec![
            request.worker.to_string(),
            request.nonce.clone(),
            request.held.to_string(),
            request.slots.max(1).to_string(),
            FINAL_TTL_MS.to_string(),
            MOST_SKIPS.to_string(),
        ];
        for queue in &request.queues {
            names.extend(keys.lists(queue));
            names.push(keys.ticket(queue));
            args.push(queue.to_string());
        }
        let mut answer = self
            .run(&script::CLAIM, &names, args)
            .await?
            .list()?
            .into_iter();
        let word = answer.next().map(|word| word.text()).unwrap_or_default();
        let rest: Vec<Answer> = answer.collect();
        match (word.as_str(), rest.as_slice()) {
            ("claimed", fields) => Ok(ClaimAnswer::Claimed(Box::new(read_claim(fields)?))),
            ("nothing", [due]) => Ok(ClaimAnswer::Nothing {
                next_due_ms: due.optional()?,
            }),
            ("paused", []) => Ok(ClaimAnswer::Paused),
            ("draining", []) => Ok(ClaimAnswer::Draining),
            ("again", []) => Ok(ClaimAnswer::Again),
            _ => Err(Error::Protocol {
                script: "claim",
                answer: word,
            }),
        }
    }
}

fn read_claim(fields: &[Answer]) -> Result<Claim, Error> {
    let [
        id,
        token,
        attempt,
        life,
        queue,
        model,
        payload,
        audio,
        lease,
        limit,
        retries,
        crashes,
        alone,
        replayed,
    ] = fields
    else {
        return Err(Error::Protocol {
            script: "claim",
            answer: format!("a claim of {} fields", fields.len()),
        });
    };
    Ok(Claim {
        id: TaskId::parse(id.text())?,
        token: Token::new(token.text()),
        attempt: attempt.unsigned()? as u32,
        life: life.unsigned()?,
        queue: QueueName::parse(queue.text())?,
        model: model.text(),
        payload: TaskPayload::from_json(&payload.text()),
        audio_ms: audio.unsigned()?,
        lease_ms: lease.unsigned()?,
        hard_limit_ms: limit.unsigned()?,
        retries: retries.unsigned()? as u32,
        crashes: crashes.unsigned()? as u32,
        alone: alone.text() == "1",
        replayed: replayed.text() == "1",
    })
}

/// The nonce becomes part of the token, so it must be hard to guess.
fn check_nonce(nonce: &str) -> Result<(), Error> {
    if (16..=64).contains(&nonce.len())
        && nonce
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    {
        return Ok(());
    }
    Err(Error::Invalid {
        what: "nonce",
        value: nonce.to_owned(),
        rule: "16 to 64 of 0-9 A-Z a-z -; use ClaimRequest::nonce()",
    })
}
