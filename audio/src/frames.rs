//! Files that are nothing but a row of frames (MP3, MP2, ADTS): whether they really are, and how long they are if that can be known without decoding.

use std::io;

use crate::source::Media;

/// How far into a file the first frame may begin (tags in front are hidden already).
const SEARCH_BYTES: usize = 1024 * 1024;
/// So many frames must follow each other; text and pictures hold single false ones.
const CHAIN: usize = 3;
/// Files up to this size are walked frame by frame.
const WALK_BYTES: usize = 256 * 1024;
/// Places in a longer file of constant bit rate where a frame must be found exactly.
const CHECKS: u64 = 8;

/// What a row of frames says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Frames {
    /// Decoded samples per channel, the warm-up included; `None` where only decoding can tell.
    pub(crate) samples: Option<u64>,
    /// A Xing or VBRI header names the length, so that the encoder's delay and padding can be placed.
    pub(crate) has_header: bool,
}

/// One frame header.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Frame {
    bytes: u64,
    samples: u64,
    /// Version, layer and sample rate: the same for all frames of a file.
    family: u32,
    /// The mean length in bytes at this bit rate; `None` for ADTS, which has none.
    mean_bytes: Option<f64>,
    /// Where a Xing header would stand.
    xing_at: usize,
}

/// Looks for a row of frames; `None` if the file is something else.
pub(crate) fn read(media: &mut Media) -> io::Result<Option<Frames>> {
    let window = media.read_at(0, SEARCH_BYTES + WALK_BYTES)?;
    let Some(first) =
        (0..window.len().min(SEARCH_BYTES)).find(|at| is_chain(&window, *at, media.len()))
    else {
        return Ok(None);
    };
    let Some(frame) = header(&window[first..]) else {
        return Ok(None);
    };
    let first_bytes = &window[first
        ..window
            .len()
            .min(first + usize::try_from(frame.bytes).unwrap_or(0))];
    let end = audio_end(media)?;
    if let Some(count) = named_count(first_bytes, frame) {
        return Ok(Some(Frames {
            samples: named_length(count, first_bytes, frame, end - first as u64),
            has_header: true,
        }));
    }
    let begin = first as u64;
    let samples = if end.saturating_sub(begin) <= WALK_BYTES as u64 {
        walk(&window[first..], end - begin, frame)
    } else {
        constant_rate(media, begin, end, frame)?
    };
    Ok(Some(Frames {
        samples,
        has_header: false,
    }))
}

/// ID3v1 and APE tags behind the frames.
fn audio_end(media: &mut Media) -> io::Result<u64> {
    let mut end = media.len();
    if end >= 128 && media.read_at(end - 128, 3)? == b"TAG" {
        end -= 128;
    }
    if end >= 32 {
        let footer = media.read_at(end - 32, 32)?;
        if footer.starts_with(b"APETAGEX") {
            let size = u64::from(u32::from_le_bytes([
                footer[12], footer[13], footer[14], footer[15],
            ]));
            let header = if footer[23] & 0x80 != 0 { 32 } else { 0 };
            end = end.saturating_sub(size + header);
        }
    }
    Ok(end)
}

fn is_chain(window: &[u8], at: usize, file_left: u64) -> bool {
    let Some(first) = header(&window[at..]) else {
        return false;
    };
    let mut next = at as u64 + first.bytes;
    for found in 1..CHAIN {
        // A short file may end after its first frame.
        if next >= file_left {
            return at == 0 && found >= 1;
        }
        let Some(frame) = usize::try_from(next)
            .ok()
            .and_then(|next| window.get(next..))
            .and_then(header)
        else {
            // Tags or a cut frame may follow, but only at the end of a file.
            return at == 0 && file_left - next < 256;
        };
        if frame.family != first.family {
            return false;
        }
        next += frame.bytes;
    }
    true
}

