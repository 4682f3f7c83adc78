//! From what each frame of each symbol is like to the intervals that may sound, and their attributes.

use tch::{Device, Kind, Tensor};

use super::super::attributes::{Attributes, Candidates, TIMES, Track};
use super::super::config::SYMBOLS;
use super::super::semi_crf::{Scored, best_of, best_of_all};
use super::{Layer, Reference, numbers};
use crate::Error;

/// Positive scores that are copied to the host for one tile of symbols; where there are more, the whole tile is.
const MOST_POSITIVE: i64 = 2 << 20;
/// Scores of one tile: 256 MiB.
const TILE: usize = 1 << 26;
/// Intervals whose attributes are computed at once.
const INTERVALS: usize = 1 << 14;

impl Reference {
    /// The intervals that may sound, without their attributes.
    pub(super) fn decode(&self, context: &Tensor) -> Result<Vec<Candidates>, Error> {
        let (batch, width) = (context.size()[0] as usize, self.shape.width() as i64);
        let frames = self.shape.frames();
        let mapped = self.scorer.linear(context)?;
        let (ends, begins) = (
            mapped
                .f_narrow(-1, 0, width)?
                .f_div_scalar((width as f64).sqrt())?,
            mapped.f_narrow(-1, width, width)?,
        );
        let single = numbers(&mapped.f_select(-1, 2 * width)?)?;
        let single = |segment: usize, symbol: usize| {
            &single[(segment * SYMBOLS + symbol) * frames..][..frames]
        };
        let mut found = vec![
            Candidates {
                tracks: vec![Track::default(); SYMBOLS],
                silent: false,
            };
            batch
        ];
        let side = (TILE / (frames * frames * batch)).clamp(1, SYMBOLS);
        for first in (0..SYMBOLS).step_by(side) {
            let count = side.min(SYMBOLS - first);
            let part = |x: &Tensor| x.f_narrow(1, first as i64, count as i64);
            let scores = part(&begins)?
                .f_matmul(&part(&ends)?.f_transpose(-1, -2)?)?
                .f_mul(&self.lengths)?;
            // Where an interval would end before it begins, the length is zero, and so is the score.
            let positive = scores.f_gt(0)?;
            let many = positive.f_sum(Kind::Int64)?.f_int64_value(&[])? > MOST_POSITIVE;
            let mut lists = vec![Vec::new(); batch * count];
            if !many {
                let places = Vec::<i64>::try_from(
                    positive
                        .f_flatten(0, -1)?
                        .f_nonzero()?
                        .f_flatten(0, -1)?
                        .f_to_device(Device::Cpu)?,
                )?;
                let values = numbers(&scores.f_masked_select(&positive)?)?;
                for (place, score) in places.into_iter().zip(values) {
                    let place = place as usize;
                    lists[place / (frames * frames)].push(Scored {
                        begin: (place / frames % frames) as u16,
                        end: (place % frames) as u16,
                        score,
                    });
                }
            }
            for (at, list) in lists.iter().enumerate() {
                let (segment, symbol) = (at / count, first + at % count);
                let single = single(segment, symbol);
                let paths = if many {
                    let whole = scores.f_get(segment as i64)?.f_get((at % count) as i64)?;
                    best_of_all(&numbers(&whole)?, single)
                } else {
                    best_of(list, single)
                };
                found[segment].tracks[symbol].intervals = paths.all().collect();
            }
        }
        Ok(found)
    }

    /// The attributes of every interval that was found.
    pub(super) fn attribute(
        &self,
        context: &Tensor,
        found: &mut [Candidates],
    ) -> Result<(), Error> {
        let frames = self.shape.frames();
        let context = context.f_flatten(0, 2)?;
        let mut places: [Vec<i64>; 2] = Default::default();
        let tracks = found.iter().flat_map(|candidates| &candidates.tracks);
        for (at, track) in tracks.enumerate() {
            for (begin, end) in &track.intervals {
                places[0].push((at * frames + usize::from(*begin)) as i64);
                places[1].push((at * frames + usize::from(*end)) as i64);
            }
        }
        let mut attributes = Vec::with_capacity(places[0].len());
        for (begins, ends) in places[0].chunks(INTERVALS).zip(places[1].chunks(INTERVALS)) {
            let pick = |places: &[i64]| {
                let index = Tensor::f_from_slice(places)?.f_to_device(self.device)?;
                context.f_index_select(0, &index)
            };
            let (begin, end) = (pick(begins)?, pick(ends)?);
            let both = begin.f_mul(&end)?;
            let input = Tensor::f_cat(&[begin, end, both], -1)?;
            let predict = |[inner, outer]: &[Layer; 2]| {
                numbers(&outer.linear(&inner.linear(&input)?.f_gelu("none")?)?)
            };
            let (velocity, times) = (predict(&self.velocity)?, predict(&self.times)?);
            attributes.extend(
                velocity
                    .chunks_exact(128)
                    .zip(times.chunks_exact(TIMES))
                    .map(|(velocity, times)| Attributes::new(velocity, times)),
            );
        }
        let mut attributes = attributes.into_iter();
        for candidates in found {
            for track in &mut candidates.tracks {
                track.attributes = attributes.by_ref().take(track.intervals.len()).collect();
            }
        }
        Ok(())
    }
}
