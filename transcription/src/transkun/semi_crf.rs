//! Which intervals of a symbol sound: the best path through all of them, by the package's own rules.
//!
//! From a frame one may go on to the next one for nothing, or take an interval to a later frame for its score. Scores that are not
//! positive can never win: from frame `j` the interval to `e` must beat going on, which is worth `Q[j + 1]`, and `Q[e] <= Q[j + 1]` for every
//! later `e`, since going on costs nothing; that holds for the rounded sums too. So [`best_of`] needs the positive scores alone, a few
//! thousand of twenty million. [`best_of_all`] is the definition, for comparison, and for input on which nearly all are positive.

/// The score of the interval from a symbol's frame to a later one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    pub begin: u16,
    pub end: u16,
    pub score: f32,
}

/// From every frame, where the best path goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The end of the interval that begins here; `NONE` where the path only goes on.
    next: Vec<u16>,
    /// Whether the frame by itself is an interval too.
    single: Vec<bool>,
}

const NONE: u16 = u16::MAX;

/// `positive`: the intervals whose score is above zero, in ascending order of `(begin, end)`. `single`: each frame's score by itself.
pub fn best_of(positive: &[Scored], single: &[f32]) -> Paths {
    let frames = single.len();
    let mut next = vec![NONE; frames];
    let mut worth = vec![0f32; frames];
    let mut left = positive;
    for begin in (0..frames).rev() {
        let mut best = worth.get(begin + 1).copied().unwrap_or(0.0);
        let from = left.partition_point(|scored| usize::from(scored.begin) < begin);
        for scored in &left[from..] {
            let sum = worth[usize::from(scored.end)] + scored.score;
            // Going on wins ties, and so does the interval that ends first.
            if sum > best {
                best = sum;
                next[begin] = scored.end;
            }
        }
        left = &left[..from];
        worth[begin] = best + single[begin].max(0.0);
    }
    Paths {
        next,
        single: single.iter().map(|score| *score > 0.0).collect(),
    }
}

/// The same of all scores, `[begin][end]`; only those above the diagonal are looked at.
pub fn best_of_all(scores: &[f32], single: &[f32]) -> Paths {
    let frames = single.len();
    let mut next = vec![NONE; frames];
    let mut worth = vec![0f32; frames];
    for begin in (0..frames).rev() {
        let mut best = worth.get(begin + 1).copied().unwrap_or(0.0);
        for end in begin + 1..frames {
            let sum = worth[end] + scores[begin * frames + end];
            if sum > best {
                best = sum;
                next[begin] = end as u16;
            }
        }
        worth[begin] = best + single[begin].max(0.0);
    }
    Paths {
        next,
        single: single.iter().map(|score| *score > 0.0).collect(),
    }
}

impl Paths {
    /// Every interval that the path from some start may take, by ascending begin; a frame by itself comes before the one that begins there.
    pub fn all(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        (0..self.next.len()).flat_map(|frame| {
            let at = frame as u16;
            let single = self.single[frame].then_some((at, at));
            let long = (self.next[frame] != NONE).then_some((at, self.next[frame]));
            single.into_iter().chain(long)
        })
    }
}

/// The intervals on the path from `start`, as places in the list that [`Paths::all`] gave. The last frame by itself is always on it.
pub fn path(intervals: &[(u16, u16)], frames: usize, start: usize) -> Vec<usize> {
    let mut taken = Vec::new();
    let last = frames - 1;
    let mut frame = start;
    let mut at = 0;
    while frame < last {
        at += intervals[at..].partition_point(|(begin, _)| usize::from(*begin) < frame);
        match intervals.get(at) {
            Some((begin, end)) if usize::from(*begin) < last => {
                taken.push(at);
                at += 1;
                frame = if end == begin {
                    // The one that begins here, if there is one, comes next in the list.
                    match intervals.get(at) {
                        Some((long, _)) if long == begin => usize::from(*begin),
                        _ => usize::from(*begin) + 1,
                    }
                } else {
                    usize::from(*end)
                };
            }
            _ => break,
        }
    }
    let by_itself = (last as u16, last as u16);
    if let Some(at) = intervals
        .iter()
        .rposition(|interval| *interval == by_itself)
    {
        taken.push(at);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::noise::noise;

    /// The package's own backtracking, step by step.
    fn walk(paths: &Paths, start: usize) -> Vec<(u16, u16)> {
        let last = paths.next.len() - 1;
        let mut taken = Vec::new();
        let mut frame = start;
        while frame < last {
            if paths.single[frame] {
                taken.push((frame as u16, frame as u16));
            }
            match paths.next[frame] {
                NONE => frame += 1,
                end => {
                    taken.push((frame as u16, end));
                    frame = usize::from(end);
                }
            }
        }
        if paths.single[last] {
            taken.push((last as u16, last as u16));
        }
        taken
    }

    fn positive(scores: &[f32], frames: usize) -> Vec<Scored> {
        let mut positive = Vec::new();
        for begin in 0..frames {
            for end in begin + 1..frames {
                let score = scores[begin * frames + end];
                if score > 0.0 {
                    positive.push(Scored {
                        begin: begin as u16,
                        end: end as u16,
                        score,
                    });
                }
            }
        }
        positive
    }

    #[test]
    fn positive_scores_alone_give_the_whole_programs_paths() {
        for seed in 0..60u32 {
            let frames = 2 + (seed as usize * 7) % 60;
            // From nearly none above zero to nearly all; coarse steps make ties.
            let shift = (seed % 12) as f32 * 0.08 - 0.48;
            let coarse = seed % 3 == 0;
            let shape = |number: f32| {
                let number = number + shift;
                if coarse {
                    (number * 4.0).round()
                } else {
                    number * 1e4
                }
            };
            let scores: Vec<f32> = noise(seed, frames * frames)
                .into_iter()
                .map(shape)
                .collect();
            let single: Vec<f32> = noise(seed + 1000, frames).into_iter().map(shape).collect();
            let few = best_of(&positive(&scores, frames), &single);
            assert_eq!(few, best_of_all(&scores, &single), "seed {seed}");
            let intervals: Vec<(u16, u16)> = few.all().collect();
            for start in 0..frames {
                let taken: Vec<(u16, u16)> = path(&intervals, frames, start)
                    .into_iter()
                    .map(|at| intervals[at])
                    .collect();
                assert_eq!(taken, walk(&few, start), "seed {seed}, from {start}");
            }
        }
    }

    #[test]
    fn going_on_wins_ties_and_the_last_frame_is_always_looked_at() {
        // From 0: to 2 for 3, or on to 1 and from there to 2 for 3.
        let scores = [0.0, -1.0, 3.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0];
        let paths = best_of_all(&scores, &[0.0, 0.0, 1.0]);
        assert_eq!(walk(&paths, 0), [(1, 2), (2, 2)]);
        assert_eq!(walk(&paths, 2), [(2, 2)]);
        let none = best_of(&[], &[0.0; 3]);
        assert_eq!(none.all().count(), 0);
        assert_eq!(path(&[], 3, 1), Vec::<usize>::new());
    }
}
