//! Rows in flight: each speaks the tokens of one segment, from whatever song. Rows that are done make room at once; the rows that work
//! are always the first ones, so that nothing is computed for nobody.

use tch::{Device, Kind, Tensor};

use super::cache::{Cache, Step};
use super::config::{END, START};
use super::events::end_token;
use super::model::Model;
use super::segments::Passage;
use crate::Error;
use crate::stages::mark;

/// Segments that are listened to at once.
const LISTEN_ON_CPU: usize = 8;
const LISTEN_ON_GPU: usize = 64;
/// Steps between two looks at what was said: a GPU would wait for the host.
const STEPS_ON_CPU: usize = 1;
const STEPS_ON_GPU: usize = 8;

/// While it lives, libtorch works on this thread alone. What is left to it in a step is small, and its helpers would go on spinning where
/// ours are to work.
struct OneThread(i32);

impl OneThread {
    fn new() -> Self {
        let before = tch::get_num_threads();
        tch::set_num_threads(1);
        OneThread(before)
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        tch::set_num_threads(self.0);
    }
}

/// How a batch is run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rows at most.
    pub rows: usize,
    /// Of the CPU.
    pub threads: usize,
    /// Libtorch's operations on the CPU too.
    pub libtorch: bool,
    /// Always all rows, each in its place until all are done, so that what a row says does not depend on what else there is.
    pub fixed: bool,
}

struct Row<T> {
    /// Whose it is, and what it listens to; none where nobody waits for it any more.
    work: Option<(T, Passage)>,
    tokens: Vec<i64>,
    /// The place of the last token.
    at: usize,
    /// The last token, also of a row that nobody waits for.
    last: i64,
    limit: usize,
}

/// What a segment came to.
pub struct Said<T> {
    pub tag: T,
    pub start: f64,
    /// The first one and, where it ended by itself, the last one included.
    pub tokens: Vec<i64>,
}

/// Rows and their cache.
pub struct Batch<T> {
    plan: Plan,
    cache: Cache,
    rows: Vec<Row<T>>,
    held: Vec<(T, Passage)>,
    /// What is added to each row's scores, `[rows, vocabulary]`; made when the first row has such rules.
    rules: Option<Tensor>,
    frames: usize,
}

impl<T> Batch<T> {
    pub fn new(model: &Model, plan: Plan) -> Result<Self, Error> {
        Ok(Batch {
            plan,
            cache: Cache::new(
                &model.shape,
                plan.rows,
                model.device,
                plan.threads,
                plan.libtorch,
            )?,
            rows: Vec::new(),
            held: Vec::new(),
            rules: None,
            frames: model.shape.samples(),
        })
    }

    /// Rows that somebody waits for.
    pub fn working(&self) -> usize {
        self.rows.iter().filter(|row| row.work.is_some()).count()
    }

    /// Rows that could begin now.
    pub fn free(&self) -> usize {
        if self.plan.fixed && self.working() > 0 {
            return 0;
        }
        self.plan.rows - self.working()
    }

    /// Takes back what is in flight, tokens forgotten.
    pub fn take_all(&mut self) -> Vec<(T, Passage)> {
        let held = std::mem::take(&mut self.held);
        let rows = self.rows.drain(..).filter_map(|row| row.work);
        rows.chain(held).collect()
    }

    /// Drops rows that nobody wants any more.
    pub fn forget(&mut self, unwanted: impl Fn(&T) -> bool) {
        for row in &mut self.rows {
            if row.work.as_ref().is_some_and(|(tag, _)| unwanted(tag)) {
                row.work = None;
            }
        }
    }

    /// Takes segments, at most as many as are free; [`Batch::begin`] comes next.
    pub fn hold(&mut self, new: Vec<(T, Passage)>) {
        self.held.extend(new);
    }

    /// Begins the rows of the segments that were taken. They are in flight even where this fails.
    pub fn begin(&mut self, model: &Model) -> Result<(), Error> {
        let new = std::mem::take(&mut self.held);
        let empty = Passage {
            samples: vec![0.0; self.frames],
            frames: 0,
            start: 0.0,
            rules: std::sync::Arc::default(),
        };
        if self.plan.fixed {
            self.rows.clear();
        }
        let mut slots = Vec::with_capacity(new.len());
        let mut holes = (0..self.rows.len())
            .filter(|at| self.rows[*at].work.is_none())
            .collect::<Vec<_>>()
            .into_iter();
        for (tag, passage) in new {
            let most = model.shape.positions;
            let row = Row {
                tokens: vec![START],
                at: 0,
                last: START,
                limit: passage.rules.limit.unwrap_or(most).min(most),
                work: Some((tag, passage)),
            };
            match holes.next() {
                Some(hole) => {
                    self.rows[hole] = row;
                    slots.push(hole);
                }
                None => {
                    slots.push(self.rows.len());
                    self.rows.push(row);
                }
            }
        }
        while self.plan.fixed && self.rows.len() < self.plan.rows {
            slots.push(self.rows.len());
            self.rows.push(Row {
                work: None,
                tokens: vec![START],
                at: 0,
                last: START,
                limit: 0,
            });
        }
        let at_once = match model.device {
            Device::Cpu => LISTEN_ON_CPU,
            _ => LISTEN_ON_GPU,
        };
        for slots in slots.chunks(at_once) {
            let passages: Vec<&Passage> = slots
                .iter()
                .map(|slot| {
                    self.rows[*slot]
                        .work
                        .as_ref()
                        .map_or(&empty, |work| &work.1)
                })
                .collect();
            let frames = model.front_end().frames(&passages)?;
            model.listen(&mut self.cache, slots, &model.encode(&frames)?)?;
        }
        if !self.plan.fixed {
            self.close_gaps()?;
        }
        self.rules = self.rules(model)?;
        Ok(())
    }

