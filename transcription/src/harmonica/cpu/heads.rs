//! The heads: at every pitch the same bidirectional LSTM over time, and a weighted sum of its states. Pitches are the lanes here, so a time
//! step is one product of all gates' weights with what the trunk and the step before gave.

use super::super::config::{CHUNK, KEPT, MARGIN, PITCHES};
use super::layers::{Packed, Weights, starts};
use super::planes::{Planes, ROW};
use super::tile::Offsets;
use crate::cpu::{Isa, for_each_isa};

/// Pitches, filled up to whole vectors.
pub(crate) const LANES: usize = 96;

/// Frames that each direction walks over: nobody asks for states behind the kept frames.
const STEPS: usize = MARGIN + KEPT;

/// One direction of a head's LSTM.
struct Direction {
    /// The trunk's channels, then the states of the step before.
    gates: Packed,
    /// Of the sum that becomes the logit.
    linear: Vec<f32>,
}

/// One head.
pub(crate) struct Head {
    forward: Direction,
    backward: Direction,
    bias: f32,
    channels: usize,
    hidden: usize,
}

/// Room to work in.
pub(crate) struct Room {
    /// `[time][channels, then hidden][LANES]`; the second part is the state that the step finds.
    steps: Vec<f32>,
    offsets: Vec<i32>,
    /// `[gate][hidden][LANES]`
    gates: Vec<f32>,
    cells: Vec<f32>,
    state: Vec<f32>,
    /// `[KEPT][LANES]`
    logits: Vec<f32>,
}

impl Room {
    pub(crate) fn new(channels: usize, hidden: usize) -> Self {
        let rows = channels + hidden;
        Room {
            steps: vec![0.0; CHUNK * rows * LANES],
            offsets: (0..rows).map(|row| (row * LANES) as i32).collect(),
            gates: vec![0.0; 4 * hidden * LANES],
            cells: vec![0.0; hidden * LANES],
            state: vec![0.0; hidden * LANES],
            logits: vec![0.0; KEPT * LANES],
        }
    }

    /// Turns the trunk's planes so that pitches lie side by side.
    pub(crate) fn fill(&mut self, isa: Isa, trunk: &Planes) {
        let rows = self.offsets.len();
        for channel in 0..trunk.channels {
            turn(
                isa,
                trunk.plane(channel),
                rows * LANES,
                &mut self.steps[channel * LANES..],
            );
        }
    }
}

impl Head {
    pub(crate) fn new(
        isa: Isa,
        weights: &Weights<'_>,
        name: &str,
        channels: usize,
        hidden: usize,
    ) -> Self {
        let linear = weights(&format!("{name}.linear.weight"));
        let direction = |way: &str, linear: &[f32]| {
            let get = |part: &str| weights(&format!("{name}.lstm.{part}_l0{way}"));
            let (input, state) = (get("weight_ih"), get("weight_hh"));
            let joined: Vec<f32> = input
                .chunks_exact(channels)
                .zip(state.chunks_exact(hidden))
                .flat_map(|(input, state)| input.iter().chain(state))
                .copied()
                .collect();
            let bias = get("bias_ih")
                .iter()
                .zip(get("bias_hh"))
                .map(|(input, state)| input + state)
                .collect();
            Direction {
                gates: Packed::new(isa, &joined, bias),
                linear: linear.to_vec(),
            }
        };
        Head {
            forward: direction("", &linear[..hidden]),
            backward: direction("_reverse", &linear[hidden..]),
            bias: weights(&format!("{name}.linear.bias"))[0],
            channels,
            hidden,
        }
    }

    /// Multiply-adds of both directions' gates.
    pub(crate) fn products(&self) -> usize {
        [&self.forward, &self.backward]
            .map(|direction| {
                let tiles = STEPS * starts(LANES, direction.gates.shape.columns).count();
                direction.gates.products(tiles, self.channels + self.hidden)
            })
            .iter()
            .sum()
    }

    /// The probabilities of the kept frames, `[KEPT][PITCHES]`.
    pub(crate) fn run(&self, isa: Isa, room: &mut Room, map: &mut [f32]) {
        room.logits.fill(self.bias);
        self.walk(isa, &self.forward, room, 0..STEPS, false);
        self.walk(isa, &self.backward, room, CHUNK - STEPS..CHUNK, true);
        for (logits, map) in room
            .logits
            .chunks_exact(LANES)
            .zip(map.chunks_exact_mut(PITCHES))
        {
            probabilities(isa, &logits[..PITCHES], map);
        }
    }

