//! The cluster's other half: pods appear and go as a ReplicaSet would have it, and in each ready pod lives a worker that
//! claims from the real queue, works for as long as its task says, and notices when it is ended in the middle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use queue::{
    Beat, ClaimAnswer, ClaimRequest, Completion, Queue, QueueName, ResultPointer, WorkerAbout,
    WorkerId, WorkerState,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::NAMESPACE;
use super::cluster::Cluster;

#[derive(Clone)]
pub(crate) struct Fleet {
    cluster: Cluster,
    queue: Queue,
    pool: String,
    start: Duration,
    pods: Arc<Mutex<BTreeMap<String, JoinHandle<()>>>>,
    busy: Arc<Mutex<BTreeMap<String, bool>>>,
    /// Pods that the ReplicaSet deleted, and those of them that were busy.
    pub(crate) deleted: Arc<AtomicU32>,
    pub(crate) busy_kills: Arc<AtomicU32>,
    made: Arc<AtomicU32>,
}

impl Fleet {
    /// Follows the Deployment of this pool for as long as the runtime lives.
    pub(crate) fn start(cluster: &Cluster, queue: &Queue, pool: &str, start: Duration) -> Self {
        let fleet = Fleet {
            cluster: cluster.clone(),
            queue: queue.clone(),
            pool: pool.to_owned(),
            start,
            pods: Arc::default(),
            busy: Arc::default(),
            deleted: Arc::default(),
            busy_kills: Arc::default(),
            made: Arc::default(),
        };
        let following = fleet.clone();
        tokio::spawn(async move {
            loop {
                following.obey();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        fleet
    }

    pub(crate) fn pods(&self) -> Vec<Value> {
        self.cluster.all("pods")
    }

    fn obey(&self) {
        let Some(deployment) = self.cluster.get("deployments", &self.pool) else {
            return;
        };
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap() as usize;
        let mut pods = self.pods();
        for _ in pods.len()..wanted {
            self.make();
        }
        while pods.len() > wanted {
            // Not ready first, then the lowest cost, then a busy one: nothing forbids it.
            pods.sort_by_key(|pod| {
                let name = pod["metadata"]["name"].as_str().unwrap();
                let cost: i64 =
                    pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"]
                        .as_str()
                        .map_or(0, |text| text.parse().unwrap());
                (
                    is_ready(pod),
                    cost,
                    !self.busy.lock().get(name).copied().unwrap_or(false),
                )
            });
            let gone = pods.remove(0);
            self.deleted.fetch_add(1, Ordering::SeqCst);
            self.end(gone["metadata"]["name"].as_str().unwrap());
        }
        let status = json!({
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": wanted, "updatedReplicas": wanted,
            "readyReplicas": self.pods().iter().filter(|pod| is_ready(pod)).count(),
        });
        if deployment["status"] != status {
            self.cluster
                .change("deployments", &self.pool, |deployment| {
                    deployment["status"] = status
                });
        }
    }

    fn make(&self) {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let name = format!("{}-{number}", self.pool);
        let uid = self.cluster.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": name, "namespace": NAMESPACE, "labels": { "whatsthetab.dev/pool": self.pool },
                    "annotations": { "karpenter.sh/do-not-disrupt": "true", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false" },
                },
                "spec": { "containers": [{ "name": "worker" }] },
                "status": { "phase": "Pending" },
            }),
        );
        let fleet = self.clone();
        let living = name.clone();
        let life = tokio::spawn(async move { fleet.live(living, uid).await });
        self.pods.lock().insert(name, life);
    }

    /// Ends a pod at once, as a deletion without grace does.
    pub(crate) fn end(&self, name: &str) {
        if let Some(life) = self.pods.lock().remove(name) {
            life.abort();
        }
        if self.busy.lock().remove(name) == Some(true) {
            self.busy_kills.fetch_add(1, Ordering::SeqCst);
        }
        self.cluster.delete("pods", name);
    }

    pub(crate) fn a_busy_one(&self) -> Option<String> {
        self.busy
            .lock()
            .iter()
            .find(|(_, busy)| **busy)
            .map(|(name, _)| name.clone())
    }

    async fn live(&self, name: String, uid: String) {
        tokio::time::sleep(self.start).await;
        self.cluster.change("pods", &name, |pod| {
            pod["status"] = json!({
                "phase": "Running",
                "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": k8s_openapi::jiff::Timestamp::now().to_string() }],
            });
        });
        let worker = WorkerId::parse(format!("{name}-x")).unwrap();
        let about = WorkerAbout {
            pod: name.clone(),
            pod_uid: uid,
            pool: format!("{NAMESPACE}/{}", self.pool),
            models: vec!["m".to_owned()],
            slots: 1,
        };
        let mut beat = Beat {
            worker: worker.clone(),
            state: WorkerState::Idle,
            about,
            held: Vec::new(),
            ttl_ms: 30_000,
        };
        let mut beaten = None::<Instant>;
        loop {
            if beaten.is_none_or(|at| at.elapsed() > Duration::from_secs(2)) {
                beaten = self.queue.heartbeat(&beat).await.is_ok().then(Instant::now);
            }
            let request = ClaimRequest {
                worker: worker.clone(),
                queues: vec![QueueName::default()],
                nonce: ClaimRequest::nonce(),
                held: 0,
                slots: 1,
            };
            let Ok(ClaimAnswer::Claimed(claim)) = self.queue.claim(&request).await else {
                tokio::time::sleep(Duration::from_millis(30)).await;
                continue;
            };
            self.busy.lock().insert(name.clone(), true);
            beat.held = vec![(claim.id.clone(), claim.token.clone())];
            let end = Instant::now() + Duration::from_millis(claim.audio_ms);
            while Instant::now() < end {
                let _ = self.queue.heartbeat(&beat).await;
                tokio::time::sleep((end - Instant::now()).min(Duration::from_secs(2))).await;
            }
            let completion = Completion {
                id: claim.id.clone(),
                token: claim.token.clone(),
                result: ResultPointer::default(),
                busy_ms: claim.audio_ms,
                ttl_ms: 3_600_000,
            };
            self.queue.complete(&completion).await.unwrap();
            beat.held.clear();
            self.busy.lock().insert(name.clone(), false);
        }
    }
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"][0]["status"] == "True"
}