    /// The last rows move into the places of those that are done.
    fn close_gaps(&mut self) -> Result<(), Error> {
        let mut moves = Vec::new();
        let mut gap = 0;
        loop {
            while self.rows.last().is_some_and(|row| row.work.is_none()) {
                self.rows.pop();
            }
            match (gap..self.rows.len()).find(|at| self.rows[*at].work.is_none()) {
                Some(found) => gap = found,
                None => break,
            }
            let used = self.rows.last().map_or(0, |row| row.at + 1);
            moves.push((self.rows.len() - 1, gap, used));
            self.rows.swap_remove(gap);
        }
        if moves.is_empty() {
            return Ok(());
        }
        self.cache.move_rows(&moves)
    }

    /// Minus infinity for what a row may not say.
    fn rules(&self, model: &Model) -> Result<Option<Tensor>, Error> {
        let ruled = |row: &Row<T>| {
            row.work
                .as_ref()
                .is_some_and(|(_, passage)| passage.rules.forced || passage.rules.allowed.is_some())
        };
        if !self.rows.iter().any(ruled) {
            return Ok(None);
        }
        let vocabulary = model.shape.vocabulary;
        let mut rules = vec![0f32; self.rows.len() * vocabulary];
        for (row, rules) in self.rows.iter().zip(rules.chunks_exact_mut(vocabulary)) {
            let Some((_, passage)) = &row.work else {
                continue;
            };
            if let Some(allowed) = &passage.rules.allowed {
                for (rule, allowed) in rules.iter_mut().zip(allowed) {
                    if !allowed {
                        *rule = f32::NEG_INFINITY;
                    }
                }
            }
            if passage.rules.forced {
                rules[end_token()] = f32::NEG_INFINITY;
            }
        }
        Ok(Some(
            Tensor::f_from_slice(&rules)?
                .f_view([-1, vocabulary as i64])?
                .f_to_device(model.device)?,
        ))
    }

    /// Some steps on; gives what is finished. `before` is asked before each step on the device.
    pub fn advance(
        &mut self,
        model: &Model,
        before: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<Vec<Said<T>>, Error> {
        let mut said = self.finished();
        // Also rows that were forgotten: nobody would stop them at the last position.
        if !self.plan.fixed && self.working() < self.rows.len() {
            self.close_gaps()?;
            self.rules = self.rules(model)?;
        }
        let Some(least) = self
            .rows
            .iter()
            .filter(|row| row.work.is_some())
            .map(|row| row.limit - row.tokens.len())
            .min()
        else {
            return Ok(said);
        };
        let steps = match model.device {
            Device::Cpu => STEPS_ON_CPU,
            _ => STEPS_ON_GPU,
        };
        for tokens in self.steps(model, steps.min(least), before)? {
            for (row, token) in self.rows.iter_mut().zip(tokens) {
                row.at += 1;
                row.last = token;
                let ended = row.tokens.len() > 1 && row.tokens.last() == Some(&END);
                if row.work.is_some() && !ended {
                    row.tokens.push(token);
                }
            }
        }
        said.extend(self.finished());
        Ok(said)
    }

    /// Each step's token of each row.
    fn steps(
        &mut self,
        model: &Model,
        steps: usize,
        before: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<Vec<Vec<i64>>, Error> {
        let column = |of: fn(&Row<T>) -> i64| -> Result<Tensor, Error> {
            let column: Vec<i64> = self.rows.iter().map(of).collect();
            Ok(Tensor::f_from_slice(&column)?.f_to_device(model.device)?)
        };
        let mut tokens = column(|row| row.last)?;
        let mut on_device = column(|row| row.at as i64)?;
        let mut positions: Vec<usize> = self.rows.iter().map(|row| row.at).collect();
        let mut all = Vec::with_capacity(steps);
        let _quiet = (model.device == Device::Cpu && !self.plan.libtorch).then(OneThread::new);
        for _ in 0..steps {
            before()?;
            let step = Step {
                positions: &positions,
                on_device: &on_device,
            };
            let scores = model.step(&mut self.cache, &tokens, &step)?;
            let scores = match &self.rules {
                Some(rules) => scores.f_add(rules)?,
                None => scores,
            };
            tokens = scores.f_argmax(-1, false)?;
            on_device = on_device.f_add_scalar(1)?;
            positions.iter_mut().for_each(|at| *at += 1);
            all.push(tokens.shallow_clone());
        }
        let count = self.rows.len();
        let mut host = vec![0i64; steps * count];
        Tensor::f_stack(&all, 0)?
            .f_to_device(Device::Cpu)?
            .f_to_kind(Kind::Int64)?
            .f_copy_data(&mut host, steps * count)?;
        mark("decoder: choice");
        Ok(host.chunks_exact(count).map(<[i64]>::to_vec).collect())
    }

    fn finished(&mut self) -> Vec<Said<T>> {
        let mut said = Vec::new();
        for row in &mut self.rows {
            let ended = row.tokens.len() > 1 && row.tokens.last() == Some(&END);
            if (ended || row.tokens.len() >= row.limit)
                && let Some((tag, passage)) = row.work.take()
            {
                said.push(Said {
                    tag,
                    start: passage.start,
                    tokens: std::mem::take(&mut row.tokens),
                });
            }
        }
        said
    }
}
