//! Basic Pitch as the engine sees it: a one-shot network that pulls one batch of windows and gives its maps.

use super::maps::WindowMaps;
use super::{Model, Window};
use crate::Error;
use crate::network::{Feed, Network, Sink};

/// The network with its batch size.
pub struct BasicPitch {
    model: Model,
    rows: usize,
}

impl BasicPitch {
    /// `rows`: windows a batch. A few keep a CPU's caches warm; a GPU is bound by launches and wants many.
    pub fn new(model: Model, rows: usize) -> Self {
        BasicPitch { model, rows }
    }
}

impl Network for BasicPitch {
    type Segment = Window;
    type Output = WindowMaps;

    fn run(
        &mut self,
        feed: &mut dyn Feed<Window>,
        sink: &mut dyn Sink<WindowMaps>,
    ) -> Result<(), Error> {
        let batch = feed.pull(self.rows);
        if batch.is_empty() {
            return Ok(());
        }
        let windows: Vec<&[f32]> = batch
            .iter()
            .map(|(_, window)| window.samples.as_slice())
            .collect();
        let maps = self.model.forward(&windows, false)?;
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
