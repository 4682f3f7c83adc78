//! The vocabulary: what each token means.

use super::config::END;

/// Ids below are not of the codec: filling, end, unknown.
const SPECIAL: i64 = 3;
/// Hundredths of a second in a second.
pub const STEPS_PER_SECOND: f64 = 100.0;
/// Longest shift, in steps.
const MOST_STEPS: i64 = 1_000;
const PITCH: i64 = MOST_STEPS + 1;
const VELOCITY: i64 = PITCH + 128;
const TIE: i64 = VELOCITY + 2;
const PROGRAM: i64 = TIE + 1;
const DRUM: i64 = PROGRAM + 128;
const CODES: i64 = DRUM + 128;

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Steps since the segment's start, not since the last event.
    Shift(u16),
    Pitch(u8),
    /// Whether the notes that follow begin; else they end.
    Velocity(bool),
    /// The list of notes that go on from the segment before is complete.
    Tie,
    Program(u8),
    Drum(u8),
}

/// What a token means; `None` where nothing.
pub fn event(token: i64) -> Option<Event> {
    let code = token - SPECIAL;
    let byte = |first: i64| u8::try_from(code - first).unwrap_or(0);
    match code {
        0..PITCH => Some(Event::Shift(u16::try_from(code).unwrap_or(0))),
        PITCH..VELOCITY => Some(Event::Pitch(byte(PITCH))),
        VELOCITY..TIE => Some(Event::Velocity(code > VELOCITY)),
        TIE => Some(Event::Tie),
        PROGRAM..DRUM => Some(Event::Program(byte(PROGRAM))),
        DRUM..CODES => Some(Event::Drum(byte(DRUM))),
        _ => None,
    }
}

/// The token of a program.
pub fn program_token(program: u8) -> usize {
    (SPECIAL + PROGRAM) as usize + usize::from(program & 127)
}

/// The tokens of all drums.
pub fn drum_tokens() -> std::ops::Range<usize> {
    (SPECIAL + DRUM) as usize..(SPECIAL + CODES) as usize
}

/// The token that ends a segment.
pub fn end_token() -> usize {
    END as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_mean_what_the_published_vocabulary_says() {
        for (token, expected) in [
            (0, None),
            (1, None),
            (2, None),
            (3, Some(Event::Shift(0))),
            (1_003, Some(Event::Shift(1_000))),
            (1_004, Some(Event::Pitch(0))),
            (1_131, Some(Event::Pitch(127))),
            (1_132, Some(Event::Velocity(false))),
            (1_133, Some(Event::Velocity(true))),
            (1_134, Some(Event::Tie)),
            (1_135, Some(Event::Program(0))),
            (1_262, Some(Event::Program(127))),
            (1_263, Some(Event::Drum(0))),
            (1_390, Some(Event::Drum(127))),
            (1_391, None),
            (1_535, None),
            (-1, None),
        ] {
            assert_eq!(event(token), expected, "{token}");
        }
        assert_eq!(program_token(127), 1_262);
        assert_eq!(drum_tokens(), 1_263..1_391);
    }
}
