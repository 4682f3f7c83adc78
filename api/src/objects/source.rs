//! An object as a seekable reader, for the probe: ranged reads, in blocks. For blocking threads of a runtime only.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

const READ_BLOCK_BYTES: u64 = 64 * 1024;

/// `Read + Seek` over an object, in blocks.
pub struct StoredSource {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) bytes: u64,
    pub(super) position: u64,
    pub(super) block: Bytes,
    pub(super) block_start: u64,
}

impl Read for StoredSource {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.bytes || target.is_empty() {
            return Ok(0);
        }
        let block_end = self.block_start + self.block.len() as u64;
        if !(self.block_start..block_end).contains(&self.position) {
            let end = (self.position + READ_BLOCK_BYTES).min(self.bytes);
            let read = self.store.get_range(&self.path, self.position..end);
            self.block = self.runtime.block_on(read).map_err(io::Error::other)?;
            self.block_start = self.position;
            if self.block.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let from = usize::try_from(self.position - self.block_start).map_err(io::Error::other)?;
        let available = &self.block[from..];
        let count = available.len().min(target.len());
        target[..count].copy_from_slice(&available[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for StoredSource {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl audio::Source for StoredSource {
    fn byte_len(&self) -> Option<u64> {
        Some(self.bytes)
    }
}
