//! Instruments as users name them, what of the vocabulary they allow, and programs kept steady over a song.

use std::collections::BTreeSet;

use serde_json::Value;

use super::events::{drum_tokens, program_token};
use super::notes::NoteEvent;

/// General MIDI's families, eight programs each.
const FAMILIES: [&str; 16] = [
    "piano",
    "chromatic-percussion",
    "organ",
    "guitar",
    "bass",
    "strings",
    "ensemble",
    "brass",
    "reed",
    "pipe",
    "lead",
    "pad",
    "effects",
    "ethnic",
    "percussive",
    "sound-effects",
];
const DRUMS: &str = "drums";

/// A set of programs, and whether drums are among what may be heard.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Instruments {
    programs: BTreeSet<u8>,
    drums: bool,
}

impl Instruments {
    /// A list, or a text with commas: programs from 0, ranges of them, families, `drums`.
    pub fn parse(value: &Value) -> Result<Self, String> {
        let words: Vec<String> = match value {
            Value::String(text) => text.split(',').map(|word| word.trim().to_owned()).collect(),
            Value::Number(_) => vec![value.to_string()],
            Value::Array(items) => items
                .iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text.trim().to_owned()),
                    Value::Number(number) => Ok(number.to_string()),
                    _ => Err(format!("{item} is no instrument")),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(format!("{value} is no list of instruments")),
        };
        let mut instruments = Instruments {
            programs: BTreeSet::new(),
            drums: false,
        };
        for word in &words {
            instruments.add(word)?;
        }
        Ok(instruments)
    }

    fn add(&mut self, word: &str) -> Result<(), String> {
        if word == DRUMS {
            self.drums = true;
            return Ok(());
        }
        if let Some(family) = FAMILIES.iter().position(|family| *family == word) {
            let first = family as u8 * 8;
            self.programs.extend(first..first + 8);
            return Ok(());
        }
        let wrong = || {
            format!(
                "`{word}` is no instrument: write programs from 0 to 127, ranges such as 24-31, `{DRUMS}`, or {}",
                FAMILIES.join(", ")
            )
        };
        let program = |text: &str| {
            text.parse::<u8>()
                .ok()
                .filter(|program| *program < 128)
                .ok_or_else(wrong)
        };
        let (first, last) = match word.split_once('-') {
            Some((first, last)) => (program(first)?, program(last)?),
            None => (program(word)?, program(word)?),
        };
        if first > last {
            return Err(wrong());
        }
        self.programs.extend(first..=last);
        Ok(())
    }

    /// Everything but the programs and drums that are not among them.
    pub(super) fn allowed_tokens(&self, vocabulary: usize) -> Vec<bool> {
        let mut allowed = vec![true; vocabulary];
        let mut forbid = |token: usize| {
            if let Some(token) = allowed.get_mut(token) {
                *token = false;
            }
        };
        (0..128)
            .filter(|program| !self.programs.contains(program))
            .for_each(|program| forbid(program_token(program)));
        if !self.drums {
            drum_tokens().for_each(forbid);
        }
        allowed
    }
}

/// Segments know nothing of each other, so that one instrument may change its program every two seconds. Each family's notes get the
/// program of it that sounds longest over the song; of equals, the lower one.
pub fn steady(notes: &mut [NoteEvent]) {
    let mut seconds = [0f64; 128];
    for note in notes.iter().filter(|note| !note.is_drum) {
        seconds[usize::from(note.program & 127)] += note.end - note.start;
    }
    let mut chosen = [0u8; 16];
    for (family, chosen) in chosen.iter_mut().enumerate() {
        let programs = family * 8..family * 8 + 8;
        let longest = programs.fold(family * 8, |best, program| {
            if seconds[program] > seconds[best] {
                program
            } else {
                best
            }
        });
        *chosen = longest as u8;
    }
    for note in notes.iter_mut().filter(|note| !note.is_drum) {
        note.program = chosen[usize::from(note.program & 127) / 8];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn note(program: u8, seconds: f64, is_drum: bool) -> NoteEvent {
        NoteEvent {
            pitch: 60,
            start: 1.0,
            end: 1.0 + seconds,
            velocity: 127,
            program,
            is_drum,
        }
    }

    #[test]
    fn instruments_are_named_in_many_ways() {
        let programs = |value: Value| Instruments::parse(&value).unwrap();
        assert_eq!(
            programs(json!("0, 24-26,drums")),
            programs(json!([0, 24, "25", "26", "drums"]))
        );
        assert_eq!(programs(json!("guitar")), programs(json!("24-31")));
        assert_eq!(programs(json!(5)), programs(json!("5")));
        for wrong in [
            json!("128"),
            json!("9-3"),
            json!("-4"),
            json!(""),
            json!("Drums"),
            json!([true]),
            json!({}),
            json!(1.5),
        ] {
            assert!(Instruments::parse(&wrong).is_err(), "{wrong}");
        }
        let allowed = programs(json!("bass")).allowed_tokens(1_536);
        assert!(allowed[program_token(32)] && !allowed[program_token(31)] && !allowed[1_300]);
        assert!(allowed[..1_135].iter().all(|allowed| *allowed));
        assert!(programs(json!("drums")).allowed_tokens(1_536)[1_300]);
        // A vocabulary that is shorter.
        assert_eq!(programs(json!("drums")).allowed_tokens(9), [true; 9]);
    }

    #[test]
    fn families_keep_the_program_that_sounds_longest() {
        let mut notes = vec![
            note(0, 1.0, false),
            note(2, 0.6, false),
            note(2, 0.6, false),
            note(33, 0.1, false),
            note(0, 9.0, true),
        ];
        steady(&mut notes);
        let programs: Vec<u8> = notes.iter().map(|note| note.program).collect();
        assert_eq!(programs, [2, 2, 2, 33, 0]);
    }
}
