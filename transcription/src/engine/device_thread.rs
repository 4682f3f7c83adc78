//! The one thread that touches the device: loads networks, runs whichever lane has segments ready, sleeps otherwise.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::EngineConfig;
use super::lane::Lane;
use crate::basic_pitch::{self, BasicPitch, Model};
use crate::guard::guarded;
use crate::network::Network;
use crate::{DeviceChoice, Error};

/// Wakes the device's thread, and carries its state.
#[derive(Default)]
pub(super) struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Default)]
struct BellState {
    ready: bool,
    stopping: bool,
    broken: bool,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, BellState> {
        // A panic while the lock was held leaves three flags, each valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is ready in some lane.
    pub(super) fn ring(&self) {
        self.lock().ready = true;
        self.rung.notify_all();
    }

    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.rung.notify_all();
    }

    pub(super) fn stopped(&self) -> bool {
        let state = self.lock();
        state.stopping || state.broken
    }

    pub(super) fn healthy(&self) -> bool {
        !self.lock().broken
    }

    fn break_down(&self) {
        self.lock().broken = true;
    }

    /// Sleeps until something is ready; false when the engine ends.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        while !state.ready && !state.stopping && !state.broken {
            state = self
                .rung
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.ready = false;
        !state.stopping && !state.broken
    }
}

/// Windows a batch: a few fill a CPU's threads and stay in its caches, a GPU is bound by launches.
fn batch_rows(device: DeviceChoice) -> usize {
    match device {
        DeviceChoice::Cpu => 8,
        DeviceChoice::Cuda(_) => 64,
    }
}

pub(super) fn run(
    config: &EngineConfig,
    bell: &Arc<Bell>,
    lane: &Arc<Lane<BasicPitch>>,
    ready: &Sender<Result<(), Error>>,
) {
    let device = match guarded(|| config.device.open()) {
        Ok(device) => device,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    if config.threads > 0 {
        // More threads than cores only wait for each other.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        tch::set_num_threads(i32::try_from(config.threads.min(cores)).unwrap_or(1));
    }
    // The engine's owner waits for this answer; when it is gone the loop below ends at once.
    let _ = ready.send(Ok(()));
    let mut network: Option<BasicPitch> = None;
    while bell.wait() {
        while lane.has_ready() && !bell.stopped() {
            let loaded = match network.as_mut() {
                Some(network) => network,
                None => match guarded(|| {
                    let installed = config.models.installed(basic_pitch::NAME)?;
                    let started = Instant::now();
                    let model = Model::load(&installed.file, device)?;
                    tracing::info!(model = basic_pitch::NAME, device = %config.device, milliseconds = started.elapsed().as_millis(), "loaded the network");
                    Ok(BasicPitch::new(model, batch_rows(config.device)))
                }) {
                    Ok(fresh) => network.insert(fresh),
                    Err(error) => {
                        lane.fail_waiting(error);
                        continue;
                    }
                },
            };
            step(lane, loaded, bell);
        }
    }
    lane.close();
}

/// One run of a network; its failure is that of the songs whose rows were under way.
fn step<N: Network>(lane: &Arc<Lane<N>>, network: &mut N, bell: &Bell) {
    let (mut feed, mut sink) = lane.begin();
    let result = guarded(|| network.run(&mut feed, &mut sink));
    if let Err(error) = &result
        && error.poisons_device()
    {
        bell.break_down();
    }
    lane.end(feed, sink, result.err());
}