/// The number of frames that a Xing, Info or VBRI header names.
fn named_count(frame: &[u8], head: Frame) -> Option<u64> {
    let xing = frame.get(head.xing_at..)?;
    if xing.starts_with(b"Xing") || xing.starts_with(b"Info") {
        return (number(xing, 4)? & 1 == 1)
            .then(|| number(xing, 8))
            .flatten();
    }
    let vbri = frame.get(36..)?;
    vbri.starts_with(b"VBRI")
        .then(|| number(vbri, 14))
        .flatten()
}

/// The named length, unless the file holds clearly more than the header counted (two files in one).
fn named_length(count: u64, frame: &[u8], head: Frame, bytes_there: u64) -> Option<u64> {
    let xing = frame.get(head.xing_at..)?;
    let named_bytes = if xing.starts_with(b"Xing") || xing.starts_with(b"Info") {
        (number(xing, 4)? & 3 == 3)
            .then(|| number(xing, 12))
            .flatten()
    } else {
        None
    };
    let is_longer = named_bytes.is_some_and(|named| bytes_there > named + named / 50 + 64 * 1024);
    (!is_longer).then_some(count * head.samples)
}

/// Counts the frames of a small file one by one.
fn walk(window: &[u8], bytes: u64, first: Frame) -> Option<u64> {
    let (mut at, mut count) = (0u64, 0);
    while at + 4 <= bytes {
        let frame = usize::try_from(at)
            .ok()
            .and_then(|at| window.get(at..))
            .and_then(header);
        match frame {
            Some(frame) if frame.family == first.family => {
                if at + frame.bytes > bytes {
                    break;
                }
                at += frame.bytes;
                count += 1;
            }
            // Rubbish in the middle: only decoding can tell.
            _ => return None,
        }
    }
    (count > 0).then_some(count * first.samples)
}

/// The length of a file of constant bit rate, if frames are found exactly where they must be.
fn constant_rate(media: &mut Media, begin: u64, end: u64, first: Frame) -> io::Result<Option<u64>> {
    let Some(mean) = first.mean_bytes else {
        return Ok(None);
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of frames"
    )]
    let count = ((end - begin) as f64 / mean).round() as u64;
    if ((end - begin) as f64 - count as f64 * mean).abs() > 2.0 || count < CHECKS {
        return Ok(None);
    }
    for check in 1..=CHECKS {
        let index = if check == CHECKS {
            count - 1
        } else {
            count * check / CHECKS
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in the file"
        )]
        let expected = begin + (index as f64 * mean) as u64;
        let around = media.read_at(expected.saturating_sub(1), 8)?;
        let is_there = (0..around.len().min(4)).any(|at| {
            header(&around[at..]).is_some_and(|frame| {
                frame.family == first.family && frame.mean_bytes == first.mean_bytes
            })
        });
        if !is_there {
            return Ok(None);
        }
    }
    Ok(Some(count * first.samples))
}

fn header(bytes: &[u8]) -> Option<Frame> {
    let head: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    if head[0] != 0xff || head[1] & 0xe0 != 0xe0 {
        return None;
    }
    if head[1] & 0xf6 == 0xf0 {
        adts(bytes)
    } else {
        mpeg(head)
    }
}

fn mpeg(head: [u8; 4]) -> Option<Frame> {
    const KBIT_V1: [[u64; 14]; 3] = [
        [
            32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
        ],
        [
            32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
        ],
        [
            32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
        ],
    ];
    const KBIT_V2: [[u64; 14]; 2] = [
        [
            32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
        ],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let (version, layer) = (head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3));
    let (rate_index, bit_rate_index) = (head[2] >> 2 & 3, usize::from(head[2] >> 4));
    if version == 1 || layer == 4 || rate_index == 3 || bit_rate_index == 0 || bit_rate_index == 15
    {
        return None;
    }
    let is_v1 = version == 3;
    let rate = [44_100u64, 48_000, 32_000][usize::from(rate_index)]
        >> match version {
            3 => 0,
            2 => 1,
            _ => 2,
        };
    let bits = 1000
        * if is_v1 {
            KBIT_V1[usize::from(layer) - 1][bit_rate_index - 1]
        } else {
            KBIT_V2[usize::from(layer > 1)][bit_rate_index - 1]
        };
    let padding = u64::from(head[2] >> 1 & 1);
    let samples = match layer {
        1 => 384,
        3 if !is_v1 => 576,
        _ => 1152,
    };
    let slot = if layer == 1 { 4 } else { 1 };
    let is_mono = head[3] >> 6 == 3;
    let side_bytes = match (is_v1, is_mono) {
        (true, false) => 32,
        (true, true) | (false, false) => 17,
        (false, true) => 9,
    };
    Some(Frame {
        bytes: (samples / 8 * bits / rate / slot + padding) * slot,
        samples,
        family: u32::from(head[1] & 0xfe) << 8 | u32::from(head[2] & 0x0c),
        mean_bytes: Some((samples / 8 * bits) as f64 / rate as f64),
        xing_at: 4 + side_bytes,
    })
}

