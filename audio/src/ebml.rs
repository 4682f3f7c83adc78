//! Cut Matroska files: their outermost element claims to go on behind the end, and the demuxer would refuse all of it. Said to be of unknown length, as a live stream, it is read to the end.

use std::io;

use crate::source::{Media, Patch};

const HEADER: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];
const SEGMENT: [u8; 4] = [0x18, 0x53, 0x80, 0x67];

/// The patch that makes a cut file readable; `None` for whole and other files.
pub(crate) fn cut(media: &mut Media) -> io::Result<Option<Patch>> {
    let head = media.read_at(0, 256)?;
    let Some((bytes, header)) = element(&head, HEADER) else {
        return Ok(None);
    };
    let Some(at) = usize::try_from(header)
        .ok()
        .and_then(|header| header.checked_add(4 + bytes))
    else {
        return Ok(None);
    };
    let Some((bytes, length)) = head.get(at..).and_then(|rest| element(rest, SEGMENT)) else {
        return Ok(None);
    };
    let is_unknown = length == (1 << (7 * bytes)) - 1;
    let begin = at + 4;
    if is_unknown || (begin + bytes) as u64 + length <= media.len() {
        return Ok(None);
    }
    let mut unknown = vec![0xff; bytes];
    unknown[0] = 0xff >> (bytes - 1);
    Ok(Some(Patch {
        offset: begin as u64,
        bytes: unknown,
    }))
}

/// The width and value of the length behind an id.
fn element(bytes: &[u8], id: [u8; 4]) -> Option<(usize, u64)> {
    let length = bytes.strip_prefix(&id)?;
    let first = *length.first()?;
    let width = first.leading_zeros() as usize + 1;
    let value = length
        .get(1..width)?
        .iter()
        .fold(u64::from(first) & (0xff >> width), |value, byte| {
            value << 8 | u64::from(*byte)
        });
    (width <= 8).then_some((width, value))
}
