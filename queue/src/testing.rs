//! A private redis-server for tests of this crate and of those above it. Never used by a service.

/// A redis-server child on a unix socket in its own folder; killed when dropped.
pub struct RedisServer {}

impl RedisServer {
    /// Without persistence.
    pub fn start() -> Self {
        todo!()
    }

    /// With an append-only file, so that `stop` and `start_again` keep the data.
    pub fn start_with_aof() -> Self {
        todo!()
    }

    /// With further redis.conf lines given as arguments: `["--maxmemory", "3mb"]`.
    pub fn start_with(arguments: &[&str]) -> Self {
        let _ = arguments;
        todo!()
    }

    /// `unix://` URL.
    pub fn url(&self) -> String {
        todo!()
    }

    /// Shuts the server down; data stays only with an append-only file.
    pub fn stop(&mut self) {}

    pub fn start_again(&mut self) {}
}
