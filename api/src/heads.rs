//! Bounds what a multipart body makes its parser hold: the parser keeps everything in front of the first part and every part's
//! headers until their end is there, and looks through all of it again with each piece that comes. It reads no part.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use memchr::memmem::Finder;

/// Of one part; browsers send a few hundred bytes.
pub(crate) const MOST_HEAD_BYTES: usize = 16 * 1024;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// More than that without an end.
#[derive(Debug, thiserror::Error)]
#[error("what stands in front of a part has more than {MOST_HEAD_BYTES} bytes")]
pub(crate) struct HeadTooLong;

/// Where in the body the bytes are that come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In front of the first boundary.
    Preamble,
    /// Behind a boundary.
    Head,
    Part,
}

/// Follows a body from boundary to boundary.
pub(crate) struct Heads {
    boundary: Finder<'static>,
    next_part: Finder<'static>,
    end_of_head: Finder<'static>,
    place: Place,
    /// Bytes since the place began.
    held: usize,
    /// The last bytes, in which what is looked for may have begun.
    tail: Vec<u8>,
}

impl Heads {
    pub(crate) fn new(boundary: &str) -> Self {
        let boundary = format!("--{boundary}");
        let next_part = format!("\r\n{boundary}");
        Self {
            boundary: Finder::new(&boundary).into_owned(),
            next_part: Finder::new(&next_part).into_owned(),
            end_of_head: Finder::new(END_OF_HEAD).into_owned(),
            place: Place::Preamble,
            held: 0,
            tail: Vec::new(),
        }
    }

    /// Takes note of the next bytes.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) -> Result<(), HeadTooLong> {
        while !bytes.is_empty() {
            let wanted = match self.place {
                Place::Preamble => &self.boundary,
                Place::Head => &self.end_of_head,
                Place::Part => &self.next_part,
            };
            let end = end_of(wanted, &self.tail, bytes);
            self.held += end.unwrap_or(bytes.len());
            if self.place != Place::Part && self.held > MOST_HEAD_BYTES {
                return Err(HeadTooLong);
            }
            let Some(end) = end else {
                let keep = wanted.needle().len() - 1;
                self.tail
                    .extend_from_slice(&bytes[bytes.len().saturating_sub(keep)..]);
                self.tail.drain(..self.tail.len().saturating_sub(keep));
                return Ok(());
            };
            bytes = &bytes[end..];
            self.held = 0;
            self.tail.clear();
            self.place = match self.place {
                Place::Head => Place::Part,
                Place::Preamble | Place::Part => Place::Head,
            };
        }
        Ok(())
    }
}

/// Where in `bytes` the wanted ends, if it begins in the tail or in `bytes`.
fn end_of(wanted: &Finder<'_>, tail: &[u8], bytes: &[u8]) -> Option<usize> {
    let length = wanted.needle().len();
    if !tail.is_empty() {
        let mut seam = tail.to_vec();
        seam.extend_from_slice(&bytes[..bytes.len().min(length - 1)]);
        if let Some(at) = wanted.find(&seam) {
            return Some(at + length - tail.len());
        }
    }
    wanted.find(bytes).map(|at| at + length)
}

/// A body that ends with an error where its heads are too long.
pub(crate) struct Bounded<S> {
    pub(crate) inner: S,
    pub(crate) heads: Heads,
}

impl<S, E> Stream for Bounded<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        Pin::new(&mut this.inner).poll_next(context).map(|next| {
            next.map(|piece| {
                let piece = piece.map_err(Into::into)?;
                this.heads.pass(&piece)?;
                Ok(piece)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(body: &[u8], piece: usize) -> bool {
        let mut heads = Heads::new("edge");
        body.chunks(piece).all(|bytes| heads.pass(bytes).is_ok())
    }

    #[test]
    fn long_parts_pass_and_long_heads_do_not_however_they_are_cut() {
        let part = |head: usize, data: usize| {
            [
                format!("--edge\r\nX: {}\r\n\r\n", "h".repeat(head)).into_bytes(),
                vec![b'-'; data],
                b"\r\n".to_vec(),
            ]
            .concat()
        };
        let good = [
            part(10_000, 50_000),
            part(10_000, 0),
            part(1, 100_000),
            b"--edge--\r\n".to_vec(),
        ]
        .concat();
        let late = [part(10, 50_000), part(20_000, 1)].concat();
        let preamble = [vec![b'x'; 20_000], part(1, 1)].concat();
        for piece in [1, 2, 3, 5, 7, 64, 1_000, 1 << 20] {
            assert!(pass(&good, piece), "{piece}");
            assert!(!pass(&late, piece), "{piece}");
            assert!(!pass(&preamble, piece), "{piece}");
        }
    }
}
