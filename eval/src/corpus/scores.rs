//! Scores typed in as text: `title`, `beats-per-minute`, and for each `part` its notes as a name and a length in beats.
//! `C4` is the middle C, `+` joins a chord, `R` is a rest. Everything is in the public domain.

use anyhow::{Context, Result, bail};
use music::Note;

use super::note;

/// A little silence first, as in any recording.
const LEAD_SECONDS: f64 = 0.5;
/// The first part leads.
const VELOCITIES: [u8; 4] = [92, 76, 72, 80];

const SCORES: &[(&str, &str)] = &[
    ("canon", include_str!("../../scores/canon.score")),
    ("fuer-elise", include_str!("../../scores/fuer-elise.score")),
    (
        "greensleeves",
        include_str!("../../scores/greensleeves.score"),
    ),
    ("gymnopedie", include_str!("../../scores/gymnopedie.score")),
    (
        "minuet-in-g",
        include_str!("../../scores/minuet-in-g.score"),
    ),
    ("ode-to-joy", include_str!("../../scores/ode-to-joy.score")),
    (
        "prelude-in-c",
        include_str!("../../scores/prelude-in-c.score"),
    ),
    (
        "prelude-in-c-minor",
        include_str!("../../scores/prelude-in-c-minor.score"),
    ),
];

/// The notes of a score, each part with its program; the last program plays what is left.
pub(super) fn notes(file: &str, programs: &[u8]) -> Result<Vec<Note>> {
    let (_, text) = SCORES
        .iter()
        .find(|(name, _)| *name == file)
        .with_context(|| format!("there is no score {file}"))?;
    let score = parse(text).with_context(|| format!("scores/{file}.score"))?;
    let beat_seconds = 60.0 / score.beats_per_minute;
    let mut notes = Vec::new();
    for (index, part) in score.parts.iter().enumerate() {
        let program = *programs
            .get(index)
            .or(programs.last())
            .context("no program was given")?;
        let velocity = VELOCITIES[index.min(VELOCITIES.len() - 1)];
        let mut beat = 0.0;
        for (pitches, beats) in part {
            let onset = LEAD_SECONDS + beat * beat_seconds;
            let offset = onset + beats * beat_seconds;
            notes.extend(
                pitches
                    .iter()
                    .map(|pitch| note(*pitch, onset, offset, velocity, program)),
            );
            beat += beats;
        }
    }
    Ok(notes)
}

struct Score {
    beats_per_minute: f64,
    parts: Vec<Vec<(Vec<u8>, f64)>>,
}

fn parse(text: &str) -> Result<Score> {
    let mut score = Score {
        beats_per_minute: 0.0,
        parts: Vec::new(),
    };
    for line in text.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        let Some(first) = words.next().filter(|word| !word.starts_with('#')) else {
            continue;
        };
        match first {
            "title" => {}
            "beats-per-minute" => {
                score.beats_per_minute = words.next().context("no number")?.parse()?
            }
            "part" => score.parts.push(Vec::new()),
            _ => {
                let part = score
                    .parts
                    .last_mut()
                    .context("notes before the first part")?;
                let mut words = line.split_whitespace();
                while let Some(name) = words.next() {
                    let beats = words
                        .next()
                        .with_context(|| format!("no length after {name}"))?;
                    part.push((
                        chord(name)?,
                        beats.parse().with_context(|| format!("length {beats}"))?,
                    ));
                }
            }
        }
    }
    if score.beats_per_minute <= 0.0 || score.parts.is_empty() {
        bail!("a score needs beats-per-minute and a part");
    }
    Ok(score)
}

fn chord(name: &str) -> Result<Vec<u8>> {
    if name == "R" {
        return Ok(Vec::new());
    }
    name.split('+')
        .map(|name| pitch(name).with_context(|| format!("{name} is no note")))
        .collect()
}

fn pitch(name: &str) -> Option<u8> {
    let (letter, octave) = name.split_at_checked(name.len().checked_sub(1)?)?;
    let mut letters = letter.chars();
    let step = match letters.next()? {
        'C' => 0,
        'D' => 2,
        'E' => 4,
        'F' => 5,
        'G' => 7,
        'A' => 9,
        'B' => 11,
        _ => return None,
    };
    let shift = match letters.as_str() {
        "" => 0,
        "#" => 1,
        "b" => -1,
        _ => return None,
    };
    u8::try_from(12 * (octave.parse::<i32>().ok()? + 1) + step + shift).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        let cases = [
            ("C4", Some(60)),
            ("A4", Some(69)),
            ("Bb3", Some(58)),
            ("F#5", Some(78)),
            ("H4", None),
            ("C", None),
        ];
        for (name, expected) in cases {
            assert_eq!(pitch(name), expected, "{name}");
        }
    }

    #[test]
    fn the_parts_of_a_score_end_within_two_beats_of_each_other() {
        for (name, text) in SCORES {
            let score = parse(text).unwrap();
            let beats: Vec<f64> = score
                .parts
                .iter()
                .map(|part| part.iter().map(|(_, beats)| beats).sum())
                .collect();
            let spread = beats
                .iter()
                .fold(0.0, |most: f64, beats_| most.max((beats_ - beats[0]).abs()));
            assert!(spread <= 2.0, "{name}: {beats:?}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_score_is_named() {
        for (text, word) in [
            ("C4 1", "before the first part"),
            ("beats-per-minute 60\npart\nC4", "no length"),
            ("beats-per-minute 60\npart\nX4 1", "X4 is no note"),
            ("part", "needs beats"),
        ] {
            let Err(error) = parse(text) else {
                panic!("{text} was taken")
            };
            assert!(format!("{error:#}").contains(word), "{error:#}");
        }
    }
}
