//! The hidden `wtt worker`: the worker process that `wtt up` starts, so that one binary serves both.

/// Runs a worker until it is told to stop; blocks. The worker makes its own runtime, hence the thread of its own:
/// it may be called inside another runtime.
pub(crate) fn worker(config: worker::Config) -> anyhow::Result<()> {
    std::thread::Builder::new()
        .name("worker".into())
        .spawn(move || worker::run(config))?
        .join()
        .map_err(|_| anyhow::anyhow!("the worker panicked; the log above says where"))?
}
