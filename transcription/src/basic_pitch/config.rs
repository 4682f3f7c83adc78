//! The network's constants and the options of its note decoding. Constants: `basic_pitch/constants.py` of 0.4.0.

use serde_json::{Map, Value};

use crate::Error;

/// Hz.
pub const SAMPLE_RATE: u32 = 22_050;
/// Samples from one frame to the next.
pub const HOP: usize = 256;
/// Samples of one window: `2 * SAMPLE_RATE - HOP`.
pub const WINDOW: usize = 43_844;
/// Frames that the network gives for one window.
pub const FRAMES: usize = 172;
/// Frames that two neighbouring windows share; half of them is cut from each end of each.
pub const OVERLAP: usize = 30;
/// Samples from one window to the next.
pub const WINDOW_HOP: usize = WINDOW - OVERLAP * HOP;
/// Zeros before the first sample.
pub const LEAD: usize = OVERLAP / 2 * HOP;
/// Frames of a window that are kept.
pub const KEPT: usize = FRAMES - OVERLAP;
/// How far each harmonic lies from the fundamental, in bins: 0.5, 1, 2, ... 7 times its frequency.
pub(super) const HARMONIC_SHIFTS: [isize; 8] = [-36, 0, 36, 57, 72, 84, 93, 101];
/// Below this range of dB a window is silent: what is left is rounding, which the division would blow up to full scale.
pub(super) const SILENT_SPREAD_DB: f32 = 1e-4;
/// Semitones from A0.
pub const PITCHES: usize = 88;
/// Bins of the contour map: three a semitone.
pub const CONTOURS: usize = 264;
/// A0.
pub const LOWEST_PITCH: usize = 21;
/// The package's integer frame rate, by which it cuts the tail (parity mode).
pub const PACKAGE_FRAMES_PER_SECOND: f64 = 86.0;

/// Note decoding, as the package's defaults have it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Options {
    /// Least onset activation, 0 to 1.
    pub onset_threshold: f64,
    /// Least frame activation that keeps a note on, 0 to 1.
    pub frame_threshold: f64,
    /// Milliseconds; shorter notes are dropped.
    pub minimum_note_length: f64,
    /// Hz.
    pub minimum_frequency: Option<f64>,
    /// Hz.
    pub maximum_frequency: Option<f64>,
    /// Look for notes without an onset in what the onsets left over.
    pub melodia: bool,
    /// Add onsets where frames rise steeply.
    pub inferred_onsets: bool,
    /// Keep bends of notes that overlap, one MIDI track a pitch.
    pub multiple_pitch_bends: bool,
    /// Beats a minute in the MIDI header; moves no note.
    pub midi_tempo: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            onset_threshold: 0.5,
            frame_threshold: 0.3,
            minimum_note_length: 127.70,
            minimum_frequency: None,
            maximum_frequency: None,
            melodia: true,
            inferred_onsets: true,
            multiple_pitch_bends: false,
            midi_tempo: 120.0,
        }
    }
}

impl Options {
    /// Reads options as users write them; an unknown name or a value out of range is refused by name.
    pub fn parse(options: &Map<String, Value>) -> Result<Self, Error> {
        let mut parsed = Options::default();
        for (name, value) in options {
            match name.as_str() {
                "onset_threshold" => parsed.onset_threshold = number(name, value, 0.0, 1.0)?,
                "frame_threshold" => parsed.frame_threshold = number(name, value, 0.0, 1.0)?,
                "minimum_note_length" => {
                    parsed.minimum_note_length = number(name, value, 0.0, 10_000.0)?
                }
                "minimum_frequency" => parsed.minimum_frequency = optional_hertz(name, value)?,
                "maximum_frequency" => parsed.maximum_frequency = optional_hertz(name, value)?,
                "melodia" => parsed.melodia = truth(name, value)?,
                "inferred_onsets" => parsed.inferred_onsets = truth(name, value)?,
                "multiple_pitch_bends" => parsed.multiple_pitch_bends = truth(name, value)?,
                "midi_tempo" => parsed.midi_tempo = number(name, value, 4.0, 1000.0)?,
                _ => return Err(refused(name, "this model has no such option".into())),
            }
        }
        if let (Some(low), Some(high)) = (parsed.minimum_frequency, parsed.maximum_frequency)
            && low >= high
        {
            return Err(refused(
                "minimum_frequency",
                format!("{low} Hz is not below maximum_frequency, {high} Hz"),
            ));
        }
        Ok(parsed)
    }

    /// Frames below which a note is dropped (`inference.py`, `predict`); half rounds to even as numpy does.
    pub fn minimum_frames(&self) -> usize {
        let frames = self.minimum_note_length / 1000.0 * (f64::from(SAMPLE_RATE) / HOP as f64);
        frames.round_ties_even().max(0.0) as usize
    }
}

fn refused(option: &str, reason: String) -> Error {
    Error::Options {
        model: super::NAME.into(),
        option: option.into(),
        reason,
    }
}

fn number(name: &str, value: &Value, low: f64, high: f64) -> Result<f64, Error> {
    match value.as_f64() {
        Some(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(refused(
            name,
            format!("{value} is not a number from {low} to {high}"),
        )),
    }
}

fn optional_hertz(name: &str, value: &Value) -> Result<Option<f64>, Error> {
    if value.is_null() {
        Ok(None)
    } else {
        number(name, value, 1.0, 20_000.0).map(Some)
    }
}

fn truth(name: &str, value: &Value) -> Result<bool, Error> {
    value
        .as_bool()
        .ok_or_else(|| refused(name, format!("{value} is neither true nor false")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<Options, Error> {
        Options::parse(value.as_object().unwrap())
    }

    #[test]
    fn the_defaults_are_the_packages() {
        let options = parse(json!({})).unwrap();
        assert_eq!(options, Options::default());
        assert_eq!(options.minimum_frames(), 11);
    }

    #[test]
    fn wrong_options_are_refused_by_name() {
        for (given, name) in [
            (json!({"onset_threshold": 1.5}), "onset_threshold"),
            (json!({"frame_threshold": "0.3"}), "frame_threshold"),
            (json!({"minimum_note_length": -1}), "minimum_note_length"),
            (json!({"maximum_frequency": 0}), "maximum_frequency"),
            (
                json!({"minimum_frequency": 500, "maximum_frequency": 100}),
                "minimum_frequency",
            ),
            (json!({"melodia": 1}), "melodia"),
            (json!({"loudness": 1}), "loudness"),
        ] {
            let error = parse(given).unwrap_err();
            assert!(
                matches!(&error, Error::Options { option, .. } if option == name),
                "{error}"
            );
            assert_eq!(error.code(), "options_invalid");
        }
    }
}
