//! A watch as a map in memory. It tells of every change with the object as it was, deletions during an outage included,
//! begins again by itself after any error or too long a silence, and never takes a failed watch for an empty one.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use parking_lot::RwLock;
use rand::Rng;
use serde::de::DeserializeOwned;

/// The server ends a watch after 290 s; silence beyond that is a dead connection.
const LONGEST_SILENCE: Duration = Duration::from_secs(310);
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Short, because nothing useful is done before the first list after an outage.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What happened to one object.
#[derive(Debug)]
pub enum Change<K> {
    Applied {
        old: Option<Arc<K>>,
        new: Arc<K>,
    },
    Deleted(Arc<K>),
    /// A complete list stands; after an outage whatever failed may be tried again now.
    Listed,
}

/// `namespace/name`.
pub fn key_of<K: Resource>(object: &K) -> String {
    format!(
        "{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

#[derive(Debug)]
pub struct Mirror<K> {
    objects: RwLock<HashMap<String, Arc<K>>>,
    synced: AtomicBool,
    unknown: AtomicBool,
}

impl<K> Default for Mirror<K> {
    fn default() -> Self {
        Mirror {
            objects: RwLock::default(),
            synced: AtomicBool::new(false),
            unknown: AtomicBool::new(false),
        }
    }
}

impl<K> Mirror<K> {
    pub fn get(&self, key: &str) -> Option<Arc<K>> {
        self.objects.read().get(key).cloned()
    }

    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.read().values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.objects.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the API server said at last that it knows no such kind.
    pub fn unknown(&self) -> bool {
        self.unknown.load(Ordering::Acquire)
    }

    /// Whether there was ever a complete list.
    pub fn synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }
}

impl<K> Mirror<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Follows the watch for ever. `missing` is asked for words when the list itself is refused as unknown (404).
    pub async fn follow(
        &self,
        api: Api<K>,
        config: watcher::Config,
        missing: &str,
        mut tell: impl FnMut(Change<K>),
    ) {
        let mut pause = PAUSE_MIN;
        let mut listed: HashMap<String, Arc<K>> = HashMap::new();
        let kind = K::kind(&());
        'anew: loop {
            let mut events = watcher(api.clone(), config.clone()).boxed();
            loop {
                let event = match tokio::time::timeout(LONGEST_SILENCE, events.next()).await {
                    Ok(Some(event)) => event,
                    Ok(None) | Err(_) => break,
                };
                match event {
                    Ok(event) => {
                        if matches!(event, Event::Apply(_) | Event::Delete(_) | Event::InitDone) {
                            pause = PAUSE_MIN;
                        }
                        self.take(event, &mut listed, &mut tell);
                    }
                    Err(error) => {
                        let unknown = is_unknown(&error);
                        if !unknown {
                            tracing::warn!(%kind, %error, "a watch failed; beginning again");
                        } else if !self.unknown.swap(true, Ordering::AcqRel) {
                            // Said once; it is asked for again every few seconds.
                            tracing::error!(%kind, "{missing}");
                        }
                        let jitter = rand::rng().random_range(0.75..1.25);
                        tokio::time::sleep(pause.mul_f64(jitter)).await;
                        pause = (pause * 2).min(PAUSE_MAX);
                        if unknown {
                            // What was watched is gone with its kind: only a new list tells when it is back.
                            continue 'anew;
                        }
                    }
                }
            }
            tracing::warn!(%kind, "a watch went silent; beginning again");
        }
    }

    fn take(
        &self,
        event: Event<K>,
        listed: &mut HashMap<String, Arc<K>>,
        tell: &mut impl FnMut(Change<K>),
    ) {
        match event {
            Event::Apply(object) => {
                let new = Arc::new(slim(object));
                let old = self.objects.write().insert(key_of(&*new), Arc::clone(&new));
                tell(Change::Applied { old, new });
            }
            Event::Delete(object) => {
                let gone = self.objects.write().remove(&key_of(&object));
                tell(Change::Deleted(gone.unwrap_or_else(|| Arc::new(object))));
            }
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                let new = Arc::new(slim(object));
                listed.insert(key_of(&*new), new);
            }
            Event::InitDone => {
                let new = std::mem::take(listed);
                let old = std::mem::replace(&mut *self.objects.write(), new.clone());
                self.synced.store(true, Ordering::Release);
                self.unknown.store(false, Ordering::Release);
                for (key, was) in &old {
                    // Of the same name but another life: the first one is gone.
                    if new.get(key).is_none_or(|is| is.uid() != was.uid()) {
                        tell(Change::Deleted(Arc::clone(was)));
                    }
                }
                for (key, is) in new {
                    let was = old.get(&key).filter(|was| was.uid() == is.uid()).cloned();
                    if was
                        .as_ref()
                        .is_none_or(|was| was.resource_version() != is.resource_version())
                    {
                        tell(Change::Applied { old: was, new: is });
                    }
                }
                tell(Change::Listed);
            }
        }
    }
}

/// The API server does not know the kind.
fn is_unknown(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}

/// Without what nobody here reads and what takes most of the room.
fn slim<K: Resource>(mut object: K) -> K {
    object.managed_fields_mut().clear();
    object
        .annotations_mut()
        .remove("kubectl.kubernetes.io/last-applied-configuration");
    object
}
