//! One Redis subscription for the whole process, fanned out to the event streams and to the outbox subscriber.
//! It carries hints only: whoever gets one looks at the truth again. It knows neither HTTP nor the database.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use queue::{Event, Interest, Progress, Queue, TaskId};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

/// Hints that a slow stream may fall behind by; more, and it looks again at the whole.
const BACKLOG: usize = 32;

/// What may have happened to a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Hint {
    /// The running attempt got further: complete in itself, needs no look.
    Progress { seq: u64, progress: Progress },
    /// Anything else, or something was missed: look at the row and the queue.
    Look,
}

/// Where hints are handed out.
pub(crate) struct Hub {
    tasks: Mutex<HashMap<TaskId, broadcast::Sender<Hint>>>,
    /// Rung when the outbox may hold something new.
    finished: Notify,
    /// Rung when Redis is back: it may have forgotten tasks.
    connected: Notify,
    /// Nobody has compared the rows with Redis since it may have forgotten some; so it is at first, too.
    suspicious: AtomicBool,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            tasks: Mutex::default(),
            finished: Notify::new(),
            connected: Notify::new(),
            suspicious: AtomicBool::new(true),
        }
    }
}

impl Hub {
    /// Hints about one task from now on.
    pub(crate) fn listen(self: &Arc<Self>, id: &TaskId) -> Listener {
        let hints = match self.tasks.lock().entry(id.clone()) {
            Entry::Occupied(known) => known.get().subscribe(),
            Entry::Vacant(new) => {
                let (sender, receiver) = broadcast::channel(BACKLOG);
                new.insert(sender);
                receiver
            }
        };
        Listener {
            hub: Arc::clone(self),
            id: id.clone(),
            hints,
        }
    }

    /// The row of this task has changed in this process.
    pub(crate) fn look(&self, id: &TaskId) {
        self.hint(id, Hint::Look);
    }

    /// Until the outbox may hold something new.
    pub(crate) async fn finished(&self) {
        self.finished.notified().await;
    }

    /// Until Redis has been reached again.
    pub(crate) async fn connected(&self) {
        self.connected.notified().await;
    }

    /// Redis may have forgotten tasks.
    pub(crate) fn suspect(&self) {
        self.suspicious.store(true, Ordering::Relaxed);
    }

    /// Whether it may; whoever asks does the comparing.
    pub(crate) fn take_suspicion(&self) -> bool {
        self.suspicious.swap(false, Ordering::Relaxed)
    }

    /// Tasks that somebody listens to.
    #[cfg(test)]
    fn listened_to(&self) -> usize {
        self.tasks.lock().len()
    }

    fn hint(&self, id: &TaskId, hint: Hint) {
        if let Some(sender) = self.tasks.lock().get(id) {
            // An error says that the last listener is leaving at this moment.
            let _ = sender.send(hint);
        }
    }

    fn look_all(&self) {
        for sender in self.tasks.lock().values() {
            let _ = sender.send(Hint::Look);
        }
    }

    /// Listens to Redis until shutdown; the subscription reconnects by itself.
    pub(crate) async fn run(&self, queue: &Queue, shutdown: &CancellationToken) {
        let mut events = queue.events(Interest::Everything);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = shutdown.cancelled() => return,
            };
            self.take(event);
        }
    }

    fn take(&self, event: Event) {
        match event {
            Event::Connected => {
                self.suspect();
                self.connected.notify_one();
                self.finished.notify_one();
                self.look_all();
            }
            Event::Completed { id, .. } | Event::Failed { id, .. } => {
                self.finished.notify_one();
                self.hint(&id, Hint::Look);
            }
            Event::Progress {
                id,
                seq,
                progress: Some(progress),
                cancel: false,
            } => {
                self.hint(&id, Hint::Progress { seq, progress });
            }
            Event::Progress { id, .. } | Event::New { id } | Event::Claimed { id } => {
                self.hint(&id, Hint::Look)
            }
            Event::Disconnected | Event::Other => {}
        }
    }
}

/// One listener's end; the hub forgets the task when its last listener is dropped.
pub(crate) struct Listener {
    hub: Arc<Hub>,
    id: TaskId,
    hints: broadcast::Receiver<Hint>,
}

impl Listener {
    /// The next hint; one that was missed reads as `Look`.
    pub(crate) async fn next(&mut self) -> Hint {
        match self.hints.recv().await {
            Ok(hint) => hint,
            // The sender lives as long as there is a listener, so `Closed` cannot come; looking again is right for both.
            Err(_) => Hint::Look,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut tasks = self.hub.tasks.lock();
        if let Entry::Occupied(task) = tasks.entry(self.id.clone())
            && task.get().receiver_count() <= 1
        {
            task.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> TaskId {
        TaskId::parse(name).unwrap()
    }

    #[tokio::test]
    async fn hints_reach_the_listeners_of_their_task_only_and_nothing_is_left_behind() {
        let hub = Arc::new(Hub::default());
        let (mut a, mut again) = (hub.listen(&id("a")), hub.listen(&id("a")));
        let mut b = hub.listen(&id("b"));
        hub.take(Event::Progress {
            id: id("a"),
            seq: 3,
            progress: Some(Progress::default()),
            cancel: false,
        });
        hub.take(Event::Completed {
            id: id("b"),
            seq: 1,
        });
        let progress = Hint::Progress {
            seq: 3,
            progress: Progress::default(),
        };
        assert_eq!(
            (a.next().await, again.next().await),
            (progress.clone(), progress)
        );
        assert_eq!(b.next().await, Hint::Look);
        drop(a);
        assert_eq!(hub.listened_to(), 2);
        drop((again, b));
        assert_eq!(hub.listened_to(), 0);
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_to_look() {
        let hub = Arc::new(Hub::default());
        let mut slow = hub.listen(&id("a"));
        for seq in 0..2 * BACKLOG as u64 {
            hub.hint(
                &id("a"),
                Hint::Progress {
                    seq,
                    progress: Progress::default(),
                },
            );
        }
        assert_eq!(slow.next().await, Hint::Look);
    }

    #[tokio::test]
    async fn a_finish_before_the_wait_is_not_lost() {
        let hub = Hub::default();
        hub.take(Event::Connected);
        hub.finished().await;
    }
}
