//! What is known about jobs beside their objects, by uid. All of it can be found out again; losing it costs a question.

use std::collections::HashMap;

use crds::{TranscriptionJobStatus, is_true};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::words::RUNNING;
use crate::ledger::Item;

/// What Redis says of an unfinished one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    pub running: bool,
    pub worker: Option<String>,
    pub attempt: Option<i32>,
    pub started_at_ms: Option<i64>,
    /// In steps of 5.
    pub percent: Option<i32>,
    /// Rounded.
    pub position: Option<i32>,
    pub done_at: Option<Time>,
}

impl Live {
    /// What a status shows: whoever has just begun to lead goes on from there, or it would take back what Redis is about to
    /// tell it, and write twice for nothing.
    fn shown(status: &TranscriptionJobStatus) -> Self {
        Live {
            running: is_true(&status.conditions, RUNNING),
            worker: status.worker.clone(),
            attempt: status.attempts,
            started_at_ms: None,
            percent: status.progress_percent,
            position: status.queue_position,
            done_at: status.estimated_completion_time.clone(),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Known {
    /// As the API had it last.
    pub item: Option<Item>,
    pub live: Live,
    /// A pass was over it in this process: `live` goes on from what its status showed then.
    pub begun: bool,
    /// The status as this process wrote it; the mirror may be older.
    pub written: Option<TranscriptionJobStatus>,
    /// When its next unimportant write may be.
    pub slot: Option<Instant>,
}

#[derive(Debug, Default)]
pub struct Register {
    jobs: Mutex<HashMap<String, (String, Known)>>,
}

impl Register {
    /// `key` is the object's; it tells whom to look at when something about the uid is heard.
    pub fn meet(&self, uid: &str, key: &str) {
        self.jobs
            .lock()
            .entry(uid.to_owned())
            .or_insert_with(|| (key.to_owned(), Known::default()));
    }

    /// At the beginning of a pass over an unfinished job: what is known of it.
    pub fn begin(&self, uid: &str, key: &str, base: &TranscriptionJobStatus) -> Known {
        self.meet(uid, key);
        let begin = |known: &mut Known| {
            if !known.begun {
                known.begun = true;
                known.live = Live::shown(base);
            }
            known.clone()
        };
        self.change(uid, begin)
            .map(|(_, known)| known)
            .unwrap_or_default()
    }

    pub fn forget(&self, uid: &str) -> Option<Known> {
        self.jobs.lock().remove(uid).map(|(_, known)| known)
    }

    pub fn get(&self, uid: &str) -> Known {
        self.jobs
            .lock()
            .get(uid)
            .map(|(_, known)| known.clone())
            .unwrap_or_default()
    }

    /// Changes what is known; the object's key, where that is known at all.
    pub fn change<T>(
        &self,
        uid: &str,
        change: impl FnOnce(&mut Known) -> T,
    ) -> Option<(String, T)> {
        let mut jobs = self.jobs.lock();
        let (key, known) = jobs.get_mut(uid)?;
        Some((key.clone(), change(known)))
    }

    /// Takes an answer of the API, unless a newer one is there. The key of the job that it is about.
    pub fn heard(&self, item: &Item) -> Option<String> {
        let (key, news) = self.change(&item.id, |known| {
            let newer = known
                .item
                .as_ref()
                .is_none_or(|had| item.seq > had.seq || item.seq == had.seq && *item != *had);
            if newer {
                known.item = Some(item.clone());
            }
            newer
        })?;
        news.then_some(key)
    }

    /// (uid, what the API has) of all that are known to it and not finished, once a pass was over them.
    pub fn unfinished(&self) -> Vec<(String, Item)> {
        self.jobs
            .lock()
            .iter()
            .filter(|(_, (_, known))| known.begun)
            .filter_map(|(uid, (_, known))| {
                let item = known.item.as_ref().filter(|item| !item.state.is_final())?;
                Some((uid.clone(), item.clone()))
            })
            .collect()
    }

    pub fn knows(&self, uid: &str) -> bool {
        self.jobs.lock().contains_key(uid)
    }

    pub fn len(&self) -> usize {
        self.jobs.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
