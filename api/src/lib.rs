//! The HTTP service: uploads in, tasks queued, results out. The only writer of the database.
//! It links no libtorch and imports neither worker nor operator; Redis is spoken to through `queue` alone.

pub mod auth;
pub mod config;
mod context;
pub mod db;
pub mod error;
mod events;
mod extract;
mod fetch;
mod heads;
mod health;
mod idempotency;
mod index;
mod internal;
mod linger;
#[doc(hidden)]
pub mod loops;
mod metrics;
#[doc(hidden)]
pub mod models;
pub mod objects;
mod operator;
mod pace;
mod problems;
mod router;
mod seed;
mod serve;
mod signed;
pub mod state;
mod transcriptions;
mod upload;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use config::Config;
pub use index::ROUTES;

use crate::state::AppState;

/// Binds, serves and runs all loops until `shutdown`.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    bind(config).await?.serve(shutdown).await
}

/// A service that has opened its database, store and queue and holds its port, but does not answer yet.
pub struct Bound {
    listener: TcpListener,
    admin: Option<TcpListener>,
    state: AppState,
    shutdown: CancellationToken,
}

pub async fn bind(config: Config) -> anyhow::Result<Bound> {
    // First of all: an open address without a key must not even open the database.
    config.keys()?;
    config.operator_keys()?;
    let listener = listen(config.listen).await?;
    let admin = match config.admin_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let shutdown = CancellationToken::new();
    let state = AppState::open(config, shutdown.clone()).await?;
    Ok(Bound {
        listener,
        admin,
        state,
        shutdown,
    })
}

impl Bound {
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// What the handlers share (tests look into it).
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Every path of the public port, as the router has it (tests hold their tables against it).
    #[doc(hidden)]
    pub fn paths(&self) -> Vec<String> {
        router::paths(&self.state)
    }

    /// The public port's routes, to be called without a connection (fuzzing does).
    #[doc(hidden)]
    pub fn router(&self) -> axum::Router {
        router::router(self.state.clone())
    }

    /// The signed address of a file, as the status of a job names it (fuzzing asks for files by one).
    #[doc(hidden)]
    pub fn signed_path(&self, id: &str, name: &str, expires_seconds: u64) -> String {
        self.state.signer.path(id, name, expires_seconds)
    }

    /// Answers requests and runs the loops until `shutdown`, then ends both.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self {
            listener,
            admin,
            state,
            shutdown: ours,
        } = self;
        let times = serve::Times {
            header: Duration::from_secs(state.config.limits.header_timeout_seconds),
            grace: Duration::from_secs(state.config.timing.shutdown_grace_seconds),
        };
        tracing::info!(listen = %listener.local_addr()?, "the API is listening");
        // Event streams and loops hold `ours`; it ends with the caller's token or with this future.
        let _end_with_us = ours.clone().drop_guard();
        let loops = loops::spawn(&state);
        let public = serve::serve(listener, router::router(state.clone()), times, ours.clone());
        let admin_routes = router::admin_router(state.clone());
        let admin = async {
            match admin {
                Some(listener) => serve::serve(listener, admin_routes, times, ours.clone()).await,
                None => Ok(()),
            }
        };
        let end = async {
            tokio::select! {
                () = shutdown.cancelled() => ours.cancel(),
                () = ours.cancelled() => {}
            }
        };
        let _ = tokio::join!(public, admin, end);
        let ended = tokio::time::timeout(times.grace, loops).await;
        state.db.close().await;
        tracing::info!("the API has ended");
        match ended {
            Ok(ended) => ended.context("the loops panicked")?,
            Err(_) => {
                tracing::warn!("the loops did not end in time; they are dropped");
                Ok(())
            }
        }
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen on {address}; is it in use?"))
}
