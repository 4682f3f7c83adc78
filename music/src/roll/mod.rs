//! Piano rolls: one of characters for the terminal, one as SVG for pages and documents.

mod axis;
mod svg;
mod terminal;

pub use svg::svg;
pub use terminal::terminal;

use crate::Note;

/// The lowest and highest pitch that is drawn, and the end of the last note in seconds.
struct Extent {
    lowest: u8,
    highest: u8,
    seconds: f64,
}

/// Few notes get some room around them. `None`: nothing to draw.
fn extent(notes: &[Note], at_least: u8) -> Option<Extent> {
    let lowest = notes.iter().map(|note| note.pitch.min(127)).min()?;
    let highest = notes.iter().map(|note| note.pitch.min(127)).max()?;
    let seconds = notes
        .iter()
        .map(|note| note.offset)
        .filter(|end| end.is_finite())
        .fold(0.0, f64::max);
    let missing = at_least.saturating_sub(highest - lowest + 1);
    let lowest = lowest.saturating_sub(missing / 2);
    let highest = highest.max(lowest.saturating_add(at_least - 1)).min(127);
    Some(Extent {
        lowest,
        highest,
        seconds: seconds.max(0.001),
    })
}

fn is_black(pitch: u8) -> bool {
    matches!(pitch % 12, 1 | 3 | 6 | 8 | 10)
}

/// C4 is the middle C, 60.
fn name(pitch: u8) -> String {
    const NAMES: [&str; 12] = [
        "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B",
    ];
    format!(
        "{}{}",
        NAMES[usize::from(pitch % 12)],
        i32::from(pitch / 12) - 1
    )
}
