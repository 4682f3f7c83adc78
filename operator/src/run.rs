//! The process: mirrors and health from the beginning, everything that acts once the Lease is won. If any loop ends, the
//! process does: a half-dead operator that holds the Lease is worse than none.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crds::WorkerPool;
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::watcher;
use kube::{Api, Client, Config, Resource};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::INSTALL_CRDS;
use crate::cluster::{Change, Election, Mirror, Notices, Timing, connect};
use crate::eyes::{Eyes, Redis};
use crate::jobs::{Jobs, Register};
use crate::ledger::{self, Ledger};
use crate::pace::Pace;
use crate::pools::{POOL_LABEL, Pools, WorkerEnv};
use crate::scale::Factors;
use crate::telemetry::{self, Pulse};

/// Unimportant writes of statuses.
const SOFT_WRITES_PER_SECOND: u32 = 20;
const GOODBYE: Duration = Duration::from_secs(2);

/// Everything that `run` is told.
#[derive(Debug)]
pub struct Settings {
    /// Only this namespace, or all.
    pub namespace: Option<String>,
    pub release: String,
    pub public_url: String,
    pub ledger: ledger::Settings,
    pub redis: queue::QueueConfig,
    pub workers: WorkerEnv,
    pub reaping: queue::ReapOptions,
    pub factors: Factors,
    pub metrics_address: SocketAddr,
    pub lease_namespace: String,
    pub lease_name: String,
    pub identity: String,
    pub concurrency: usize,
    pub timing: Timing,
}

type Loop = Pin<Box<dyn Future<Output = String> + Send>>;

/// Loops that are to run for ever. Each says in the end what ended.
#[derive(Default)]
struct Loops {
    running: JoinSet<String>,
}

impl Loops {
    fn add<F>(&mut self, name: &'static str, forever: F)
    where
        F: Future + Send + 'static,
    {
        self.add_fallible(name, async move {
            forever.await;
            Ok(())
        });
    }

    /// The same for one that can say why it ended.
    fn add_fallible<F>(&mut self, name: &'static str, forever: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task: Loop = Box::pin(async move {
            match forever.await {
                Ok(()) => format!("the loop {name:?} ended"),
                Err(error) => format!("the loop {name:?} ended: {error:#}"),
            }
        });
        self.running.spawn(task);
    }

    /// The first one that ends, which none should.
    async fn ended(&mut self) -> String {
        match self.running.join_next().await {
            Some(Ok(words)) => words,
            Some(Err(error)) => format!("a loop died: {error}"),
            None => "there are no loops".to_owned(),
        }
    }
}

/// Serves until `stop`; an error means that the process should end badly.
pub async fn run(
    settings: Settings,
    config: Config,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let client = connect(config).await?;
    let pulse = Pulse::default();
    telemetry::recorder();
    let mut election = Election::new(
        client.clone(),
        &settings.lease_namespace,
        &settings.lease_name,
        &settings.identity,
        settings.timing,
    );
    let operator = Operator::new(&settings, client, &election)?;
    let mut loops = Loops::default();
    loops.add_fallible(
        "health",
        telemetry::serve(settings.metrics_address, pulse.clone()),
    );
    operator.mirror(&mut loops, &pulse);
    tracing::info!(
        identity = settings.identity,
        namespace = settings.namespace.as_deref().unwrap_or("all"),
        release = settings.release,
        "started; waiting for the lease"
    );
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        ended = loops.ended() => anyhow::bail!(ended),
        () = election.win() => {}
    }
    operator.lead(&mut loops, &pulse, settings.concurrency);
    let result = tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = loops.ended() => Err(anyhow::anyhow!(ended)),
        lost = election.hold() => Err(anyhow::anyhow!("lost the lease: {lost}")),
    };
    // First nobody acts any more, then another one may.
    loops.running.abort_all();
    while loops.running.join_next().await.is_some() {}
    let _ = tokio::time::timeout(GOODBYE, election.release()).await;
    result
}

struct Operator {
    client: Client,
    namespace: Option<String>,
    jobs: Arc<Jobs>,
    pools: Arc<Pools>,
    eyes: Arc<Eyes>,
}

impl Operator {
    fn new(settings: &Settings, client: Client, election: &Election) -> anyhow::Result<Self> {
        let eyes = Arc::new(Eyes::new(
            Arc::new(Redis::new(settings.redis.clone())),
            settings.factors.clone(),
        ));
        let notices = Notices::new(client.clone(), &settings.identity);
        let leadership = election.leadership();
        let pool_mirror: Arc<Mirror<WorkerPool>> = Arc::default();
        let jobs = Arc::new(Jobs {
            client: client.clone(),
            release: settings.release.clone(),
            public_url: settings.public_url.clone(),
            namespace: settings.namespace.clone(),
            mirror: Arc::default(),
            pools: Arc::clone(&pool_mirror),
            register: Register::default(),
            work: Arc::default(),
            cancels: Arc::default(),
            ledger: Ledger::new(&settings.ledger)?,
            eyes: Arc::clone(&eyes),
            notices: notices.clone(),
            leadership: leadership.clone(),
            pace: Pace::per_second(SOFT_WRITES_PER_SECOND),
            ended: tokio::sync::Notify::new(),
        });
        let pools = Arc::new(Pools {
            client: client.clone(),
            mirror: pool_mirror,
            deployments: Arc::default(),
            pods: Arc::default(),
            work: Arc::default(),
            eyes: Arc::clone(&eyes),
            notices,
            leadership,
            env: settings.workers.clone(),
            reaping: settings.reaping.clone(),
            begun: Instant::now(),
            memories: parking_lot::Mutex::default(),
            swept: parking_lot::Mutex::default(),
        });
        Ok(Operator {
            client,
            namespace: settings.namespace.clone(),
            jobs,
            pools,
            eyes,
        })
    }

