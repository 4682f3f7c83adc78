//! Joins what overlapping segments found to a song's events. A pedal is an event like a note, with a number of its own.

use super::attributes::{Candidates, Track};
use super::config::{FRAME_SECONDS, SAMPLE_RATE, SYMBOLS, Shape, symbol};
use super::semi_crf::path;

/// A key or a pedal held down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Seconds.
    pub start: f64,
    pub end: f64,
    /// As [`symbol`] numbers them.
    pub symbol: i32,
    pub velocity: u8,
    has_onset: bool,
    has_offset: bool,
}

/// A song's events so far.
pub struct Stitcher {
    shape: Shape,
    /// The next segment.
    index: usize,
    /// For each symbol, the frame of the next segment up to which the last one has decided.
    starts: [usize; SYMBOLS],
    events: Vec<Vec<Event>>,
}

impl Stitcher {
    pub fn new(shape: Shape) -> Self {
        Stitcher {
            shape,
            index: 0,
            starts: [shape.first_start(); SYMBOLS],
            events: vec![Vec::new(); SYMBOLS],
        }
    }

    /// Takes the next segment's.
    pub fn add(&mut self, candidates: &Candidates) {
        let begin = (self.index * self.shape.step()) as f64 / f64::from(SAMPLE_RATE)
            - self.shape.hop_seconds as f64;
        self.index += 1;
        for (at, track) in candidates.tracks.iter().enumerate() {
            let (events, decided) = found(&self.shape, at, track, self.starts[at]);
            self.starts[at] = decided.saturating_sub(self.shape.step_frames());
            for mut event in events {
                event.start = (event.start + begin).max(0.0);
                event.end = (event.end + begin).max(event.start);
                join(&mut self.events[at], event);
            }
        }
    }

    /// All events by start, end and symbol; those of one symbol do not overlap.
    pub fn finish(self) -> Vec<Event> {
        let mut all = Vec::new();
        for mut events in self.events {
            if let Some(last) = events.last_mut() {
                last.has_offset = true;
            }
            events.retain(|event| event.has_offset);
            sort(&mut events);
            for at in 1..events.len() {
                let next = events[at].start;
                events[at - 1].end = events[at - 1].end.min(next);
            }
            events.retain(|event| event.start < event.end);
            all.append(&mut events);
        }
        sort(&mut all);
        all
    }
}

fn sort(events: &mut [Event]) {
    events.sort_by(|a, b| {
        a.start
            .total_cmp(&b.start)
            .then(a.end.total_cmp(&b.end))
            .then(a.symbol.cmp(&b.symbol))
    });
}

/// The events of one symbol in a segment, at the segment's own time, and the frame up to which they are certain.
fn found(shape: &Shape, at: usize, track: &Track, start: usize) -> (Vec<Event>, usize) {
    let (mut events, mut decided, mut last_end) = (Vec::new(), 0, 0f64);
    for place in path(&track.intervals, shape.frames(), start) {
        let (begin, end) = track.intervals[place];
        let attributes = &track.attributes[place];
        let seconds = |frame: u16, which: usize| {
            (f64::from(frame) + f64::from(attributes.shifts[which])) * FRAME_SECONDS
        };
        let start = seconds(begin, 0).max(last_end);
        let has_offset = usize::from(end) < shape.last_frame() || attributes.present[1];
        let event = Event {
            start,
            end: seconds(end, 1).max(start + 1e-8),
            symbol: symbol(at),
            velocity: attributes.velocity,
            has_onset: begin > 0 || attributes.present[0],
            has_offset,
        };
        last_end = event.end;
        if has_offset {
            decided = usize::from(end);
        }
        events.push(event);
    }
    sort(&mut events);
    (events, decided)
}

/// Adds an event of the same symbol. Where two segments overlap the later one knows better, unless it only saw the end.
fn join(events: &mut Vec<Event>, event: Event) {
    match events.last_mut() {
        Some(last) if event.start < last.end => {
            if event.has_onset {
                *last = event;
            } else {
                last.has_offset = event.has_offset;
                last.end = last.end.max(event.end);
            }
        }
        _ if event.has_onset => events.push(event),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attributes;
    use super::*;

    const SHAPE: Shape = Shape::PUBLISHED;
    /// Frames from one segment's start to the next one's.
    const STEP: u16 = 345;

    fn candidates(intervals: &[(u16, u16)], present: [bool; 2]) -> Candidates {
        let mut tracks = vec![Track::default(); SYMBOLS];
        tracks[2] = Track {
            intervals: intervals.to_vec(),
            attributes: vec![
                Attributes {
                    velocity: 60,
                    shifts: [0.0, 0.0],
                    present,
                };
                intervals.len()
            ],
        };
        Candidates {
            tracks,
            silent: false,
        }
    }

    fn stitched(segments: &[Candidates]) -> Vec<(i64, i64)> {
        let mut stitcher = Stitcher::new(SHAPE);
        segments.iter().for_each(|segment| stitcher.add(segment));
        let events = stitcher.finish();
        assert!(events.iter().all(|event| event.symbol == 21));
        events
            .iter()
            .map(|event| {
                let frame = |seconds: f64| ((seconds + 8.0) / FRAME_SECONDS).round() as i64;
                (frame(event.start), frame(event.end))
            })
            .collect()
    }

    #[test]
    fn a_note_that_both_segments_see_is_one() {
        let first = candidates(&[(400, 420)], [false; 2]);
        let second = candidates(&[(400 - STEP, 420 - STEP), (300, 310)], [false; 2]);
        // The second begins at frame 420 - 345, behind the note that was decided.
        assert_eq!(stitched(&[first, second]), [(400, 420), (645, 655)]);
    }

    #[test]
    fn a_note_that_crosses_the_edge_is_joined() {
        let first = candidates(&[(600, 690)], [false; 2]);
        // Not ended in the first, so the second decides from its own start on.
        let begun_before = candidates(&[(0, 400)], [false; 2]);
        assert_eq!(
            stitched(&[first.clone(), begun_before]),
            [(600, 400 + i64::from(STEP))]
        );
        // Seen whole by the second: the second's is taken.
        let whole = candidates(&[(600 - STEP, 400)], [false; 2]);
        assert_eq!(
            stitched(&[first.clone(), whole]),
            [(600, 400 + i64::from(STEP))]
        );
        // Ended by presence alone: certain, and nothing that begins before counts any more.
        let ended = candidates(&[(600, 690)], [false, true]);
        let again = candidates(&[(600 - STEP, 400)], [false; 2]);
        assert_eq!(stitched(&[ended, again]), [(600, 690)]);
        // Never ended: the song's end ends it.
        assert_eq!(stitched(&[first]), [(600, 690)]);
    }

    #[test]
    fn what_began_before_anything_was_heard_is_dropped() {
        let empty = candidates(&[], [false; 2]);
        let tail = candidates(&[(0, 100)], [false; 2]);
        assert_eq!(stitched(&[empty.clone(), tail]), []);
        let begun = candidates(&[(0, 100)], [true, false]);
        assert_eq!(
            stitched(&[empty, begun]),
            [(i64::from(STEP), i64::from(STEP) + 100)]
        );
    }
}
