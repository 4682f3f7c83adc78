//! What every handler and loop shares: configuration, database, objects, queue, and the token that ends them all.
//! Opened once at start; holds no state of a transcription (the database and Redis do).

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use queue::{Queue, QueueConfig};
use tokio_util::sync::CancellationToken;

use crate::auth::Keys;
use crate::config::Config;
use crate::db::Db;
use crate::events::Hub;
use crate::fetch::{Policy, Sources};
use crate::models::Models;
use crate::objects::Objects;
use crate::signed::Signer;

/// Cheap to clone; axum's state.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

pub struct Inner {
    pub config: Config,
    pub keys: Keys,
    pub operators: Keys,
    pub models: Models,
    pub db: Db,
    pub objects: Objects,
    pub queue: Queue,
    /// Cancelled at shutdown: loops end, event streams end, nothing new is accepted.
    pub shutdown: CancellationToken,
    /// Rung after a row has changed here (created, finished, deleted): waiters look again at once.
    pub changed: tokio::sync::Notify,
    pub started_at: Instant,
    /// Open event streams per principal, for `events`.
    pub streams: std::sync::Mutex<HashMap<Arc<str>, usize>>,
    /// Signs addresses of results.
    pub(crate) signer: Signer,
    /// How the sources of jobs are fetched.
    pub(crate) sources: Sources,
    /// Hints from Redis, fanned out to event streams and loops.
    pub(crate) hub: Arc<Hub>,
}

impl Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl AppState {
    /// Opens everything that the service stands on, migrations included.
    pub async fn open(config: Config, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let keys = config.keys()?;
        let operators = config.operator_keys()?;
        let models = config.catalogue()?;
        tokio::fs::create_dir_all(&config.data_dir)
            .await
            .with_context(|| {
                format!(
                    "failed to create the data folder {}",
                    config.data_dir.display()
                )
            })?;
        let db = Db::open(&config.database_url()).await?;
        let signer = Signer::open(&config, &db).await?;
        let sources = Sources::new(Policy::new(config.operator.allow_source_cidr.clone()));
        let objects = Objects::open(config.objects_url.as_deref(), &config.data_dir)?;
        match objects.remove_stale_pieces(config.body_deadline()).await {
            Ok(0) => {}
            Ok(pieces) => tracing::info!(pieces, "removed pieces of uploads that never ended"),
            Err(cause) => tracing::warn!(%cause, "failed to look for pieces of old uploads"),
        }
        // Redis may be away: then we serve what the database knows, and uploads wait for the reconciler.
        let queue = Queue::connect_lazy(&QueueConfig {
            url: config.redis_url.clone(),
            prefix: config.redis_prefix.clone(),
            response_timeout: std::time::Duration::from_secs(3),
        })?;
        Ok(Self(Arc::new(Inner {
            config,
            keys,
            operators,
            signer,
            sources,
            models,
            db,
            objects,
            queue,
            shutdown,
            changed: tokio::sync::Notify::new(),
            started_at: Instant::now(),
            streams: std::sync::Mutex::default(),
            hub: Arc::default(),
        })))
    }
}

/// Milliseconds since 1970 on this machine's clock.
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
