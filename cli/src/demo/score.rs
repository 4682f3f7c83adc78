//! The piece that the demo plays: the first eight bars of the Minuet in G from Anna Magdalena Bach's notebook (Christian
//! Petzold, BWV Anh. 114, in the public domain), typed in as notes. It must not know how they will sound.

use music::Note;

/// A quarter note: 128 to the minute.
const BEAT_SECONDS: f64 = 60.0 / 128.0;
/// A little silence before the first note, as in any recording.
const LEAD_SECONDS: f64 = 0.25;
/// Fingers leave a key a little before the next note.
const LEGATO: f64 = 0.94;

/// Each note as its name and its length in quarters; `+` joins the notes of a chord.
const RIGHT_HAND: &str = "
    D5 1  G4 .5 A4 .5 B4 .5 C5 .5     D5 1 G4 1 G4 1
    E5 1  C5 .5 D5 .5 E5 .5 F#5 .5    G5 1 G4 1 G4 1
    C5 1  D5 .5 C5 .5 B4 .5 A4 .5     B4 1  C5 .5 B4 .5 A4 .5 G4 .5
    F#4 1 G4 .5 A4 .5 B4 .5 G4 .5     A4 3";
const LEFT_HAND: &str = "
    G3+D4 2 A3 1     B3 3
    C4 3             B3 3
    A3 3             G3 3
    D4 1 B3 1 G3 1   D4 1  D3 .5 C4 .5 B3 .5 A3 .5";

/// All notes in the order in which they begin.
pub(crate) fn notes() -> Vec<Note> {
    let mut notes = hand(RIGHT_HAND, 88);
    notes.extend(hand(LEFT_HAND, 76));
    notes.sort_by(|a, b| a.onset.total_cmp(&b.onset).then(a.pitch.cmp(&b.pitch)));
    notes
}

fn hand(text: &str, velocity: u8) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut beat = 0.0;
    let mut words = text.split_whitespace();
    while let (Some(chord), Some(length)) = (words.next(), words.next()) {
        let beats: f64 = length.parse().unwrap_or(1.0);
        let onset = LEAD_SECONDS + beat * BEAT_SECONDS;
        for pitch in chord.split('+').filter_map(pitch) {
            let offset = onset + beats * BEAT_SECONDS * LEGATO;
            notes.push(Note {
                onset,
                offset,
                pitch,
                velocity,
                program: 0,
                is_drum: false,
                bends: None,
            });
        }
        beat += beats;
    }
    notes
}

/// `C4` is 60, the middle C.
fn pitch(name: &str) -> Option<u8> {
    let (letter, octave) = name.split_at_checked(name.len().checked_sub(1)?)?;
    let step = match letter {
        "C" => 0,
        "D" => 2,
        "E" => 4,
        "F" => 5,
        "F#" => 6,
        "G" => 7,
        "A" => 9,
        "B" => 11,
        _ => return None,
    };
    Some(12 * (octave.parse::<u8>().ok()? + 1) + step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hands_play_eight_bars_of_three_quarters() {
        for text in [RIGHT_HAND, LEFT_HAND] {
            let words: Vec<&str> = text.split_whitespace().collect();
            let beats: f64 = words
                .iter()
                .skip(1)
                .step_by(2)
                .map(|length| length.parse::<f64>().unwrap())
                .sum();
            assert_eq!(beats, 24.0);
            assert!(
                words
                    .iter()
                    .step_by(2)
                    .all(|chord| chord.split('+').all(|name| pitch(name).is_some()))
            );
        }
        assert_eq!(notes().len(), 48);
    }

    #[test]
    fn names_are_midi_numbers() {
        assert_eq!(pitch("C4"), Some(60));
        assert_eq!(pitch("F#5"), Some(78));
        assert_eq!(pitch("H4"), None);
    }
}
