//! Covers and other large tags, which may be larger than all of the music: the demuxers would hold them in memory, and nobody
//! here wants them. They are stepped over or read as padding; the file itself is never changed.

use std::io;

use crate::source::{Media, Patch};

/// ID3 tags in a row that are stepped over.
const MAX_TAGS: usize = 16;
/// Blocks of a FLAC file that are looked at.
const MAX_BLOCKS: usize = 10_000;
/// Smaller ones may stay.
pub(crate) const LARGE_BYTES: u64 = 64 * 1024;
/// FLAC's words for its blocks: padding; application data, comments, cue sheets and pictures.
const PADDING: u8 = 1;
const NOT_MUSIC: [u8; 4] = [2, 4, 5, 6];

/// Where the ID3 tags in front of a file end.
pub(crate) fn id3_end(media: &mut Media) -> io::Result<u64> {
    let mut at = 0;
    for _ in 0..MAX_TAGS {
        let head = media.read_at(at, 10)?;
        if head.len() < 10 || !head.starts_with(b"ID3") {
            break;
        }
        let size = head[6..10]
            .iter()
            .fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
        at += 10 + size + if head[5] & 0x10 != 0 { 10 } else { 0 };
    }
    Ok(at.min(media.len()))
}

/// Makes padding of the large blocks of a FLAC file that hold no music.
pub(crate) fn hide_flac_blocks(media: &mut Media) -> io::Result<Vec<Patch>> {
    let mut patches = Vec::new();
    if media.read_at(0, 4)? != b"fLaC" {
        return Ok(patches);
    }
    let mut at = 4;
    for _ in 0..MAX_BLOCKS {
        let head = media.read_at(at, 4)?;
        let &[kind, high, middle, low] = head.as_slice() else {
            break;
        };
        let bytes = u64::from(u32::from_be_bytes([0, high, middle, low]));
        let is_last = kind & 0x80;
        if NOT_MUSIC.contains(&(kind & 0x7f)) && bytes > LARGE_BYTES {
            patches.push(Patch {
                offset: at,
                bytes: vec![is_last | PADDING],
            });
        }
        if is_last != 0 {
            break;
        }
        at += 4 + bytes;
    }
    Ok(patches)
}
