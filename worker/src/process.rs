//! The worker as a process: its runtime, its signals, its parent, its network. What a worker does is `serve`'s business.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::engine::EngineTranscriber;
use crate::{Config, Stop, Transcriber, serve};

/// After the parent has gone, the process ends within this time, hung or not.
const ORPHAN_SECONDS: u64 = 12;
/// How long the exit of a process with a hung device may take: the device's library may wait for it there.
const EXIT: Duration = Duration::from_secs(5);

/// Runs a worker until it is told to stop. Blocks, and makes its own runtime.
pub fn run(config: Config) -> anyhow::Result<()> {
    // An error only says that the program around us chose a provider already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name("worker-io")
        .build()
        .context("cannot start the worker's runtime")?;
    let (outcome, engine) = runtime.block_on(async {
        let stop = Stop::default();
        listen(&stop).context("cannot listen for signals")?;
        if config.exit_with_parent {
            follow_parent(stop.clone()).context("cannot watch the parent process")?;
        }
        let engine = Arc::new(EngineTranscriber::start(&config)?);
        let outcome = serve(config, Arc::clone(&engine) as Arc<dyn Transcriber>, stop).await;
        anyhow::Ok((outcome, engine))
    })?;
    // A network that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if !Arc::into_inner(engine).is_some_and(EngineTranscriber::stop) {
        leave(outcome);
    }
    outcome
}

/// Ends the process while a thread hangs in the device's driver. Everything in Redis is settled by now.
fn leave(outcome: anyhow::Result<()>) -> ! {
    let error = outcome.err().map(|error| format!("{error:#}"));
    tracing::error!(error, "the device hangs: leaving its thread behind");
    // If no thread can be started, the exit below is all there is.
    let _ = std::thread::Builder::new().name("exit".into()).spawn(|| {
        std::thread::sleep(EXIT);
        std::process::abort();
    });
    std::process::exit(1);
}

/// SIGTERM and SIGINT: the first drains, the second hands back at once.
fn listen(stop: &Stop) -> std::io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let (mut signals, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!(signal = kind.as_raw_value(), "asked to stop");
                stop.press();
            }
        });
    }
    Ok(())
}

/// The parent keeps the other end of our standard input: when it closes, the parent has died. A thread and not a task, so
/// that it also ends a process whose runtime is stuck.
fn follow_parent(stop: Stop) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("parent".into())
        .spawn(move || {
            let mut rest = [0u8; 64];
            while std::io::stdin()
                .read(&mut rest)
                .is_ok_and(|bytes| bytes > 0)
            {}
            tracing::warn!("the parent process has gone: handing back and ending");
            stop.now();
            std::thread::sleep(Duration::from_secs(ORPHAN_SECONDS));
            std::process::exit(1);
        })?;
    Ok(())
}
