//! One song's decoding: collects its chunks' maps, then makes notes of them.

use super::config::Options;
use super::decoding::{Maps, decode, frame_seconds};
use super::network::{Chunk, ChunkMaps};
use super::segments::Chunks;
use crate::Error;
use crate::network::{Decoded, Segments, Song};

/// Grand piano, as the package writes.
const PROGRAM: u8 = 0;

pub struct HarmonicaSong {
    options: Options,
    maps: Maps,
    frames: usize,
    silent: bool,
}

impl HarmonicaSong {
    pub fn new(options: Options) -> Self {
        HarmonicaSong {
            options,
            maps: Maps::default(),
            frames: 0,
            silent: true,
        }
    }
}

impl Song for HarmonicaSong {
    type Segment = Chunk;
    type Output = ChunkMaps;

    fn segments(
        &self,
        recording: audio::Recording,
    ) -> Result<Box<dyn Segments<Segment = Chunk>>, Error> {
        Ok(Box::new(Chunks::new(recording)))
    }

    fn notes(&mut self, output: ChunkMaps) -> Result<Option<Chunk>, Error> {
        self.maps.push(&output.maps);
        self.silent &= output.silent;
        if let Some(frames) = output.song_frames {
            self.frames = frames;
        }
        Ok(None)
    }

    fn finish(&mut self) -> Result<Decoded, Error> {
        let mut maps = std::mem::take(&mut self.maps);
        maps.cut(self.frames);
        let notes: Vec<music::Note> = decode(
            &maps,
            self.options.onset_threshold,
            self.options.frame_threshold,
        )
        .iter()
        .map(|event| music::Note {
            onset: frame_seconds(event.start),
            offset: frame_seconds(event.end),
            pitch: event.pitch,
            velocity: event.velocity,
            program: PROGRAM,
            is_drum: false,
            bends: None,
        })
        .collect();
        let mut warnings = Vec::new();
        if self.silent {
            warnings.push("the recording is silent".to_owned());
        } else if notes.is_empty() {
            warnings.push("no notes were found; lower thresholds may help".to_owned());
        }
        Ok(Decoded {
            notes,
            pedals: Vec::new(),
            warnings,
        })
    }
}
