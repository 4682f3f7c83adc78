//! Where the bytes of a recording come from.

use std::fs::File;
use std::io::{Cursor, Read, Seek};

/// Seekable bytes: a file, memory, or ranged reads of a remote object.
pub trait Source: Read + Seek + Send + Sync {
    /// The length in bytes, if it is known.
    fn byte_len(&self) -> Option<u64>;
}

impl Source for File {
    fn byte_len(&self) -> Option<u64> {
        self.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
    }
}

impl Source for Cursor<Vec<u8>> {
    fn byte_len(&self) -> Option<u64> {
        Some(self.get_ref().len() as u64)
    }
}
