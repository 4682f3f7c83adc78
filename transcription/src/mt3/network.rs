//! MT3 as the engine sees it: rows of any songs in flight, refilled as they finish. Under parity, fixed groups one after the other.

use tch::{Device, Tensor};

use super::batch::{Batch, Plan};
use super::cache::{Cache, Step};
use super::config::{BANDS, Profile};
use super::model::Model;
use super::segments::Passage;
use super::song::Spoken;
use super::weights::Weights;
use crate::Error;
use crate::guard::guarded;
use crate::network::{Feed, Network, Sink, Ticket};

/// Rows that fill a device; more only wait for each other.
const ROWS_ON_CPU: usize = 64;
const ROWS_ON_GPU: usize = 512;
/// Of the free memory, for rows; the rest is for what they compute.
const SHARE: f64 = 0.6;

/// How many threads libtorch's share of the work takes, in this process.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(1));
}

/// How a network is to run.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub device: Device,
    pub profile: Profile,
    /// Of the CPU; at least one.
    pub threads: usize,
    /// Rows at most; none: as many as fill the device and fit into its free memory.
    pub rows: Option<usize>,
    /// Libtorch's operations on the CPU too: a second opinion.
    pub libtorch: bool,
}

/// The network with its rows.
pub struct Mt3 {
    model: Model,
    plan: Plan,
    /// Made at the first song that wants it, and kept.
    batch: Option<Batch<Ticket>>,
    group: Option<Batch<Ticket>>,
}

impl Mt3 {
    pub fn new(weights: &Weights, setup: Setup) -> Result<Self, Error> {
        let own = setup.device == Device::Cpu && !setup.libtorch;
        let threads = own.then_some(setup.threads.max(1));
        let model = Model::new(weights, setup.profile, setup.device, threads)?;
        let most = setup.rows.unwrap_or(match setup.device {
            Device::Cpu => ROWS_ON_CPU,
            _ => ROWS_ON_GPU,
        });
        let fit = crate::device::free_memory(setup.device).map_or(most, |free| {
            let rows = free as f64 * SHARE / weights.shape.row_bytes().max(1) as f64;
            rows as usize
        });
        let plan = Plan {
            rows: most.min(fit).max(1),
            threads: setup.threads,
            libtorch: setup.libtorch,
            fixed: false,
        };
        tracing::debug!(rows = plan.rows, "rows of mt3");
        Ok(Mt3 {
            model,
            plan,
            batch: None,
            group: None,
        })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// A segment's frames, `[frames][BANDS]`: for comparisons.
    pub fn frames(&self, passage: &Passage) -> Result<Vec<f32>, Error> {
        let _no_grad = tch::no_grad_guard();
        guarded(|| host(&self.model.front_end().frames(&[passage])?))
    }

    /// What the encoder makes of a segment's frames: for comparisons.
    pub fn encode(&self, frames: &[f32]) -> Result<Vec<f32>, Error> {
        let _no_grad = tch::no_grad_guard();
        guarded(|| host(&self.model.encode(&self.on_device(frames)?)?))
    }

    /// The scores behind each of `tokens`, one row by itself: for comparisons.
    pub fn scores(&self, frames: &[f32], tokens: &[i64]) -> Result<Vec<Vec<f32>>, Error> {
        let _no_grad = tch::no_grad_guard();
        guarded(|| {
            let (model, plan) = (&self.model, self.plan);
            let mut cache = Cache::new(&model.shape, 1, model.device, plan.threads, plan.libtorch)?;
            model.listen(&mut cache, &[0], &model.encode(&self.on_device(frames)?)?)?;
            let mut scores = Vec::with_capacity(tokens.len());
            for (at, token) in tokens.iter().enumerate() {
                let on_device = Tensor::f_from_slice(&[at as i64])?.f_to_device(model.device)?;
                let token = Tensor::f_from_slice(&[*token])?.f_to_device(model.device)?;
                let step = Step {
                    positions: &[at],
                    on_device: &on_device,
                };
                scores.push(host(&model.step(&mut cache, &token, &step)?)?);
            }
            Ok(scores)
        })
    }

    fn on_device(&self, frames: &[f32]) -> Result<Tensor, Error> {
        Ok(Tensor::f_from_slice(frames)?
            .f_view([1, -1, BANDS as i64])?
            .f_to_device(self.model.device)?)
    }

    /// Runs segments outside of an engine, in their order.
    pub fn speak(&mut self, passages: Vec<Passage>) -> Result<Vec<Spoken>, Error> {
        struct All {
            waiting: std::vec::IntoIter<(Ticket, Passage)>,
        }
        impl Feed<Passage> for All {
            fn pull(&mut self, rows: usize) -> Vec<(Ticket, Passage)> {
                self.waiting.by_ref().take(rows).collect()
            }
            fn cancelled(&self, _: Ticket) -> bool {
                false
            }
        }
        struct Heard(Vec<(usize, Spoken)>);
        impl Sink<Spoken> for Heard {
            fn emit(&mut self, finished: Vec<(Ticket, Spoken)>) {
                let plain = finished.into_iter();
                self.0
                    .extend(plain.map(|(ticket, spoken)| (ticket.index, spoken)));
            }
        }
        let tickets = passages
            .into_iter()
            .enumerate()
            .map(|(index, passage)| (Ticket { song: 0, index }, passage));
        let mut feed = All {
            waiting: tickets.collect::<Vec<_>>().into_iter(),
        };
        let mut heard = Heard(Vec::new());
        self.run(&mut feed, &mut heard)?;
        heard.0.sort_by_key(|(index, _)| *index);
        Ok(heard.0.into_iter().map(|(_, spoken)| spoken).collect())
    }
}

fn host(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    let count = tensor.numel();
    let mut numbers = vec![0f32; count];
    tensor
        .f_contiguous()?
        .f_to_device(Device::Cpu)?
        .f_copy_data(&mut numbers, count)?;
    Ok(numbers)
}

impl Network for Mt3 {
    type Segment = Passage;
    type Output = Spoken;

