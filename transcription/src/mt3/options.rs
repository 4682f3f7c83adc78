//! Options of a song, all off by default and under parity.

use serde_json::{Map, Value};

use super::config::Profile;
use super::instruments::Instruments;
use crate::Error;

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Options {
    /// That of the weights; no option of a song.
    pub profile: Profile,
    /// What may be heard; everything where none are given.
    pub instruments: Option<Instruments>,
    /// One program for each family of instruments, the one that is heard most.
    pub stable_programs: bool,
    /// Milliseconds; drums are always kept.
    pub minimum_note_length: f64,
    /// Beats a minute in the MIDI header; moves no note.
    pub midi_tempo: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            profile: Profile::default(),
            instruments: None,
            stable_programs: false,
            minimum_note_length: 0.0,
            midi_tempo: 120.0,
        }
    }
}

impl Options {
    /// Reads options as users write them; an unknown name or a value out of range is refused by name.
    pub fn parse(options: &Map<String, Value>) -> Result<Self, Error> {
        let mut parsed = Options::default();
        let refused = |option: &str, reason: String| Error::Options {
            model: super::NAME.into(),
            option: option.into(),
            reason,
        };
        let number = |name: &str, value: &Value, low: f64, high: f64| {
            value
                .as_f64()
                .filter(|number| (low..=high).contains(number))
                .ok_or_else(|| {
                    refused(
                        name,
                        format!("{value} is not a number from {low} to {high}"),
                    )
                })
        };
        for (name, value) in options {
            match name.as_str() {
                "instruments" => {
                    let instruments =
                        Instruments::parse(value).map_err(|reason| refused(name, reason))?;
                    parsed.instruments = Some(instruments);
                }
                "stable_programs" => {
                    parsed.stable_programs = value
                        .as_bool()
                        .ok_or_else(|| refused(name, format!("{value} is not true or false")))?;
                }
                "minimum_note_length" => {
                    parsed.minimum_note_length = number(name, value, 0.0, 10_000.0)?;
                }
                "midi_tempo" => parsed.midi_tempo = number(name, value, 4.0, 1000.0)?,
                _ => return Err(refused(name, "this model has no such option".into())),
            }
        }
        Ok(parsed)
    }

    /// Token by token; `None`: all.
    pub(super) fn allowed_tokens(&self, vocabulary: usize) -> Option<Vec<bool>> {
        self.instruments
            .as_ref()
            .map(|instruments| instruments.allowed_tokens(vocabulary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wrong_options_are_refused_by_name() {
        let parse = |options: Value| Options::parse(options.as_object().unwrap());
        assert_eq!(parse(json!({})).unwrap(), Options::default());
        let parsed = parse(json!({"instruments": "bass,drums", "stable_programs": true})).unwrap();
        assert!(parsed.stable_programs && parsed.instruments.is_some());
        for (given, name) in [
            (json!({"instruments": "kazoo"}), "instruments"),
            (json!({"stable_programs": 1}), "stable_programs"),
            (json!({"stable_programs": "true"}), "stable_programs"),
            (json!({"minimum_note_length": -1}), "minimum_note_length"),
            (json!({"onset_threshold": 0.5}), "onset_threshold"),
        ] {
            let error = parse(given).unwrap_err();
            assert!(
                matches!(&error, Error::Options { option, .. } if option == name),
                "{error}"
            );
        }
    }
}