    fn walk(
        &self,
        isa: Isa,
        direction: &Direction,
        room: &mut Room,
        times: std::ops::Range<usize>,
        backwards: bool,
    ) {
        let rows = self.channels + self.hidden;
        let offsets = Offsets::new(&room.offsets);
        room.cells.fill(0.0);
        room.state.fill(0.0);
        for step in 0..times.len() {
            let time = if backwards {
                times.end - 1 - step
            } else {
                times.start + step
            };
            let at = time * rows * LANES;
            room.steps[at + self.channels * LANES..at + rows * LANES].copy_from_slice(&room.state);
            for lane in starts(LANES, direction.gates.shape.columns) {
                direction.gates.run(
                    isa,
                    &room.steps,
                    at + lane,
                    &offsets,
                    0,
                    &mut room.gates,
                    lane,
                    LANES,
                );
            }
            update(isa, &mut room.gates, &mut room.cells, &mut room.state);
            if let Some(kept) = time.checked_sub(MARGIN).filter(|kept| *kept < KEPT) {
                let logits = &mut room.logits[kept * LANES..(kept + 1) * LANES];
                weigh(isa, &direction.linear, &room.state, logits);
            }
        }
    }
}

for_each_isa! {
    /// A plane's columns become rows of [`LANES`], `stride` apart.
    fn turn = turn_body(plane: &[f32], stride: usize, to: &mut [f32])
}

#[inline(always)]
fn turn_body(plane: &[f32], stride: usize, to: &mut [f32]) {
    const BLOCK: usize = 12;
    for first in (0..CHUNK).step_by(BLOCK) {
        for (pitch, row) in plane.chunks_exact(ROW).enumerate() {
            let Some(part) = row[first..].first_chunk::<BLOCK>() else {
                continue;
            };
            for (time, number) in part.iter().enumerate() {
                to[(first + time) * stride + pitch] = *number;
            }
        }
    }
}

for_each_isa! {
    /// One step of the cells: `gates` holds the sums of input, forget, cell and output gate.
    fn update = update_body(gates: &mut [f32], cells: &mut [f32], state: &mut [f32])
}

#[inline(always)]
fn update_body(gates: &mut [f32], cells: &mut [f32], state: &mut [f32]) {
    let length = cells.len();
    let (input, rest) = gates.split_at(length);
    let (forget, rest) = rest.split_at(length);
    let (cell, output) = rest.split_at(length);
    let cells = cells.iter_mut().zip(state);
    let gates = input.iter().zip(forget).zip(cell).zip(&output[..length]);
    for ((kept, state), (((input, forget), cell), output)) in cells.zip(gates) {
        *kept = sigmoid(*forget) * *kept + sigmoid(*input) * hyperbolic_tangent(*cell);
        *state = sigmoid(*output) * hyperbolic_tangent(*kept);
    }
}

for_each_isa! {
    /// `logits += sum over hidden of linear * state`
    fn weigh = weigh_body(linear: &[f32], state: &[f32], logits: &mut [f32])
}

#[inline(always)]
fn weigh_body(linear: &[f32], state: &[f32], logits: &mut [f32]) {
    for (weight, state) in linear.iter().zip(state.chunks_exact(LANES)) {
        for (logit, state) in logits.iter_mut().zip(state) {
            *logit += weight * state;
        }
    }
}

for_each_isa! {
    fn probabilities = probabilities_body(logits: &[f32], map: &mut [f32])
}

#[inline(always)]
fn probabilities_body(logits: &[f32], map: &mut [f32]) {
    for (map, logit) in map.iter_mut().zip(logits) {
        *map = sigmoid(*logit);
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exponential(-x))
}

#[inline(always)]
fn hyperbolic_tangent(x: f32) -> f32 {
    2.0 / (1.0 + exponential(-2.0 * x)) - 1.0
}

/// `e^x` to a unit in the last place or two, in operations that become vectors: a power of two and a polynomial of what is left.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    // Added and taken away again, it rounds to a whole number, which then stands in its lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, so that a whole number times the first is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    let mut sum = 1.0 / 5040.0;
    for factor in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * rest + factor;
    }
    let power = f32::from_bits(
        shifted
            .to_bits()
            .wrapping_sub(ROUND.to_bits())
            .wrapping_add(127)
            << 23,
    );
    sum * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_functions_are_the_true_ones() {
        for at in -2000..=2000 {
            let x = at as f32 / 100.0;
            let exact = f64::from(x);
            let sides = [
                (f64::from(exponential(x)), exact.exp(), exact.exp() * 3e-7),
                (f64::from(sigmoid(x)), 1.0 / (1.0 + (-exact).exp()), 2e-7),
                (f64::from(hyperbolic_tangent(x)), exact.tanh(), 3e-7),
            ];
            for (found, expected, tolerance) in sides {
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{x}: {found} {expected}"
                );
            }
        }
        for x in [f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30] {
            assert!((0.0..=1.0).contains(&sigmoid(x)), "{x}");
        }
    }
}
