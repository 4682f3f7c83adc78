//! Packet by packet to samples: the timeline of the decoder, with damage as silence of the same length.

use symphonia::core::codecs::CodecParameters;
use symphonia::core::errors::Error as Theirs;
use symphonia::core::formats::TrackType;
use symphonia::core::packet::Packet;

use crate::Error;
use crate::guard::{at_start, guard};
use crate::open::{self, Opened};

/// So many failures in a row mean that the rest is lost.
const MAX_FAILURES: u64 = 20_000;
/// A jump in a file's own clock longer than this is damage, not a gap.
const MAX_GAP_SECONDS: u64 = 60;

/// What the next step brought.
pub(crate) enum Step {
    /// Interleaved samples are in the buffer.
    Samples {
        rate: u32,
        channels: usize,
    },
    /// So many frames were lost.
    Lost {
        frames: u64,
    },
    /// Nothing this time.
    Nothing,
    End {
        truncated: bool,
    },
}

/// The state between two packets.
#[derive(Default)]
pub(crate) struct Packets {
    failures_in_a_row: u64,
    pub(crate) damaged: u64,
    /// Why the first damaged packet failed, for the case that all do.
    pub(crate) first_failure: Option<Error>,
    /// The frame at which the next FLAC packet must begin: FLAC's demuxer drops damaged frames silently.
    next_frame: Option<i64>,
    held: Option<Packet>,
    over: bool,
}

impl Packets {
    pub(crate) fn step(
        &mut self,
        opened: &mut Opened,
        samples: &mut Vec<f32>,
    ) -> Result<Step, Error> {
        if self.over {
            return Ok(Step::End { truncated: false });
        }
        let packet = match self.held.take() {
            Some(packet) => packet,
            None => match self.fetch(opened)? {
                Fetched::Packet(packet) => packet,
                Fetched::Nothing => return Ok(Step::Nothing),
                Fetched::End { truncated } => {
                    self.over = true;
                    return Ok(Step::End { truncated });
                }
            },
        };
        if let Some(frames) = self.gap(&packet, opened) {
            self.held = Some(packet);
            return Ok(Step::Lost { frames });
        }
        Ok(self.decode(opened, &packet, samples))
    }

    fn fetch(&mut self, opened: &mut Opened) -> Result<Fetched, Error> {
        let fetched = guard(|| opened.reader.next_packet());
        opened.failure.check()?;
        let Ok(fetched) = fetched else {
            self.failed(Error::Undecodable(
                "the demuxer gave up on damaged data".to_owned(),
            ));
            return Ok(Fetched::End { truncated: true });
        };
        match fetched {
            Ok(Some(packet)) if packet.track_id == opened.track_id => Ok(Fetched::Packet(packet)),
            Ok(Some(_)) => Ok(self.idle()),
            Ok(None) => Ok(Fetched::End { truncated: false }),
            Err(Theirs::IoError(_)) => Ok(Fetched::End { truncated: true }),
            Err(Theirs::ResetRequired) => Ok(self.reset(opened)),
            Err(error) => {
                self.failed(at_start(error));
                Ok(self.idle())
            }
        }
    }

    /// A chained Ogg file begins anew.
    fn reset(&mut self, opened: &mut Opened) -> Fetched {
        let track = opened.reader.default_track(TrackType::Audio).cloned();
        let decoder = track.as_ref().and_then(|track| match &track.codec_params {
            Some(CodecParameters::Audio(params)) => open::decoder(params, opened.is_mpeg()).ok(),
            _ => None,
        });
        match (track, decoder) {
            (Some(track), Some(decoder)) => {
                opened.track_id = track.id;
                opened.decoder = decoder;
                // What the first part promised says nothing about the whole.
                opened.promised = None;
                self.next_frame = None;
                self.idle()
            }
            _ => Fetched::End { truncated: true },
        }
    }

    /// The frames missing before this packet.
    fn gap(&mut self, packet: &Packet, opened: &Opened) -> Option<u64> {
        if opened.probe.format != "flac" {
            return None;
        }
        let expected = self
            .next_frame
            .replace(packet.pts.get())
            .unwrap_or_else(|| packet.pts.get());
        let gap = u64::try_from(packet.pts.get().saturating_sub(expected))
            .ok()
            .filter(|gap| *gap > 0)?;
        self.damaged += 1;
        (gap <= MAX_GAP_SECONDS * u64::from(opened.probe.sample_rate)).then_some(gap)
    }

    fn decode(&mut self, opened: &mut Opened, packet: &Packet, samples: &mut Vec<f32>) -> Step {
        if let Some(next) = &mut self.next_frame {
            *next = packet
                .pts
                .get()
                .saturating_add(i64::try_from(packet.block_dur().get()).unwrap_or(0));
        }
        let decoder = &mut opened.decoder;
        let decoded = guard(|| {
            decoder.decode(packet).map(|buffer| {
                buffer.copy_to_vec_interleaved::<f32>(samples);
                (
                    buffer.spec().rate(),
                    buffer.spec().channels().count(),
                    buffer.frames(),
                )
            })
        });
        match decoded {
            Ok(Ok((_, _, 0))) => match self.idle() {
                Fetched::End { truncated } => Step::End { truncated },
                _ => Step::Nothing,
            },
            Ok(Ok((rate, channels, _))) => {
                self.failures_in_a_row = 0;
                Step::Samples { rate, channels }
            }
            Ok(Err(error)) => self.lost(opened, packet, at_start(error)),
            Err(panicked) => {
                let _ = guard(|| opened.decoder.reset());
                self.lost(opened, packet, panicked.into())
            }
        }
    }

    fn lost(&mut self, opened: &Opened, packet: &Packet, error: Error) -> Step {
        self.failed(error);
        if let Fetched::End { truncated } = self.idle() {
            return Step::End { truncated };
        }
        let rate = u64::from(opened.probe.sample_rate);
        let track = opened
            .reader
            .tracks()
            .iter()
            .find(|track| track.id == packet.track_id);
        let seconds = track
            .and_then(|track| track.time_base)
            .and_then(|base| base.calc_duration(packet.block_dur()))
            .map_or(0.0, |time| time.as_secs_f64());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of samples, saturating"
        )]
        let frames = (seconds * rate as f64).round() as u64;
        // A packet that claims to be longer than a second lies.
        Step::Lost {
            frames: if frames <= rate { frames } else { 0 },
        }
    }

    fn failed(&mut self, error: Error) {
        tracing::debug!(%error, "a packet could not be decoded");
        self.damaged += 1;
        self.first_failure.get_or_insert(error);
    }

    /// A step without samples; too many in a row end the file.
    fn idle(&mut self) -> Fetched {
        self.failures_in_a_row += 1;
        if self.failures_in_a_row > MAX_FAILURES {
            self.over = true;
            return Fetched::End { truncated: true };
        }
        Fetched::Nothing
    }
}

enum Fetched {
    Packet(Packet),
    Nothing,
    End { truncated: bool },
}
