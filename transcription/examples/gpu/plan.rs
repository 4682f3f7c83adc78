//! How much is run: enough to fill a GPU, or, dry, just enough to see every line work on a CPU.

use std::error::Error;

use transcription::registry::Store;
use transcription::{DeviceChoice, EngineConfig};

pub(crate) struct Plan {
    pub(crate) dry: bool,
    /// Rounds that count; one before them warms up.
    pub(crate) rounds: usize,
    pub(crate) mt3_segments: usize,
    /// None: as many as the network takes by itself.
    pub(crate) mt3_rows: Option<usize>,
    pub(crate) mt3_tokens: usize,
    pub(crate) lone_seconds: usize,
    pub(crate) transkun_segments: usize,
    pub(crate) transkun_rows: usize,
    pub(crate) windows: usize,
    pub(crate) window_rows: usize,
    /// Of each size of Harmonica.
    pub(crate) chunks: usize,
    pub(crate) chunk_rows: usize,
    /// Side of the matrices whose product is the peak.
    pub(crate) product: i64,
    pub(crate) copy_bytes: usize,
    /// Of the CPU.
    pub(crate) threads: usize,
}

impl Plan {
    /// Rows are those of the engine. `ROUNDS`, `MT3_ROWS`, `TRANSKUN_ROWS`, `BASIC_PITCH_ROWS` and `HARMONICA_ROWS` change what is run.
    pub(crate) fn of(device: DeviceChoice) -> Result<Self, Box<dyn Error>> {
        let engine = EngineConfig {
            device,
            ..EngineConfig::new(Store::new(Store::default_dir()))
        };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut plan = match device {
            DeviceChoice::Cuda(_) => Plan {
                dry: false,
                rounds: 3,
                mt3_segments: 2_048,
                mt3_rows: None,
                mt3_tokens: 256,
                lone_seconds: 180,
                transkun_segments: 64,
                transkun_rows: engine.transkun_rows(),
                windows: 4_096,
                window_rows: engine.batch_rows(),
                chunks: 512,
                chunk_rows: engine.batch_rows(),
                product: 8_192,
                copy_bytes: 2 << 30,
                threads,
            },
            DeviceChoice::Cpu => Plan {
                dry: true,
                rounds: 1,
                mt3_segments: 6,
                mt3_rows: Some(4),
                mt3_tokens: 16,
                lone_seconds: 7,
                transkun_segments: 1,
                transkun_rows: 1,
                windows: 12,
                window_rows: 4,
                chunks: 1,
                chunk_rows: 1,
                product: 1_024,
                copy_bytes: 64 << 20,
                threads,
            },
        };
        plan.rounds = setting("ROUNDS")?.unwrap_or(plan.rounds).max(1);
        plan.mt3_rows = setting("MT3_ROWS")?.or(plan.mt3_rows);
        plan.transkun_rows = setting("TRANSKUN_ROWS")?.unwrap_or(plan.transkun_rows);
        plan.window_rows = setting("BASIC_PITCH_ROWS")?.unwrap_or(plan.window_rows);
        plan.chunk_rows = setting("HARMONICA_ROWS")?.unwrap_or(plan.chunk_rows);
        Ok(plan)
    }
}

fn setting(name: &str) -> Result<Option<usize>, Box<dyn Error>> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{name}={text} is no number").into()),
        },
        _ => Ok(None),
    }
}
