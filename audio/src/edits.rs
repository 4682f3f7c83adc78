//! The part of an MP4 file that says which decoded samples are the music: edit lists and iTunSMPB comments.
//!
//! An AAC encoder puts 1,024 to 2,112 samples of warm-up in front; the demuxer hands them out, which would shift every onset by up to 48 ms.

use std::io;

use crate::source::{Media, Patch};
use crate::tags::LARGE_BYTES;

/// Boxes looked at in all, so that a crafted file ends.
const MAX_BOXES: usize = 4_096;
/// Longer payloads of the boxes that matter here are not real.
const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

/// What one file says about its tracks.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Edits {
    movie_timescale: u64,
    tracks: Vec<TrackEdit>,
    smpb: Option<Smpb>,
    /// The samples of a cut file claim to go on behind its end; the demuxer would refuse them all.
    pub(crate) cut: Option<Patch>,
    /// Tags so large that the demuxer shall take them for free space: a cover, most likely.
    pub(crate) hidden: Vec<Patch>,
}

#[derive(Debug, Default, PartialEq)]
struct TrackEdit {
    id: u32,
    timescale: u64,
    /// The sample entry: mp4a, alac, ...
    kind: [u8; 4],
    /// Start in units of the track, length in units of the movie (0 = to the end).
    edit: Option<(u64, u64)>,
}

#[derive(Debug, PartialEq)]
struct Smpb {
    delay: u64,
    frames: u64,
}

/// Which of a track's decoded frames are the music.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    /// `None`: to the end.
    pub(crate) end: Option<u64>,
}

impl Edits {
    /// Reads box headers and a few small boxes; a file that is no MP4 has no edits.
    pub(crate) fn read(media: &mut Media) -> io::Result<Edits> {
        let mut walk = Walk {
            edits: Edits::default(),
            boxes_left: MAX_BOXES,
        };
        let len = media.len();
        walk.children(media, 0, len, 0)?;
        Ok(walk.edits)
    }

    /// The span of the track, in frames of `sample_rate`.
    pub(crate) fn span(&self, track_id: u32, sample_rate: u32) -> Span {
        let Some(track) = self.tracks.iter().find(|track| track.id == track_id) else {
            return Span::default();
        };
        let frames = |units: u64, timescale: u64| {
            (units.saturating_mul(u64::from(sample_rate))).div_ceil(timescale.max(1))
        };
        let (start, length) = track.edit.unwrap_or((0, 0));
        let start = frames(start, track.timescale);
        match &self.smpb {
            // Apple's own comment is exact to the sample, edit lists only to a unit of the movie.
            Some(smpb) if &track.kind == b"mp4a" && (start == 0 || start == smpb.delay) => Span {
                start: smpb.delay,
                end: (smpb.frames > 0).then(|| smpb.delay.saturating_add(smpb.frames)),
            },
            _ => Span {
                start,
                end: (length > 0)
                    .then(|| start.saturating_add(frames(length, self.movie_timescale))),
            },
        }
    }

    /// The sample entries of all tracks, for a message.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.tracks
            .iter()
            .map(|track| {
                track
                    .kind
                    .iter()
                    .map(|byte| char::from(*byte))
                    .filter(char::is_ascii_graphic)
                    .collect()
            })
            .collect()
    }
}

struct Walk {
    edits: Edits,
    boxes_left: usize,
}

impl Walk {
    fn children(
        &mut self,
        media: &mut Media,
        mut at: u64,
        end: u64,
        depth: usize,
    ) -> io::Result<()> {
        while at + 8 <= end && self.boxes_left > 0 {
            self.boxes_left -= 1;
            let head = media.read_at(at, 16)?;
            let Some((size, kind)) = head.get(..8).map(|head| (number(&head[..4]), &head[4..8]))
            else {
                break;
            };
            let (header_bytes, size) = match size {
                0 => (8, end - at),
                1 => (16, head.get(8..16).map_or(0, number)),
                size => (8, size),
            };
            if size < header_bytes || size > end - at {
                if depth == 0 && kind == b"mdat" && size > header_bytes {
                    self.edits.cut = cut(at, header_bytes, end - at);
                }
                break;
            }
            let (from, to) = (at + header_bytes, at + size);
            if matches!(kind, b"udta" | b"meta") && size > LARGE_BYTES {
                self.edits.hidden.push(Patch {
                    offset: at + 4,
                    bytes: b"free".to_vec(),
                });
            }
            match kind {
                b"moov" | b"edts" | b"mdia" | b"minf" | b"stbl" | b"udta" | b"ilst"
                    if depth < 8 =>
                {
                    self.children(media, from, to, depth + 1)?
                }
                b"trak" if depth < 8 => {
                    self.edits.tracks.push(TrackEdit::default());
                    self.children(media, from, to, depth + 1)?;
                }
                // Only in a file of Apple's kind is there a version in front of the children.
                b"meta" if depth < 8 => self.children(media, from + 4, to, depth + 1)?,
                b"mvhd" | b"tkhd" | b"mdhd" | b"elst" | b"stsd" | b"----" => {
                    let bytes = usize::try_from(to - from)
                        .unwrap_or(usize::MAX)
                        .min(MAX_PAYLOAD_BYTES);
                    let payload = media.read_at(from, bytes)?;
                    let kind = [kind[0], kind[1], kind[2], kind[3]];
                    self.leaf(kind, &payload);
                }
                _ => {}
            }
            if depth == 0 && kind == b"mdat" && !self.edits.tracks.is_empty() {
                break;
            }
            at = to;
        }
        Ok(())
    }

