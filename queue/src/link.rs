//! The one connection that all clones of a queue share. It mends itself when it breaks (the client library's doing) and when
//! it falls silent (ours). Knows no command.

use std::sync::{Arc, PoisonError, RwLock};

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, Pipeline, RedisFuture, RedisResult, Value};

/// A handle; it makes its calls on the connection that was current when it was taken.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    manager: ConnectionManager,
    number: u64,
}

struct Shared {
    client: Client,
    config: ConnectionManagerConfig,
    current: RwLock<(u64, ConnectionManager)>,
}

impl Link {
    /// Connected, or not yet: as `manager` is.
    pub(crate) fn over(
        client: Client,
        config: ConnectionManagerConfig,
        manager: ConnectionManager,
    ) -> Self {
        let shared = Shared {
            client,
            config,
            current: RwLock::new((0, manager.clone())),
        };
        Self {
            shared: Arc::new(shared),
            manager,
            number: 0,
        }
    }

    /// The connection that is current now.
    pub(crate) fn current(&self) -> Self {
        let current = self.shared.current.read();
        let (number, manager) = current.unwrap_or_else(PoisonError::into_inner).clone();
        Self {
            shared: Arc::clone(&self.shared),
            manager,
            number,
        }
    }

    /// A call that nobody answered may mean a connection that is open at this end only (a vanished peer behind a proxy or a
    /// load balancer, which go on taking bytes). Nothing else would ever end it, and all later calls would time out on it.
    fn look_at<T>(&self, outcome: &RedisResult<T>) {
        if !outcome.as_ref().is_err_and(redis::RedisError::is_timeout) {
            return;
        }
        let current = self.shared.current.write();
        let mut current = current.unwrap_or_else(PoisonError::into_inner);
        if current.0 != self.number {
            return;
        }
        let config = self.shared.config.clone();
        if let Ok(fresh) = self.shared.client.get_connection_manager_lazy(config) {
            tracing::debug!("Redis did not answer in time: the next call takes a new connection");
            *current = (self.number + 1, fresh);
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let outcome = self.manager.send_packed_command(command).await;
            self.look_at(&outcome);
            outcome
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let outcome = self
                .manager
                .send_packed_commands(pipeline, offset, count)
                .await;
            self.look_at(&outcome);
            outcome
        })
    }

    fn get_db(&self) -> i64 {
        self.manager.get_db()
    }
}
