//! The pieces that are played: scores typed in (`scores`), and exercises made by rule (`generated`), each for the
//! instruments that it suits. The same seed gives the same notes. It knows nothing of sound.

mod generated;
mod scores;

use anyhow::Result;
use music::Note;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::clip::{Group, Piece};

/// Programs of General MIDI, counted from 0.
mod program {
    pub(super) const PIANO: u8 = 0;
    pub(super) const ORGAN: u8 = 19;
    pub(super) const GUITAR: u8 = 24;
    pub(super) const BASS: u8 = 32;
    pub(super) const HARP: u8 = 46;
    pub(super) const STRINGS: u8 = 48;
    pub(super) const CLARINET: u8 = 71;
    pub(super) const FLUTE: u8 = 73;
}

/// All pieces, the quickest to explain first.
pub(crate) fn pieces(seed: u64) -> Result<Vec<Piece>> {
    use program::*;
    let mut pieces = Vec::new();
    let mut score = |file: &str, group, word: &str, programs: &[u8]| -> Result<()> {
        let name = format!("{}-{word}", file);
        let notes = played(scores::notes(file, programs)?, seed, &name);
        pieces.push(Piece {
            name,
            group,
            notes,
            drums: Vec::new(),
        });
        Ok(())
    };
    score("prelude-in-c", Group::Piano, "piano", &[PIANO])?;
    score("minuet-in-g", Group::Piano, "piano", &[PIANO])?;
    score("fuer-elise", Group::Piano, "piano", &[PIANO])?;
    score("prelude-in-c-minor", Group::Piano, "piano", &[PIANO])?;
    score("gymnopedie", Group::Piano, "piano", &[PIANO])?;
    score("prelude-in-c", Group::Plucked, "harp", &[HARP])?;
    score("greensleeves", Group::Plucked, "harp", &[HARP])?;
    score("minuet-in-g", Group::Plucked, "guitar", &[GUITAR])?;
    score("greensleeves", Group::Plucked, "guitar", &[GUITAR])?;
    score("ode-to-joy", Group::Sustained, "strings", &[STRINGS])?;
    score("canon", Group::Sustained, "organ", &[ORGAN])?;
    score("minuet-in-g", Group::Sustained, "winds", &[FLUTE, CLARINET])?;
    score(
        "gymnopedie",
        Group::Mix,
        "flute-and-piano",
        &[FLUTE, PIANO, PIANO],
    )?;
    score(
        "greensleeves",
        Group::Mix,
        "clarinet-and-guitar",
        &[CLARINET, GUITAR],
    )?;
    score(
        "ode-to-joy",
        Group::Mix,
        "quartet",
        &[FLUTE, CLARINET, STRINGS, BASS],
    )?;
    pieces.extend(generated::pieces(seed));
    Ok(pieces)
}

/// As hands play it: each note a little early or late, louder or softer, and let go before the next.
fn played(mut notes: Vec<Note>, seed: u64, name: &str) -> Vec<Note> {
    const LEGATO: f64 = 0.95;
    const LOOSE_SECONDS: f64 = 0.008;
    let mut random = random(seed, name);
    for note in &mut notes {
        let length = (note.offset - note.onset) * LEGATO;
        note.onset += random.random_range(-LOOSE_SECONDS..LOOSE_SECONDS);
        note.offset = note.onset + length;
        note.velocity = note
            .velocity
            .saturating_add_signed(random.random_range(-14..=14));
    }
    notes
}

/// A source of chance of its own for each piece, so that adding one does not change the others.
fn random(seed: u64, name: &str) -> StdRng {
    let hash = name
        .bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    StdRng::seed_from_u64(hash)
}

pub(crate) fn note(pitch: u8, onset: f64, offset: f64, velocity: u8, program: u8) -> Note {
    Note {
        onset,
        offset,
        pitch,
        velocity,
        program,
        is_drum: false,
        bends: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_notes() {
        let (one, two, other) = (pieces(1).unwrap(), pieces(1).unwrap(), pieces(2).unwrap());
        for (one, two) in one.iter().zip(&two) {
            assert_eq!(one.notes, two.notes, "{}", one.name);
        }
        assert!(
            one.iter()
                .zip(&other)
                .any(|(one, other)| one.notes != other.notes)
        );
    }

    #[test]
    fn names_are_unique_and_every_group_has_pieces() {
        let pieces = pieces(1).unwrap();
        let names: BTreeSet<&str> = pieces.iter().map(|piece| piece.name.as_str()).collect();
        assert_eq!(names.len(), pieces.len());
        for group in [Group::Piano, Group::Plucked, Group::Sustained, Group::Mix] {
            let count = pieces.iter().filter(|piece| piece.group == group).count();
            assert!(count >= 3, "{group:?}: {count}");
        }
    }

    #[test]
    fn every_note_can_be_played() {
        for piece in pieces(1).unwrap() {
            assert!(piece.notes.len() >= 20, "{}", piece.name);
            let end = piece
                .notes
                .iter()
                .map(|note| note.offset)
                .fold(0.0, f64::max);
            assert!((8.0..45.0).contains(&end), "{}: {end} s", piece.name);
            for note in &piece.notes {
                assert!(
                    note.onset >= 0.0 && note.offset > note.onset + 0.015,
                    "{}: {note:?}",
                    piece.name
                );
                assert!((21..=108).contains(&note.pitch), "{}: {note:?}", piece.name);
                assert!(
                    (1..=127).contains(&note.velocity),
                    "{}: {note:?}",
                    piece.name
                );
            }
        }
    }
}