    /// Watches, in the leader and in those that stand by alike.
    fn mirror(&self, loops: &mut Loops, pulse: &Pulse) {
        let all = watcher::Config::default();
        let of_pools = watcher::Config::default().labels(POOL_LABEL);
        let jobs = Arc::clone(&self.jobs);
        self.follow(
            loops,
            "jobs",
            Arc::clone(&self.jobs.mirror),
            all.clone(),
            move |change| jobs.told(change),
        );
        let (jobs, pools) = (Arc::clone(&self.jobs), Arc::clone(&self.pools));
        self.follow(
            loops,
            "pools",
            Arc::clone(&self.pools.mirror),
            all,
            move |change| {
                pools.told(&change);
                jobs.told_pool(&change);
            },
        );
        let pools = Arc::clone(&self.pools);
        self.follow(
            loops,
            "deployments",
            Arc::clone(&self.pools.deployments),
            of_pools.clone(),
            move |change| {
                pools.told_deployment(&change);
            },
        );
        let pools = Arc::clone(&self.pools);
        self.follow(
            loops,
            "pods",
            Arc::clone(&self.pools.pods),
            of_pools,
            move |change| pools.told_pod(&change),
        );
        let (jobs, pools, pulse) = (
            Arc::clone(&self.jobs),
            Arc::clone(&self.pools),
            pulse.clone(),
        );
        loops.add("readiness", async move {
            loop {
                let listed = jobs.mirror.synced()
                    && pools.mirror.synced()
                    && pools.deployments.synced()
                    && pools.pods.synced();
                if jobs.mirror.unknown() || pools.mirror.unknown() {
                    pulse.misses(INSTALL_CRDS);
                } else if listed {
                    pulse.ready();
                } else {
                    pulse.misses("reading what there is in the cluster");
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }

    fn follow<K>(
        &self,
        loops: &mut Loops,
        name: &'static str,
        mirror: Arc<Mirror<K>>,
        config: watcher::Config,
        tell: impl FnMut(Change<K>) + Send + 'static,
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + serde::de::DeserializeOwned
            + std::fmt::Debug
            + Send
            + Sync
            + 'static,
    {
        let api: Api<K> = match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        loops.add(name, async move {
            mirror.follow(api, config, INSTALL_CRDS, tell).await
        });
    }

    /// Everything that acts.
    fn lead(&self, loops: &mut Loops, pulse: &Pulse, concurrency: usize) {
        // What was told before this process led was told to nobody.
        for job in self.jobs.mirror.all() {
            self.jobs.work.now(crate::cluster::key_of(&*job));
        }
        self.pools.look_at_all();
        let (jobs, work) = (Arc::clone(&self.jobs), Arc::clone(&self.jobs.work));
        loops.add("passes over jobs", async move {
            work.drive(concurrency, move |key| Arc::clone(&jobs).pass(key))
                .await;
        });
        let (jobs, work) = (Arc::clone(&self.jobs), Arc::clone(&self.jobs.cancels));
        loops.add("cancels", async move {
            work.drive(4, move |uid| Arc::clone(&jobs).cancel(uid))
                .await;
        });
        let (pools, work) = (Arc::clone(&self.pools), Arc::clone(&self.pools.work));
        loops.add("passes over pools", async move {
            work.drive(concurrency, move |key| Arc::clone(&pools).pass(key))
                .await;
        });
        let (eyes, pools, beat) = (
            Arc::clone(&self.eyes),
            Arc::clone(&self.pools),
            pulse.clone(),
        );
        loops.add("looks at queues", async move {
            eyes.watch(&beat, || pools.look_at_all()).await;
        });
        let (eyes, jobs) = (Arc::clone(&self.eyes), Arc::clone(&self.jobs));
        loops.add("hints", async move {
            eyes.listen(|| jobs.ended.notify_one()).await;
        });
        let (jobs, beat) = (Arc::clone(&self.jobs), pulse.clone());
        loops.add("changes", async move { jobs.follow_changes(&beat).await });
        let (jobs, beat) = (Arc::clone(&self.jobs), pulse.clone());
        loops.add("progress", async move { jobs.follow_live(&beat).await });
        let (jobs, beat) = (Arc::clone(&self.jobs), pulse.clone());
        loops.add("audit", async move { jobs.audit(&beat).await });
        let (pools, beat) = (Arc::clone(&self.pools), pulse.clone());
        loops.add("sweep", async move { pools.sweep(&beat).await });
    }
}
