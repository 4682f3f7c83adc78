//! WAV, AIFF and CAF headers that lie: files are cut, recorders that crashed or wrote to a pipe leave sizes of 0 or 2^32-1, and RF64 keeps the true ones elsewhere.
//!
//! The sizes are mended in what the demuxer reads; the file itself is never changed.

use std::io;

use crate::source::{Media, Patch};

/// Chunks looked at before the samples; real files have a handful.
const MAX_CHUNKS: usize = 1_000;
/// Sizes from here on are what writers put when they cannot know the length.
const PLACEHOLDER: u64 = 0x7fff_f000;

/// What was mended.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mended {
    pub(crate) patches: Vec<Patch>,
    /// The header promises more samples than there are bytes.
    pub(crate) truncated: bool,
}

/// Looks at the chunks up to the samples; nothing is mended in a file that is none of these.
pub(crate) fn mend(media: &mut Media) -> io::Result<Mended> {
    let head = media.read_at(0, 12)?;
    match (head.get(..4), head.get(8..12)) {
        (Some(b"RIFF" | b"RF64" | b"BW64"), Some(b"WAVE")) => {
            wav(media, !head.starts_with(b"RIFF"))
        }
        (Some(b"FORM"), Some(b"AIFF" | b"AIFC")) => cut(media, 12, b"SSND", 4),
        (Some(b"caff"), _) => cut(media, 8, b"data", 8),
        _ => Ok(Mended::default()),
    }
}

/// AIFF and CAF, whose numbers begin with the largest byte: only a cut is mended.
fn cut(media: &mut Media, first: u64, id: &[u8; 4], size_bytes: usize) -> io::Result<Mended> {
    let mut at = first;
    for _ in 0..MAX_CHUNKS {
        let chunk = media.read_at(at, 4 + size_bytes)?;
        let Some(size) = chunk.get(4..4 + size_bytes) else {
            break;
        };
        let size = size
            .iter()
            .fold(0, |size, byte| size << 8 | u64::from(*byte));
        let start = at + chunk.len() as u64;
        let there = media.len().saturating_sub(start);
        // The highest bit: CAF's "to the end of the file".
        if chunk.starts_with(id) && size > there && size >> 63 == 0 {
            let tail = |number: u64, bytes: usize| number.to_be_bytes()[8 - bytes..].to_vec();
            let mut patches = vec![Patch {
                offset: at + 4,
                bytes: tail(there, size_bytes),
            }];
            if first == 12 {
                patches.push(Patch {
                    offset: 4,
                    bytes: tail(media.len() - 8, 4),
                });
            }
            return Ok(Mended {
                patches,
                truncated: true,
            });
        }
        let is_padded = first == 12 && size & 1 == 1;
        let Some(next) = start
            .checked_add(size)
            .and_then(|next| next.checked_add(u64::from(is_padded)))
        else {
            break;
        };
        if next >= media.len() {
            break;
        }
        at = next;
    }
    Ok(Mended::default())
}

fn wav(media: &mut Media, is_long: bool) -> io::Result<Mended> {
    let mut long_size = None;
    let mut at = 12;
    for _ in 0..MAX_CHUNKS {
        let chunk = media.read_at(at, 8)?;
        if chunk.len() < 8 {
            break;
        }
        let size = u64::from(u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]));
        match &chunk[..4] {
            b"ds64" => {
                let sizes = media.read_at(at + 8, 16)?;
                long_size = sizes
                    .get(8..16)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(u64::from_le_bytes);
            }
            b"data" => {
                let declared = if is_long && size == u64::from(u32::MAX) {
                    long_size.unwrap_or(size)
                } else {
                    size
                };
                return data(media, at, declared);
            }
            _ => {}
        }
        at += 8 + size + (size & 1);
    }
    Ok(Mended::default())
}

fn data(media: &mut Media, at: u64, declared: u64) -> io::Result<Mended> {
    let start = at + 8;
    let there = media.len().saturating_sub(start);
    let length = match declared {
        0 if there > 0 && !looks_like_chunk(&media.read_at(start, 8)?, there) => there,
        _ => declared.min(there),
    };
    let truncated = declared > there && declared < PLACEHOLDER;
    // Beyond 4 GiB the demuxer must read to the end of the file.
    let whole = u32::try_from(start - 8 + length).unwrap_or(u32::MAX);
    let size = if whole == u32::MAX {
        u32::MAX
    } else {
        u32::try_from(length).unwrap_or(u32::MAX)
    };
    Ok(Mended {
        patches: vec![
            Patch {
                offset: 0,
                bytes: [b"RIFF".as_slice(), &whole.to_le_bytes()].concat(),
            },
            Patch {
                offset: at + 4,
                bytes: size.to_le_bytes().to_vec(),
            },
        ],
        truncated,
    })
}

/// Tells samples from a next chunk behind an empty one.
fn looks_like_chunk(bytes: &[u8], there: u64) -> bool {
    let Some((id, size)) = bytes.split_first_chunk::<4>() else {
        return true;
    };
    let Ok(size) = <[u8; 4]>::try_from(size) else {
        return true;
    };
    id.iter()
        .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        && u64::from(u32::from_le_bytes(size)) + 8 <= there
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn wav(marker: &[u8; 4], riff_size: u32, data_size: u32, samples: &[u8]) -> Media {
        let mut bytes = [marker.as_slice(), &riff_size.to_le_bytes(), b"WAVE"].concat();
        if marker != b"RIFF" {
            bytes.extend(
                [
                    b"ds64".as_slice(),
                    &28u32.to_le_bytes(),
                    &100u64.to_le_bytes(),
                    &6u64.to_le_bytes(),
                    &[0; 12],
                ]
                .concat(),
            );
        }
        bytes.extend([b"data".as_slice(), &data_size.to_le_bytes(), samples].concat());
        Media::new(Box::new(Cursor::new(bytes))).unwrap()
    }

    #[test]
    fn sizes_become_true() {
        let samples = [200u8, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        for (name, media, length, truncated) in [
            ("sound", wav(b"RIFF", 30, 10, &samples), 10u32, false),
            ("crashed recorder", wav(b"RIFF", 0, 0, &samples), 10, false),
            (
                "pipe",
                wav(b"RIFF", u32::MAX, u32::MAX, &samples),
                10,
                false,
            ),
            ("cut off", wav(b"RIFF", 1000, 980, &samples), 10, true),
            ("RF64", wav(b"RF64", u32::MAX, u32::MAX, &samples), 6, false),
            (
                "empty, then a chunk",
                wav(b"RIFF", 20, 0, b"LIST\x02\0\0\0ab"),
                0,
                false,
            ),
        ] {
            let mut media = media;
            let mended = mend(&mut media).unwrap();
            assert_eq!(mended.patches[1].bytes, length.to_le_bytes(), "{name}");
            assert_eq!(&mended.patches[0].bytes[..4], b"RIFF", "{name}");
            assert_eq!(mended.truncated, truncated, "{name}");
        }
    }

    #[test]
    fn other_files_are_left_alone() {
        let mut media = Media::new(Box::new(Cursor::new(
            b"OggS, not a WAV file at all".to_vec(),
        )))
        .unwrap();
        assert_eq!(mend(&mut media).unwrap(), Mended::default());
    }
}
