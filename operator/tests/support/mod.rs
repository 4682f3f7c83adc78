//! A cluster, an API and workers that live in the test's process; Redis is a real one. The operator that is tested is the whole one.

#![expect(clippy::unwrap_used, reason = "in a test a broken helper may panic")]
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod api;
pub(crate) mod cluster;
pub(crate) mod fleet;
pub(crate) mod http;

use std::collections::BTreeMap;
use std::time::Duration;

use operator::Settings;
use operator::cluster::Timing;
use operator::pools::WorkerEnv;
use operator::scale::Factors;
use queue::testing::RedisServer;
use queue::{Queue, QueueConfig};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use api::Api;
use cluster::Cluster;

pub(crate) const NAMESPACE: &str = "music";

/// Everything around one or more operators.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) api: Api,
    pub(crate) redis: RedisServer,
    pub(crate) queue: Queue,
}

pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let redis = RedisServer::start();
        let queue = Queue::connect(&QueueConfig::new(redis.url()))
            .await
            .unwrap();
        Stage {
            cluster: Cluster::start().await,
            api: Api::start().await,
            redis,
            queue,
        }
    }

    pub(crate) fn settings(&self, identity: &str) -> Settings {
        let mut redis = QueueConfig::new(self.redis.url());
        redis.response_timeout = Duration::from_secs(1);
        Settings {
            namespace: Some(NAMESPACE.to_owned()),
            release: "wtt".to_owned(),
            public_url: "https://notes.example".to_owned(),
            ledger: operator::ledger::Settings {
                url: self.api.url(),
                key: Some("key".to_owned()),
            },
            redis,
            workers: WorkerEnv {
                api_url: Some("http://api".to_owned()),
                ..WorkerEnv::default()
            },
            // A second of audio is a second of work.
            factors: Factors {
                expected: BTreeMap::new(),
                default: 1.0,
            },
            reaping: queue::ReapOptions::default(),
            metrics_address: "127.0.0.1:0".parse().unwrap(),
            lease_namespace: NAMESPACE.to_owned(),
            lease_name: "wtt-operator".to_owned(),
            identity: identity.to_owned(),
            concurrency: 16,
            timing: Timing::default(),
        }
    }

    pub(crate) fn start(&self, identity: &str) -> Running {
        self.start_with(self.settings(identity))
    }

    /// With a Lease of a few seconds; on a machine that is very busy it may be lost.
    pub(crate) fn start_hasty(&self, identity: &str) -> Running {
        let timing = Timing {
            lease: Duration::from_secs(5),
            deadline: Duration::from_secs(4),
            renew: Duration::from_millis(500),
            retry: Duration::from_millis(100),
        };
        self.start_with(Settings {
            timing,
            ..self.settings(identity)
        })
    }

    pub(crate) fn start_with(&self, settings: Settings) -> Running {
        let stop = CancellationToken::new();
        let config = kube::Config::new(self.cluster.url().parse().unwrap());
        let task = tokio::spawn(operator::run(settings, config, stop.clone()));
        Running { stop, task }
    }

    pub(crate) fn job(&self, name: &str, spec: Value) -> String {
        self.cluster.create(
            "whatsthetab.dev/v1alpha1",
            "transcriptionjobs",
            "TranscriptionJob",
            name,
            defaults(spec),
        )
    }

    pub(crate) fn job_status(&self, name: &str) -> Value {
        self.cluster
            .get("transcriptionjobs", name)
            .map(|job| job["status"].clone())
            .unwrap_or_default()
    }

    pub(crate) fn pool(&self, name: &str, scaling: Value) -> String {
        let spec = json!({
            "queue": "default",
            "slotsPerWorker": 1,
            "scaling": scaling,
            "template": { "spec": { "containers": [{ "name": "worker", "image": "wtt-worker" }] } },
        });
        self.cluster.create(
            "whatsthetab.dev/v1alpha1",
            "workerpools",
            "WorkerPool",
            name,
            spec,
        )
    }

    pub(crate) fn pool_status(&self, name: &str) -> Value {
        self.cluster
            .get("workerpools", name)
            .map(|pool| pool["status"].clone())
            .unwrap_or_default()
    }

    pub(crate) fn replicas(&self, name: &str) -> Option<i64> {
        self.cluster.get("deployments", name)?["spec"]["replicas"].as_i64()
    }
}

/// As the API server fills them in.
fn defaults(spec: Value) -> Value {
    let mut full = json!({
        "priority": 0, "suspend": false, "backoffLimit": 2, "queueDeadlineSeconds": 86400, "ttlSecondsAfterFinished": 86400,
    });
    for (name, value) in spec.as_object().unwrap() {
        full[name] = value.clone();
    }
    full
}

/// The condition of a status as `STATUS/REASON`.
pub(crate) fn condition(status: &Value, type_: &str) -> String {
    status["conditions"]
        .as_array()
        .and_then(|list| list.iter().find(|condition| condition["type"] == type_))
        .map(|condition| {
            format!(
                "{}/{}",
                condition["status"].as_str().unwrap(),
                condition["reason"].as_str().unwrap()
            )
        })
        .unwrap_or_default()
}

/// Waits until it is so; says what it waited for when that takes too long.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !so() {
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "waited in vain for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}
