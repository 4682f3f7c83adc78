//! Basic Pitch as the engine sees it: a one-shot network that pulls one batch of windows and gives its maps.

use super::config::WINDOW;
use super::maps::WindowMaps;
use super::{Model, Window};
use crate::guard::guarded;
use crate::network::{Feed, Network, Sink};
use crate::precision::Precision;
use crate::{DeviceChoice, Error};

/// The network with its batch size.
pub struct BasicPitch {
    model: Model,
    rows: usize,
    /// Fills a group.
    empty: Vec<f32>,
}

impl BasicPitch {
    /// `rows`: windows a batch. A few keep a CPU's caches warm; a GPU is bound by launches and wants many.
    pub fn new(model: Model, rows: usize) -> Self {
        BasicPitch {
            model,
            rows,
            empty: vec![0.0; WINDOW],
        }
    }
}

impl Network for BasicPitch {
    type Segment = Window;
    type Output = WindowMaps;

    const GROUP: usize = 8;

    /// On the CPU it runs in kernels of our own, which have float32 alone.
    fn precision(asked: Precision, device: DeviceChoice) -> Precision {
        asked.on_gpu(device)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn run(
        &mut self,
        feed: &mut dyn Feed<Window>,
        sink: &mut dyn Sink<WindowMaps>,
    ) -> Result<(), Error> {
        let batch = feed.pull(self.rows);
        if batch.is_empty() {
            return Ok(());
        }
        let mut windows: Vec<&[f32]> = batch
            .iter()
            .map(|(_, window)| window.samples.as_slice())
            .collect();
        if feed.parity() && self.model.is_batched() {
            windows.resize(Self::GROUP, &self.empty);
        }
        let step = feed.before_step();
        let maps = match step.and_then(|()| guarded(|| self.model.forward(&windows, false))) {
            Ok(maps) => maps,
            Err(error) => {
                feed.give_back(batch);
                return Err(error);
            }
        };
        // Maps of padding are behind those of the batch, and fall away.
        let finished = batch.into_iter().zip(maps).map(|((ticket, window), maps)| {
            let song_samples = window.song_samples;
            (
                ticket,
                WindowMaps {
                    song_samples,
                    ..maps
                },
            )
        });
        sink.emit(finished.collect());
        Ok(())
    }
}
