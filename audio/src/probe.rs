//! What a file is, without decoding it.

use crate::{Error, Source, open};

/// What the header (and the last pages) of a recording say.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// `wav`, `flac`, `mp3`, `mp2`, `ogg`, `m4a`, `aac`, `aiff`, `caf`, `mkv`.
    pub format: &'static str,
    pub codec: String,
    pub media_type: &'static str,
    /// 0 where only decoding can tell.
    pub sample_rate: u32,
    /// 0 where only decoding can tell.
    pub channels: u16,
    /// The music without an encoder's padding. `None` = unknown; never guessed.
    pub duration_seconds: Option<f64>,
}

/// Reads headers and last pages only. The content decides; the extension is a hint.
pub fn probe(source: Box<dyn Source>, extension: Option<&str>) -> Result<Probe, Error> {
    Ok(open::open(source, extension)?.probe)
}
