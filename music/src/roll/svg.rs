//! A piano roll as one self-contained SVG: keys at the left, a lane per pitch, a time axis, a title. No script, no font, nothing from elsewhere.

use std::fmt::Write;

use super::{Extent, axis, extent, is_black, name};
use crate::Note;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 36.0;
const LANE: f64 = 9.0;
/// One colour per program, apart in hue and in lightness.
const COLOURS: [&str; 8] = [
    "#2563eb", "#c2410c", "#15803d", "#9333ea", "#0e7490", "#be123c", "#a16207", "#475569",
];

/// The picture of a result.
pub fn svg(notes: &[Note], title: &str) -> String {
    let extent = extent(notes, 13).unwrap_or(Extent {
        lowest: 60,
        highest: 72,
        seconds: 1.0,
    });
    let lanes = f64::from(extent.highest - extent.lowest) + 1.0;
    let height = TOP + lanes * LANE + BOTTOM;
    let title = escaped(title);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"t d\" font-family=\"system-ui,sans-serif\" font-size=\"11\">\n\
         <title id=\"t\">{title}</title>\n<desc id=\"d\">{}</desc>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"27\" font-size=\"16\" font-weight=\"600\" fill=\"#0f172a\">{title}</text>\n",
        description(notes, &extent)
    );
    keys(&mut out, &extent);
    time(&mut out, &extent, height);
    bars(&mut out, notes, &extent);
    out.push_str("</svg>\n");
    out
}

fn description(notes: &[Note], extent: &Extent) -> String {
    match (
        notes.iter().map(|note| note.pitch).min(),
        notes.iter().map(|note| note.pitch).max(),
    ) {
        (Some(lowest), Some(highest)) => format!(
            "{} notes in {} s, {} to {}",
            notes.len(),
            (extent.seconds * 10.0).round() / 10.0,
            name(lowest),
            name(highest)
        ),
        _ => "no notes".to_owned(),
    }
}

/// The upper edge of a pitch's lane.
fn lane(extent: &Extent, pitch: u8) -> f64 {
    TOP + f64::from(extent.highest - pitch) * LANE
}

/// Lanes, darker under black keys; the keys themselves; a name at each C.
fn keys(out: &mut String, extent: &Extent) {
    let roll = WIDTH - LEFT - RIGHT;
    for pitch in extent.lowest..=extent.highest {
        let y = lane(extent, pitch);
        let (lane_fill, key_fill, key_width) = if is_black(pitch) {
            ("#eef1f6", "#1e293b", 14.0)
        } else {
            ("#f8fafc", "#ffffff", 22.0)
        };
        // A String takes every character.
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{roll}\" height=\"{LANE}\" fill=\"{lane_fill}\"/>"
        );
        let _ = writeln!(
            out,
            "<rect x=\"{}\" y=\"{y}\" width=\"{key_width}\" height=\"{LANE}\" fill=\"{key_fill}\" stroke=\"#94a3b8\" stroke-width=\"0.5\"/>",
            LEFT - 22.0
        );
        if pitch % 12 == 0 {
            let bottom = y + LANE;
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{bottom}\" y2=\"{bottom}\" stroke=\"#cbd5e1\"/>",
                WIDTH - RIGHT
            );
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#475569\">{}</text>",
                LEFT - 27.0,
                y + LANE - 0.5,
                name(pitch)
            );
        }
    }
}

fn time(out: &mut String, extent: &Extent, height: f64) {
    let bottom = height - BOTTOM;
    for mark in axis::marks(extent.seconds, 12) {
        let x = at(extent, mark);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#e2e8f0\"/>",
            bottom + 4.0
        );
        let unit = if mark == 0.0 { " s" } else { "" };
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#475569\">{}{unit}</text>",
            bottom + 18.0,
            axis::label(mark)
        );
    }
}

fn bars(out: &mut String, notes: &[Note], extent: &Extent) {
    let mut programs: Vec<(bool, u8)> = notes
        .iter()
        .map(|note| (note.is_drum, note.program))
        .collect();
    programs.sort_unstable();
    programs.dedup();
    for note in notes
        .iter()
        .filter(|note| note.onset.is_finite() && note.offset.is_finite() && note.pitch <= 127)
    {
        let index = programs
            .binary_search(&(note.is_drum, note.program))
            .unwrap_or(0);
        let x = at(extent, note.onset);
        let width = (at(extent, note.offset) - x - 0.5).max(1.5);
        let opacity = 0.35 + 0.65 * f64::from(note.velocity.min(127)) / 127.0;
        let _ = writeln!(
            out,
            "<rect x=\"{x:.2}\" y=\"{}\" width=\"{width:.2}\" height=\"{}\" rx=\"1.5\" fill=\"{}\" fill-opacity=\"{opacity:.2}\"/>",
            lane(extent, note.pitch) + 0.5,
            LANE - 1.0,
            COLOURS[index % COLOURS.len()]
        );
    }
}

fn at(extent: &Extent, seconds: f64) -> f64 {
    LEFT + (seconds / extent.seconds).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
}

/// Titles are file names of strangers. Control characters are no XML.
fn escaped(text: &str) -> String {
    text.chars()
        .filter(|character| {
            !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}')
        })
        .take(200)
        .fold(String::new(), |mut out, character| {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                other => out.push(other),
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(onset: f64, pitch: u8, program: u8) -> Note {
        Note {
            onset,
            offset: onset + 0.5,
            pitch,
            velocity: 100,
            program,
            is_drum: false,
            bends: None,
        }
    }

    #[test]
    fn a_bar_per_note_and_a_title_that_cannot_break_out() {
        let notes = [note(0.0, 60, 4), note(0.5, 64, 4), note(1.0, 67, 33)];
        let picture = svg(&notes, "a<script>\"&'\u{0}.flac");
        assert_eq!(picture.matches("fill-opacity").count(), 3);
        assert!(picture.contains("a&lt;script&gt;&quot;&amp;&#39;.flac"));
        assert!(!picture.contains("<script"));
        assert!(picture.contains("3 notes in 1.5 s, C4 to G4"));
        assert!(
            picture.contains(COLOURS[0])
                && picture.contains(COLOURS[1])
                && !picture.contains(COLOURS[2])
        );
        assert!(svg(&[], "nothing").contains("no notes"));
    }
}