    const GROUP: usize = 8;

    fn rows(&self) -> usize {
        self.plan.rows
    }

    fn run(
        &mut self,
        feed: &mut dyn Feed<Passage>,
        sink: &mut dyn Sink<Spoken>,
    ) -> Result<(), Error> {
        let _no_grad = tch::no_grad_guard();
        let parity = feed.parity();
        let place = if parity {
            &mut self.group
        } else {
            &mut self.batch
        };
        let plan = Plan {
            rows: if parity { Self::GROUP } else { self.plan.rows },
            fixed: parity,
            ..self.plan
        };
        let batch = match place {
            Some(batch) => batch,
            None => place.insert(guarded(|| Batch::new(&self.model, plan))?),
        };
        let worked = work(&self.model, batch, feed, sink);
        if let Err(error) = &worked {
            feed.give_back(batch.take_all());
            if matches!(error, Error::OutOfMemory { .. }) {
                // The next try has fewer rows, and none of this one's memory.
                *place = None;
                crate::device::empty_cache(self.model.device);
                if !parity {
                    self.plan.rows = (self.plan.rows / 2).max(1);
                    tracing::warn!(
                        rows = self.plan.rows,
                        "out of memory: mt3 goes on with fewer rows"
                    );
                }
            }
        }
        worked
    }
}

/// Until nothing is in flight and nothing comes.
fn work(
    model: &Model,
    batch: &mut Batch<Ticket>,
    feed: &mut dyn Feed<Passage>,
    sink: &mut dyn Sink<Spoken>,
) -> Result<(), Error> {
    loop {
        batch.forget(|ticket| feed.cancelled(*ticket));
        let (free, working) = (batch.free(), batch.working());
        // A GPU is better asked seldom, for several at once.
        let worth_it = model.device == Device::Cpu || free * 16 >= working;
        let new = if free > 0 && worth_it {
            feed.pull(free)
        } else {
            Vec::new()
        };
        if !new.is_empty() {
            batch.hold(new);
            feed.before_step()?;
            guarded(|| batch.begin(model))?;
        }
        if batch.working() == 0 {
            return Ok(());
        }
        let said = guarded(|| batch.advance(model, &mut || feed.before_step()))?;
        if !said.is_empty() {
            let finished = said.into_iter().map(|said| {
                let spoken = Spoken {
                    start: said.start,
                    tokens: said.tokens,
                };
                (said.tag, spoken)
            });
            sink.emit(finished.collect());
        }
    }
}
