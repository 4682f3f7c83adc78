//! The one thread that touches the device: loads networks, runs whichever lane has segments ready, sleeps otherwise.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::lane::Lane;
use super::{EngineConfig, feed};
use crate::guard::guarded;
use crate::network::Network;
use crate::precision::Precision;
use crate::shim::Autocast;
use crate::{Error, device};

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

/// One network's place on the device's thread, whatever its kind.
pub(super) trait Station {
    fn has_ready(&self) -> bool;
    /// Loads the network if need be and runs it once.
    fn turn(&mut self, device: tch::Device, bell: &Bell);
    fn close(&self);
}

/// Loads a network onto the opened device.
pub(super) type Load<N> = Box<dyn Fn(tch::Device) -> Result<N, Error> + Send>;

/// A lane and its network, which is loaded at the first song and kept warm.
pub(super) struct Post<N: Network> {
    pub(super) model: &'static str,
    pub(super) lane: Arc<Lane<N>>,
    pub(super) load: Load<N>,
    pub(super) precision: Precision,
    pub(super) network: Option<N>,
}

impl<N: Network> Station for Post<N> {
    fn has_ready(&self) -> bool {
        self.lane.has_ready()
    }

    fn turn(&mut self, device: tch::Device, bell: &Bell) {
        let network = match self.network.as_mut() {
            Some(network) => network,
            None => match guarded(|| {
                let started = Instant::now();
                let network = (self.load)(device)?;
                tracing::info!(model = self.model, device = ?device, milliseconds = started.elapsed().as_millis(), "loaded the network");
                self.lane.loaded(network.rows());
                Ok(network)
            }) {
                Ok(fresh) => self.network.insert(fresh),
                Err(error) => return self.lane.fail_waiting(error),
            },
        };
        let _autocast = (self.precision == Precision::Bf16).then(|| Autocast::bf16(device));
        step(&self.lane, network, device, bell);
    }

    fn close(&self) {
        self.lane.close();
    }
}

pub(super) fn run(
    config: &EngineConfig,
    bell: &Arc<Bell>,
    mut stations: Vec<Box<dyn Station + Send>>,
    ready: &Sender<Result<(), Error>>,
) {
    let open = || {
        let device = config.device.open()?;
        device::allow_tf32(config.precision == Precision::Tf32);
        Ok(device)
    };
    let device = match guarded(open) {
        Ok(device) => device,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    if config.threads > 0 {
        tch::set_num_threads(i32::try_from(config.cpu_threads()).unwrap_or(1));
    }
    // The engine's owner waits for this answer; when it is gone the loop below ends at once.
    let _ = ready.send(Ok(()));
    while bell.wait() {
        // One batch each in turn, so that songs of one network do not hold up those of another.
        while stations.iter().any(|station| station.has_ready()) && !bell.stopped() {
            for station in &mut stations {
                if station.has_ready() && !bell.stopped() {
                    station.turn(device, bell);
                }
            }
        }
    }
    stations.iter().for_each(|station| station.close());
}

/// One run of a network; its failure is that of the songs whose rows were under way.
fn step<N: Network>(lane: &Arc<Lane<N>>, network: &mut N, device: tch::Device, bell: &Bell) {
    let (mut rows, mut outputs) = feed::begin(lane);
    let result = guarded(|| network.run(&mut rows, &mut outputs));
    match &result {
        Err(error) if error.poisons_device() => bell.break_down(),
        // What other shapes left behind may be all that is missing.
        Err(Error::OutOfMemory { .. }) => device::empty_cache(device),
        _ => {}
    }
    feed::end(rows, outputs, result.err());
}
