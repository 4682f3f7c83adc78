//! What becomes of rows that a failed run gave back: decided here, done by the lane. So that a failing song never hurts its
//! neighbours, and a full device only slows its songs down.

/// A failed run, as far as it matters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) out_of_memory: bool,
    /// Rows that were given back, and of how many songs.
    pub(super) rows: usize,
    pub(super) songs: usize,
    /// The fewest rows that can be tried: a group, where the song is held to parity.
    pub(super) fewest: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Again, at most so many rows at a time.
    Fewer(usize),
    /// Again, one song at a time: one of them is the cause, and alone it will show.
    Apart,
    /// Again as they are, once: memory that others hold may be free by then. A second time in a row it is the song's failure.
    OnceMore,
    /// The song's own failure.
    Fail,
}

pub(super) fn judge(case: Case) -> Verdict {
    match case {
        Case {
            out_of_memory: true,
            rows,
            fewest,
            ..
        } if rows > fewest => Verdict::Fewer((rows / 2).max(fewest)),
        Case {
            out_of_memory: true,
            ..
        } => Verdict::OnceMore,
        Case { songs, .. } if songs > 1 => Verdict::Apart,
        Case { .. } => Verdict::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_tried_with_less_and_other_failures_are_narrowed_down_to_a_song() {
        for (out_of_memory, rows, songs, fewest, expected) in [
            (true, 64, 3, 1, Verdict::Fewer(32)),
            (true, 3, 1, 1, Verdict::Fewer(1)),
            (true, 1, 1, 1, Verdict::OnceMore),
            (true, 8, 1, 8, Verdict::OnceMore),
            (true, 24, 2, 8, Verdict::Fewer(12)),
            (true, 10, 2, 8, Verdict::Fewer(8)),
            (false, 8, 2, 1, Verdict::Apart),
            (false, 8, 1, 1, Verdict::Fail),
            (false, 1, 1, 1, Verdict::Fail),
        ] {
            let case = Case {
                out_of_memory,
                rows,
                songs,
                fewest,
            };
            assert_eq!(judge(case), expected, "{case:?}");
        }
    }

    /// Whatever happens, it ends: each verdict but the last two asks for less than before.
    #[test]
    fn a_device_that_is_always_full_is_given_up() {
        let (mut rows, mut tries) = (1024, 0);
        while let Verdict::Fewer(next) = judge(Case {
            out_of_memory: true,
            rows,
            songs: 9,
            fewest: 1,
        }) {
            assert!(next < rows);
            (rows, tries) = (next, tries + 1);
        }
        assert_eq!(tries, 10);
    }
}
