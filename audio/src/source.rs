//! Where the bytes of a recording come from, and the shape in which the demuxers want them.

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use symphonia::core::io::MediaSource;

use crate::Error;

/// Seekable bytes: a file, memory, or ranged reads of a remote object.
pub trait Source: Read + Seek + Send + Sync {
    /// The length in bytes, if it is known.
    fn byte_len(&self) -> Option<u64>;
}

impl Source for File {
    fn byte_len(&self) -> Option<u64> {
        self.metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|metadata| metadata.len())
    }
}

impl Source for Cursor<Vec<u8>> {
    fn byte_len(&self) -> Option<u64> {
        Some(self.get_ref().len() as u64)
    }
}

/// What went wrong in the source itself. The demuxers swallow such errors, or make up their own on damaged data; only this tells one from the other.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(Error::Unreadable(error)),
            None => Ok(()),
        }
    }

    fn note<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome
            && !matches!(
                error.kind(),
                ErrorKind::Interrupted | ErrorKind::InvalidInput
            )
        {
            let copy = io::Error::new(error.kind(), error.to_string());
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(copy);
        }
        outcome
    }
}

/// A source of known length in which a few header bytes may read differently than they are stored.
pub(crate) struct Media {
    inner: Box<dyn Source>,
    /// What lies in front of this is not there.
    base: u64,
    len: u64,
    position: u64,
    patches: Vec<Patch>,
    failure: Failure,
    is_stream: bool,
}

/// Bytes that stand for the stored ones from `offset` on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Patch {
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Media {
    pub(crate) fn new(mut inner: Box<dyn Source>) -> io::Result<Self> {
        let len = match inner.byte_len() {
            Some(len) => len,
            None => inner.seek(SeekFrom::End(0))?,
        };
        inner.seek(SeekFrom::Start(0))?;
        Ok(Media {
            inner,
            base: 0,
            len,
            position: 0,
            patches: Vec::new(),
            failure: Failure::default(),
            is_stream: false,
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn failure(&self) -> Failure {
        self.failure.clone()
    }

    pub(crate) fn patch(&mut self, patches: impl IntoIterator<Item = Patch>) {
        self.patches.extend(patches);
    }

    /// From now on the media begins so much later.
    pub(crate) fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = bytes.min(self.len);
        self.base += bytes;
        self.len -= bytes;
        self.seek(SeekFrom::Start(0))?;
        Ok(())
    }

    /// From now on the demuxer must not jump, as in a live stream.
    pub(crate) fn forbid_jumps(&mut self) {
        self.is_stream = true;
    }

    /// Up to `count` bytes from `offset` on; fewer at the end.
    pub(crate) fn read_at(&mut self, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        self.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        Read::by_ref(self)
            .take(count as u64)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for Media {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.failure.note(self.inner.read(buffer))?;
        for patch in &self.patches {
            for (index, byte) in patch.bytes.iter().enumerate() {
                let at = patch.offset + index as u64;
                if at >= self.position && at < self.position + count as u64 {
                    // The difference is below count, a usize.
                    buffer[usize::try_from(at - self.position).unwrap_or(0)] = *byte;
                }
            }
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Media {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let stored = target.and_then(|target| target.checked_add(self.base));
        let stored = stored.ok_or(ErrorKind::InvalidInput)?;
        let reached = self
            .failure
            .note(self.inner.seek(SeekFrom::Start(stored)))?;
        self.position = reached.saturating_sub(self.base);
        Ok(self.position)
    }
}

impl MediaSource for Media {
    fn is_seekable(&self) -> bool {
        !self.is_stream
    }

    fn byte_len(&self) -> Option<u64> {
        (!self.is_stream).then_some(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_seen_by_any_read() {
        let mut media = Media::new(Box::new(Cursor::new((0..20).collect()))).unwrap();
        media.patch([Patch {
            offset: 3,
            bytes: vec![100, 101, 102],
        }]);
        assert_eq!(media.len(), 20);
        assert_eq!(media.read_at(2, 5).unwrap(), [2, 100, 101, 102, 6]);
        assert_eq!(media.read_at(4, 1).unwrap(), [101]);
        assert_eq!(media.read_at(18, 9).unwrap(), [18, 19]);
    }

    #[test]
    fn what_is_skipped_is_not_there() {
        let mut media = Media::new(Box::new(Cursor::new((0..20).collect()))).unwrap();
        media.skip(5).unwrap();
        assert_eq!(media.len(), 15);
        assert_eq!(media.read_at(0, 2).unwrap(), [5, 6]);
        assert_eq!(media.seek(SeekFrom::Current(-1)).unwrap(), 1);
        assert!(media.seek(SeekFrom::Current(-2)).is_err());
        assert_eq!(media.seek(SeekFrom::End(-1)).unwrap(), 14);
        assert_eq!(media.read_at(14, 9).unwrap(), [19]);
        media.skip(99).unwrap();
        assert_eq!(media.len(), 0);
    }
}