    /// A malformed box says nothing.
    fn leaf(&mut self, kind: [u8; 4], payload: &[u8]) -> Option<()> {
        let is_long = *payload.first()? == 1;
        if &kind == b"mvhd" {
            let at = if is_long { 20 } else { 12 };
            self.edits.movie_timescale = number(payload.get(at..at + 4)?);
        } else if &kind == b"----" {
            self.edits.smpb = smpb(payload).or(self.edits.smpb.take());
        } else {
            let track = self.edits.tracks.last_mut()?;
            let at = if is_long { 20 } else { 12 };
            match &kind {
                b"mdhd" => track.timescale = number(payload.get(at..at + 4)?),
                b"tkhd" => track.id = u32::try_from(number(payload.get(at..at + 4)?)).ok()?,
                b"stsd" => track.kind = payload.get(12..16)?.try_into().ok()?,
                _ => track.edit = edit(payload, is_long),
            }
        }
        Some(())
    }
}

/// The box as long as the file is.
fn cut(at: u64, header_bytes: u64, there: u64) -> Option<Patch> {
    if header_bytes == 16 {
        Some(Patch {
            offset: at + 8,
            bytes: there.to_be_bytes().to_vec(),
        })
    } else {
        u32::try_from(there).ok().map(|there| Patch {
            offset: at,
            bytes: there.to_be_bytes().to_vec(),
        })
    }
}

/// The first edit that is not empty; its length counts only where it is the only one.
fn edit(payload: &[u8], is_long: bool) -> Option<(u64, u64)> {
    let half = if is_long { 8 } else { 4 };
    let entry_bytes = 2 * half + 4;
    let mut edits = payload
        .get(8..)?
        .chunks_exact(entry_bytes)
        .take(usize::try_from(number(payload.get(4..8)?)).ok()?)
        .filter_map(|entry| {
            let start = number(&entry[half..2 * half]);
            let is_empty = start
                == if is_long {
                    u64::MAX
                } else {
                    u64::from(u32::MAX)
                };
            (!is_empty).then(|| (start, number(&entry[..half])))
        });
    let (start, length) = edits.next()?;
    // A start beyond all reason is a negative number.
    (start < 1 << 40).then_some((start, if edits.next().is_some() { 0 } else { length }))
}

/// ` 00000000 00000840 000001CA 00000000003F31F6 ...`: nothing, delay, padding, length.
fn smpb(payload: &[u8]) -> Option<Smpb> {
    payload.windows(8).find(|window| window == b"iTunSMPB")?;
    let data = payload.windows(4).position(|window| window == b"data")?;
    let text = std::str::from_utf8(payload.get(data + 12..)?).ok()?;
    let mut words = text
        .split_ascii_whitespace()
        .skip(1)
        .map(|word| u64::from_str_radix(word, 16).ok());
    let (delay, _padding, frames) = (words.next()??, words.next()??, words.next()??);
    (delay < 1 << 20 && frames < 1 << 40).then_some(Smpb { delay, frames })
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(edit: Option<(u64, u64)>) -> Edits {
        Edits {
            movie_timescale: 1000,
            tracks: vec![TrackEdit {
                id: 1,
                timescale: 44_100,
                kind: *b"mp4a",
                edit,
            }],
            ..Edits::default()
        }
    }

    #[test]
    fn an_edit_list_is_turned_into_frames() {
        assert_eq!(
            track(Some((1024, 300))).span(1, 44_100),
            Span {
                start: 1024,
                end: Some(1024 + 13_230)
            }
        );
        assert_eq!(
            track(Some((1024, 0))).span(1, 44_100),
            Span {
                start: 1024,
                end: None
            }
        );
        assert_eq!(
            track(Some((1024, 0))).span(1, 22_050),
            Span {
                start: 512,
                end: None
            }
        );
        assert_eq!(track(None).span(1, 44_100), Span::default());
        assert_eq!(track(Some((1024, 0))).span(2, 44_100), Span::default());
    }

    #[test]
    fn apples_comment_wins_where_the_list_is_missing_or_agrees() {
        let smpb = || {
            Some(Smpb {
                delay: 2112,
                frames: 5000,
            })
        };
        let with = |edit| Edits {
            smpb: smpb(),
            ..track(edit)
        };
        for edit in [None, Some((0, 200)), Some((2112, 113))] {
            assert_eq!(
                with(edit).span(1, 44_100),
                Span {
                    start: 2112,
                    end: Some(7112)
                }
            );
        }
        assert_eq!(
            with(Some((500, 0))).span(1, 44_100),
            Span {
                start: 500,
                end: None
            }
        );
    }

    #[test]
    fn edits_are_parsed() {
        let list = |entries: &[(u32, u32)]| {
            let mut bytes = vec![0, 0, 0, 0];
            bytes.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
            for (length, start) in entries {
                bytes.extend([length.to_be_bytes(), start.to_be_bytes(), [0, 1, 0, 0]].concat());
            }
            edit(&bytes, false)
        };
        assert_eq!(list(&[(300, 1024)]), Some((1024, 300)));
        assert_eq!(list(&[(50, u32::MAX), (300, 1024)]), Some((1024, 300)));
        assert_eq!(list(&[(300, 1024), (10, 9000)]), Some((1024, 0)));
        assert_eq!(list(&[]), None);
        assert_eq!(edit(&[0; 5], true), None);
    }

    #[test]
    fn the_comment_is_parsed() {
        let text = b"meanxxxxcom.apple.iTunes....name....iTunSMPB....data\0\0\0\x01\0\0\0\0 00000000 00000840 000001CA 00000000003F31F6 00000000";
        assert_eq!(
            smpb(text),
            Some(Smpb {
                delay: 2112,
                frames: 0x3f_31f6
            })
        );
        assert_eq!(
            smpb(b"name....iTunNORM....data\0\0\0\x01\0\0\0\0 00000840"),
            None
        );
        assert_eq!(smpb(b"iTunSMPB data"), None);
    }
}
