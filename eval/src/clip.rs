//! A clip: one piece, played with one soundfont, perhaps spoiled. It knows nothing of networks.

use music::Note;

/// What is played.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) name: String,
    pub(crate) group: Group,
    pub(crate) notes: Vec<Note>,
    /// Drums, which sound but are no notes to be found.
    pub(crate) drums: Vec<Note>,
}

/// The rows of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Group {
    Piano,
    Plucked,
    Sustained,
    Mix,
    Hard,
}

impl Group {
    pub(crate) const ALL: [Group; 5] = [
        Group::Piano,
        Group::Plucked,
        Group::Sustained,
        Group::Mix,
        Group::Hard,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Group::Piano => "piano",
            Group::Plucked => "harp and guitar",
            Group::Sustained => "strings, winds, organ",
            Group::Mix => "mixes",
            Group::Hard => "spoiled piano",
        }
    }
}

/// What is done to the recording after it was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoil {
    Nothing,
    /// White noise, this many dB below the recording.
    Noise {
        below_db: u32,
    },
    /// This many dB quieter.
    Quieter {
        by_db: u32,
    },
    /// Clipped at this share of the peak, in percent.
    Clipped {
        at_percent: u32,
    },
}

impl Spoil {
    pub(crate) fn word(self) -> String {
        match self {
            Spoil::Nothing => String::new(),
            Spoil::Noise { below_db } => format!("-noise{below_db}db"),
            Spoil::Quieter { by_db } => format!("-quieter{by_db}db"),
            Spoil::Clipped { at_percent } => format!("-clipped{at_percent}"),
        }
    }
}

/// What can be heard of a piece. Two notes of one pitch that begin together are one, the longer; and a key that is struck
/// again ends what it played before. No pedal is used, so a note ends when its key is let go.
pub(crate) fn audible(notes: &[Note]) -> Vec<Note> {
    const TOGETHER_SECONDS: f64 = 0.05;
    let mut sorted = notes.to_vec();
    sorted.sort_by(|a, b| a.pitch.cmp(&b.pitch).then(a.onset.total_cmp(&b.onset)));
    let mut heard: Vec<Note> = Vec::with_capacity(sorted.len());
    for note in sorted {
        match heard.last_mut() {
            Some(last)
                if last.pitch == note.pitch && note.onset - last.onset <= TOGETHER_SECONDS =>
            {
                last.offset = last.offset.max(note.offset);
                last.velocity = last.velocity.max(note.velocity);
            }
            Some(last) if last.pitch == note.pitch && last.offset > note.onset => {
                last.offset = note.onset;
                heard.push(note);
            }
            _ => heard.push(note),
        }
    }
    heard.sort_by(|a, b| a.onset.total_cmp(&b.onset).then(a.pitch.cmp(&b.pitch)));
    heard
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::note;

    #[test]
    fn a_unison_is_one_note_and_a_second_stroke_ends_the_first() {
        let played = [
            note(60, 0.0, 1.0, 80, 0),
            note(60, 0.01, 2.0, 90, 40),
            note(64, 0.0, 1.0, 80, 0),
            note(64, 0.5, 1.5, 80, 0),
        ];
        let heard = audible(&played);
        let times: Vec<(u8, f64, f64)> = heard
            .iter()
            .map(|note| (note.pitch, note.onset, note.offset))
            .collect();
        assert_eq!(times, [(60, 0.0, 2.0), (64, 0.0, 0.5), (64, 0.5, 1.5)]);
        assert_eq!(heard[0].velocity, 90);
    }
}
