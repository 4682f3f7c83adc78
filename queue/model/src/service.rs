//! The API: rows, the hand-in of a result, the reader of the outbox and the reconciler. Each function is one step between
//! two looks at Redis; what a slow replica does with an old look is a late call.

use crate::planted::Bug;
use crate::redis::Status;
use crate::scripts::Answer;
use crate::state::{Call, Entry, File, Id, Kind, Pointer, Reader, RowState, State, Token};
use crate::step::World;

/// The name of every result where names do not carry the token (a planted defect).
pub(crate) const COMMON_NAME: Token = Token {
    attempt: 0,
    nonce: 0,
};
/// Most entries that the reader takes at once.
const BATCH: usize = 2;

impl World<'_> {
    fn pointer(&self, token: Token) -> Pointer {
        let name = if self.rules.has(Bug::ResultNameWithoutToken) {
            COMMON_NAME
        } else {
            token
        };
        Pointer {
            name,
            content: token,
        }
    }

    /// First half of a hand-in: the token is verified, the files are stored under their names. False: it is stale.
    pub fn store(&mut self, task: Id, token: Token) -> bool {
        let known = self.state.redis.task(task);
        let done = known.is_some_and(|h| h.status == Status::Completed && h.token == Some(token));
        if done {
            return true;
        }
        if !self.state.redis.live(task, token) && !self.rules.has(Bug::CompleteWithoutToken) {
            return false;
        }
        let Pointer { name, content } = self.pointer(token);
        self.remove(task, name);
        self.state.files.push(File {
            task,
            name,
            content,
        });
        true
    }

    /// Second half: COMPLETE decides whether the files count.
    pub fn complete(&mut self, task: Id, token: Token) -> Answer {
        let pointer = self.pointer(token);
        let answer = self.script(|script| script.complete(task, token, pointer));
        let removes = self.rules.has(Bug::RefusedHandInRemovesFiles);
        if answer != Answer::Done && removes {
            self.remove(task, pointer.name);
        }
        answer
    }

    fn remove(&mut self, task: Id, name: Token) {
        self.state
            .files
            .retain(|file| (file.task, file.name) != (task, name));
    }

    /// `Db::finish` for one entry.
    pub fn commit(&mut self, entry: Entry) {
        let (any_life, any_state) = (
            self.rules.has(Bug::RowWithoutLifeGuard),
            self.rules.has(Bug::RowWithoutFinalGuard),
        );
        let row = &mut self.state.rows[usize::from(entry.task)];
        let life = row.life == entry.life || any_life;
        let open = (row.state == RowState::Queued && row.number < entry.number) || any_state;
        if !life || !open {
            return;
        }
        row.state = match entry.kind {
            Kind::Ok => RowState::Succeeded,
            Kind::Cancelled => RowState::Cancelled,
            Kind::Error | Kind::Timeout | Kind::Poison => RowState::Failed,
        };
        row.number = entry.number;
        row.result = entry.result;
        row.outcome_life = entry.life;
        row.outcomes += 1;
    }

    /// The oldest entries, read and committed; the next step acknowledges them.
    pub fn read_outbox(&mut self) {
        if self.state.reader.is_some() || self.state.redis.results.is_empty() {
            return;
        }
        let batch: Vec<Entry> = self
            .state
            .redis
            .results
            .iter()
            .rev()
            .take(BATCH)
            .copied()
            .collect();
        let top = batch.iter().map(|entry| entry.number).max().unwrap_or(0);
        let most = batch.len() as u8;
        let mut uncommitted = Vec::new();
        if self.rules.has(Bug::AckBeforeCommit) {
            self.script(|script| script.ack_results(top, most));
            uncommitted = batch;
        } else {
            batch.into_iter().for_each(|entry| self.commit(entry));
        }
        self.state.reader = Some(Reader {
            top,
            most,
            uncommitted,
        });
    }

    /// The reader's second step.
    pub fn acknowledge(&mut self) {
        let Some(reader) = self.state.reader.take() else {
            return;
        };
        if self.rules.has(Bug::AckBeforeCommit) {
            reader
                .uncommitted
                .into_iter()
                .for_each(|entry| self.commit(entry));
        } else {
            self.script(|script| script.ack_results(reader.top, reader.most));
        }
    }

    /// Cancel, as the owner asks for it.
    pub fn cancel(&mut self, task: Id) {
        if self.script(|script| script.cancel(task)) == Answer::Unknown {
            let row = &mut self.state.rows[usize::from(task)];
            if row.state == RowState::Queued {
                row.state = RowState::Cancelled;
                row.outcome_life = row.life;
                row.outcomes += 1;
            }
        }
    }

    /// Retry, up to the row: `raise_life`. The call to Redis is the reconciler's, as after a crash in between.
    pub fn raise_life(&mut self, task: Id) {
        let row = &mut self.state.rows[usize::from(task)];
        row.state = RowState::Queued;
        row.life += 1;
        row.result = None;
        row.outcomes = 0;
    }
}

/// What the upload, a retry or the reconciler calls for a row, from one look at row and hash.
pub fn mend(state: &State, task: Id) -> Option<Call> {
    let row = &state.rows[usize::from(task)];
    if row.state != RowState::Queued {
        return None;
    }
    let life = row.life;
    let Some(hash) = state.redis.task(task) else {
        return Some(Call::Enqueue { task, life });
    };
    if hash.life < life {
        return Some(match hash.status {
            Status::Failed => Call::Replay { task, life },
            Status::Completed => Call::Forget { task },
            Status::Pending | Status::Processing => Call::Cancel { task },
        });
    }
    let finished = matches!(hash.status, Status::Completed | Status::Failed);
    (hash.life == life && finished).then(|| Call::Commit {
        entry: Entry {
            number: row.number + 1,
            task,
            life,
            kind: hash.kind.unwrap_or(Kind::Error),
            result: hash.result,
        },
    })
}
