//! Notes JSON: the one result from which everything else is rendered. What is read is checked, because others may have written it.

use serde::{Deserialize, Serialize};

use crate::{Bends, Error, Note, Pedal};

/// The only schema so far.
const SCHEMA: u32 = 1;

/// All notes of a recording, and where they come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    pub schema: u32,
    /// An object: model, digest, options, versions.
    pub provenance: serde_json::Value,
    pub notes: Vec<Note>,
    pub pedals: Vec<Pedal>,
}

impl Transcript {
    /// Schema 1 with nothing in it but its provenance (an object).
    pub fn new(provenance: serde_json::Value) -> Self {
        Transcript {
            schema: SCHEMA,
            provenance,
            notes: Vec::new(),
            pedals: Vec::new(),
        }
    }

    pub fn to_json(&self) -> Result<String, Error> {
        self.check()?;
        Ok(serde_json::to_string(self)?)
    }

    pub fn from_json(json: &str) -> Result<Self, Error> {
        let transcript: Transcript = serde_json::from_str(json)?;
        transcript.check()?;
        Ok(transcript)
    }

    fn check(&self) -> Result<(), Error> {
        if self.schema != SCHEMA {
            return Err(Error::Invalid(format!(
                "its schema is {}, this program knows {SCHEMA}",
                self.schema
            )));
        }
        if !self.provenance.is_object() {
            return Err(Error::Invalid("provenance must be an object".to_owned()));
        }
        for (index, note) in self.notes.iter().enumerate() {
            check_note(note).map_err(|what| Error::Invalid(format!("notes[{index}]: {what}")))?;
        }
        for (index, pedal) in self.pedals.iter().enumerate() {
            check_times(pedal.onset, pedal.offset)
                .and_then(|()| seven_bits("value", pedal.value))
                .map_err(|what| Error::Invalid(format!("pedals[{index}]: {what}")))?;
        }
        Ok(())
    }
}

fn check_note(note: &Note) -> Result<(), String> {
    check_times(note.onset, note.offset)?;
    seven_bits("pitch", note.pitch)?;
    seven_bits("velocity", note.velocity)?;
    seven_bits("program", note.program)?;
    match &note.bends {
        Some(Bends { values, .. }) if values.is_empty() => {
            Err("bends without values; leave the field out".to_owned())
        }
        Some(Bends { unit_cents, .. }) if !(unit_cents.is_finite() && *unit_cents > 0.0) => Err(
            format!("bends.unit_cents is {unit_cents}, it must be above 0"),
        ),
        _ => Ok(()),
    }
}

fn check_times(onset: f64, offset: f64) -> Result<(), String> {
    if !onset.is_finite() || !offset.is_finite() {
        return Err(format!("onset {onset} and offset {offset} must be finite"));
    }
    if onset < 0.0 || offset < onset {
        return Err(format!(
            "onset {onset} must be 0 or later, and offset {offset} not before it"
        ));
    }
    Ok(())
}

fn seven_bits(name: &str, value: u8) -> Result<(), String> {
    if value > 127 {
        Err(format!("{name} is {value}, the most is 127"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::PedalKind;

    fn note() -> Note {
        Note {
            onset: 0.5,
            offset: 1.25,
            pitch: 60,
            velocity: 90,
            program: 4,
            is_drum: false,
            bends: None,
        }
    }

    /// What is rendered again from JSON must not differ from what was rendered at first.
    #[test]
    fn times_read_back_as_they_were_written() {
        for onset in [0.09287981859410431, 0.10448979591836735] {
            let mut transcript = Transcript::new(json!({}));
            transcript.notes = vec![Note { onset, ..note() }];
            let text = transcript.to_json().unwrap();
            assert_eq!(Transcript::from_json(&text).unwrap(), transcript);
        }
    }

    #[test]
    fn json_has_the_settled_shape() {
        let mut transcript = Transcript::new(json!({"model": "basic-pitch"}));
        transcript.notes = vec![
            note(),
            Note {
                bends: Some(Bends {
                    unit_cents: 33.333,
                    values: vec![-1, 0, 2],
                }),
                ..note()
            },
        ];
        transcript.pedals = vec![Pedal {
            kind: PedalKind::Sustain,
            onset: 0.0,
            offset: 2.0,
            value: 127,
        }];
        let text = transcript.to_json().unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"schema":1,"provenance":{"model":"basic-pitch"},"notes":["#,
                r#"{"onset":0.5,"offset":1.25,"pitch":60,"velocity":90,"program":4,"is_drum":false},"#,
                r#"{"onset":0.5,"offset":1.25,"pitch":60,"velocity":90,"program":4,"is_drum":false,"bends":{"unit_cents":33.333,"values":[-1,0,2]}}],"#,
                r#""pedals":[{"kind":"sustain","onset":0.0,"offset":2.0,"value":127}]}"#
            )
        );
        assert_eq!(Transcript::from_json(&text).unwrap(), transcript);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = json!({"schema": 1, "provenance": {}, "notes": [note()], "pedals": [{"kind": "soft", "onset": 0.0, "offset": 1.0, "value": 64}]});
        assert!(Transcript::from_json(&good.to_string()).is_ok());
        for (pointer, value, word) in [
            ("/schema", json!(2), "schema"),
            ("/provenance", json!([]), "provenance"),
            ("/notes/0/pitch", json!(128), "pitch is 128"),
            ("/notes/0/pitch", json!(-1), "invalid value"),
            ("/notes/0/velocity", json!(200), "notes[0]: velocity"),
            ("/notes/0/program", json!(128), "program"),
            ("/notes/0/onset", json!(-0.1), "onset"),
            ("/notes/0/offset", json!(0.4), "offset"),
            ("/notes/0/onset", json!(null), "invalid type"),
            ("/notes/0", json!({}), "missing field"),
            ("/pedals/0/kind", json!("hard"), "unknown variant"),
            ("/pedals/0/value", json!(129), "pedals[0]: value"),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            let message = Transcript::from_json(&bad.to_string())
                .unwrap_err()
                .to_string();
            assert!(message.contains(word), "{pointer}: {message}");
        }
        assert!(Transcript::from_json("{").is_err());
        assert!(Transcript::from_json(&good.to_string().replace("0.5", "1e999")).is_err());
    }

    #[test]
    fn numbers_that_are_not_finite_are_not_written() {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut transcript = Transcript::new(json!({}));
            transcript.notes = vec![Note {
                offset: bad,
                ..note()
            }];
            assert!(
                transcript
                    .to_json()
                    .unwrap_err()
                    .to_string()
                    .contains("finite")
            );
            transcript.notes = vec![Note {
                bends: Some(Bends {
                    unit_cents: bad,
                    values: vec![1],
                }),
                ..note()
            }];
            assert!(transcript.to_json().is_err());
        }
    }
}
