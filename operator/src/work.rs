//! What is to be looked at again, and when: keys with a due time, one pass of a key at a time, a bounded number of passes
//! at once, and for a key that failed a pause that grows. Generic; it knows neither Kubernetes nor what a key stands for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After an outage all that failed is tried again within so much time.
const SPREAD: Duration = Duration::from_secs(2);

/// What a pass came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something changes.
    Change,
    /// Look again, if nothing changes before.
    After(Duration),
    /// Try again after a pause that grows with each failure.
    Failed,
}

#[derive(Debug)]
struct Inner<K> {
    due: BTreeMap<(Instant, u64), K>,
    when: HashMap<K, (Instant, u64)>,
    running: HashSet<K>,
    failures: HashMap<K, u32>,
    number: u64,
}

#[derive(Debug)]
pub struct Work<K> {
    inner: Mutex<Inner<K>>,
    woken: Notify,
}

impl<K> Default for Work<K> {
    fn default() -> Self {
        Work {
            inner: Mutex::new(Inner {
                due: BTreeMap::new(),
                when: HashMap::new(),
                running: HashSet::new(),
                failures: HashMap::new(),
                number: 0,
            }),
            woken: Notify::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Work<K> {
    pub fn now(&self, key: K) {
        self.at(key, Instant::now());
    }

    /// Of two times for one key the earlier one counts.
    pub fn at(&self, key: K, when: Instant) {
        let mut inner = self.inner.lock();
        if inner
            .when
            .get(&key)
            .is_some_and(|(known, _)| *known <= when)
        {
            return;
        }
        inner.put(key, when);
        drop(inner);
        self.woken.notify_one();
    }

    /// What failed before is due now: what it failed on answers again.
    pub fn retry_failed(&self) {
        self.retry_failed_from(Instant::now());
        self.woken.notify_one();
    }

    fn retry_failed_from(&self, now: Instant) {
        let mut inner = self.inner.lock();
        let failed: Vec<K> = inner.failures.keys().cloned().collect();
        for key in failed {
            let soon = now + SPREAD.mul_f64(rand::rng().random_range(0.0..1.0));
            if inner.when.get(&key).is_some_and(|(when, _)| *when > soon) {
                inner.put(key, soon);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.inner.lock().due.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Passes over keys as they become due, for ever, at most so many at once. A panic in a pass ends it all.
    pub async fn drive<F, W>(self: &Arc<Self>, at_once: usize, pass: F)
    where
        F: Fn(K) -> W,
        W: Future<Output = Next> + Send + 'static,
    {
        let mut passes: JoinSet<()> = JoinSet::new();
        loop {
            while passes.len() >= at_once {
                reap(passes.join_next().await);
            }
            while let Some(ended) = passes.try_join_next() {
                reap(Some(ended));
            }
            match self.take(Instant::now()) {
                Ok(key) => {
                    let work = Arc::clone(self);
                    let running = pass(key.clone());
                    passes.spawn(async move {
                        let next = running.await;
                        work.done(key, next, Instant::now());
                    });
                }
                Err(until) => {
                    let sleep = async {
                        match until {
                            Some(until) => tokio::time::sleep_until(until).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = sleep => {}
                        () = self.woken.notified() => {}
                        Some(ended) = passes.join_next() => reap(Some(ended)),
                    }
                }
            }
        }
    }

    /// The next key, or when there is one.
    fn take(&self, now: Instant) -> Result<K, Option<Instant>> {
        let mut inner = self.inner.lock();
        let mut found = None;
        for (slot, key) in &inner.due {
            if slot.0 > now {
                break;
            }
            if !inner.running.contains(key) {
                found = Some(*slot);
                break;
            }
        }
        let Some(slot) = found else {
            // What is due but running is looked at again when its pass ends.
            return Err(inner.due.keys().map(|slot| slot.0).find(|when| *when > now));
        };
        match inner.due.remove(&slot) {
            Some(key) => {
                inner.when.remove(&key);
                inner.running.insert(key.clone());
                Ok(key)
            }
            None => Err(None),
        }
    }

    fn done(&self, key: K, next: Next, now: Instant) {
        let mut inner = self.inner.lock();
        inner.running.remove(&key);
        let again = match next {
            Next::Change => {
                inner.failures.remove(&key);
                None
            }
            Next::After(pause) => {
                inner.failures.remove(&key);
                Some(pause)
            }
            Next::Failed => {
                let failures = inner.failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                Some(pause_after(*failures))
            }
        };
        if let Some(pause) = again {
            let when = now + pause;
            // A failed key waits, whatever changed meanwhile, or a change in each pass would be a loop without a pause.
            let failed = next == Next::Failed;
            if failed || inner.when.get(&key).is_none_or(|(known, _)| *known > when) {
                inner.put(key, when);
            }
        }
        drop(inner);
        self.woken.notify_one();
    }
}

impl<K: Clone + Eq + Hash> Inner<K> {
    fn put(&mut self, key: K, when: Instant) {
        if let Some(slot) = self.when.remove(&key) {
            self.due.remove(&slot);
        }
        self.number += 1;
        let slot = (when, self.number);
        self.due.insert(slot, key.clone());
        self.when.insert(key, slot);
    }
}

fn pause_after(failures: u32) -> Duration {
    let pause = FIRST_PAUSE * 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    pause
        .min(LONGEST_PAUSE)
        .mul_f64(rand::rng().random_range(0.75..1.25))
}

fn reap(ended: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Passes that end at once with `next`, until so long after `begun`; when they were.
    fn passes(work: &Work<u32>, begun: Instant, seconds: u64, next: Next) -> Vec<Duration> {
        let mut seen = Vec::new();
        let mut now = begun;
        while now < begun + Duration::from_secs(seconds) {
            match work.take(now) {
                Ok(key) => {
                    seen.push(now - begun);
                    // Something changed while it ran.
                    work.at(key, now);
                    work.done(key, next, now);
                }
                Err(Some(until)) => now = until,
                Err(None) => break,
            }
        }
        seen
    }

    #[test]
    fn one_pass_of_a_key_at_a_time_and_a_change_meanwhile_is_not_lost() {
        let work: Work<u32> = Work::default();
        let now = Instant::now();
        work.at(1, now);
        assert_eq!(work.take(now), Ok(1));
        work.at(1, now);
        work.at(1, now);
        assert_eq!(work.take(now), Err(None), "it runs");
        work.done(1, Next::Change, now);
        assert_eq!(work.take(now), Ok(1));
        work.done(1, Next::Change, now);
        assert_eq!(work.take(now), Err(None));
        assert!(work.is_empty());
    }

    #[test]
    fn of_two_times_the_earlier_one_counts() {
        let work: Work<u32> = Work::default();
        let now = Instant::now();
        work.at(1, now + Duration::from_secs(9));
        work.at(1, now + Duration::from_secs(5));
        work.at(1, now + Duration::from_secs(7));
        assert_eq!(work.take(now), Err(Some(now + Duration::from_secs(5))));
        assert_eq!(work.len(), 1);
    }

    #[test]
    fn a_failing_key_waits_longer_and_longer_whatever_changes() {
        let work: Work<u32> = Work::default();
        let begun = Instant::now();
        work.at(1, begun);
        let seen = passes(&work, begun, 3600, Next::Failed);
        assert!(
            (50..100).contains(&seen.len()),
            "{} passes in an hour",
            seen.len()
        );
    }

    #[test]
    fn after_an_outage_what_failed_is_tried_soon() {
        let work: Work<u32> = Work::default();
        let begun = Instant::now();
        work.at(1, begun);
        passes(&work, begun, 600, Next::Failed);
        let answered = begun + Duration::from_secs(600);
        work.retry_failed_from(answered);
        match work.take(answered) {
            Ok(_) => {}
            Err(until) => assert!(
                until.is_some_and(|until| until - answered <= SPREAD),
                "{until:?}"
            ),
        }
    }

    #[tokio::test]
    async fn never_more_at_once_than_allowed() {
        let work: Arc<Work<u32>> = Arc::default();
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        (0..100).for_each(|key| work.now(key));
        let pass = {
            let most = Arc::clone(&most);
            move |_| {
                let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
                async move {
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    Next::Change
                }
            }
        };
        let done = async {
            while !work.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = work.drive(16, pass) => {}
            () = done => {}
        }
        assert_eq!(most.load(Ordering::SeqCst), 16);
    }
}