fn adts(bytes: &[u8]) -> Option<Frame> {
    let head: [u8; 7] = bytes.get(..7)?.try_into().ok()?;
    let length = u64::from(head[3] & 3) << 11 | u64::from(head[4]) << 3 | u64::from(head[5] >> 5);
    let blocks = u64::from(head[6] & 3) + 1;
    (length > 7 && head[2] >> 2 & 15 < 13).then_some(Frame {
        bytes: length,
        samples: 1024 * blocks,
        family: u32::from(head[1]) << 16
            | u32::from(head[2] & 0xfd) << 8
            | u32::from(head[3] & 0xc0),
        mean_bytes: None,
        xing_at: usize::MAX,
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 4).map(|four| {
        four.iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn media(bytes: Vec<u8>) -> Media {
        Media::new(Box::new(Cursor::new(bytes))).unwrap()
    }

    /// Frames of 128 kbit/s at 44.1 kHz as an encoder pads them.
    fn constant(count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for index in 0..count {
            let (now, next) = (
                index * 144 * 128_000 / 44_100,
                (index + 1) * 144 * 128_000 / 44_100,
            );
            let padding = u8::from(next - now == 418) << 1;
            let start = bytes.len();
            bytes.extend([0xff, 0xfb, 0x90 | padding, 0xc0]);
            bytes.resize(start + usize::try_from(next - now).unwrap(), 0x55);
        }
        bytes
    }

    #[test]
    fn a_constant_rate_is_counted_exactly() {
        for count in [1, 3, 100, 2_000, 5_001] {
            assert_eq!(
                read(&mut media(constant(count))).unwrap(),
                Some(Frames {
                    samples: Some(count * 1152),
                    has_header: false
                }),
                "{count}"
            );
        }
    }

    #[test]
    fn a_damaged_or_longer_file_stays_unknown() {
        let mut bytes = constant(3_000);
        let middle = bytes.len() / 2;
        bytes.splice(middle..middle + 1, [0; 100]);
        assert_eq!(
            read(&mut media(bytes)).unwrap(),
            Some(Frames {
                samples: None,
                has_header: false
            })
        );
    }

    #[test]
    fn tags_around_do_not_count() {
        let mut bytes = [
            b"ID3\x04\0\0\0\0\x01\0".as_slice(),
            &[0; 128],
            &constant(2_000),
            b"TAG",
        ]
        .concat();
        bytes.resize(bytes.len() + 125, 0);
        assert_eq!(
            read(&mut media(bytes)).unwrap(),
            Some(Frames {
                samples: Some(2_000 * 1152),
                has_header: false
            })
        );
    }

    #[test]
    fn text_is_not_a_row_of_frames() {
        assert_eq!(
            read(&mut media(b"Dear diary, ".repeat(5_000))).unwrap(),
            None
        );
        assert_eq!(
            read(&mut media(
                [b"text ".repeat(200), constant(1), b"more text ".repeat(200)].concat()
            ))
            .unwrap(),
            None
        );
        assert_eq!(read(&mut media(Vec::new())).unwrap(), None);
    }
}
