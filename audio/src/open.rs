//! From bytes to a demuxer and a decoder: what `probe` and `Recording` have in common. No sample is decoded here.

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions, CODEC_ID_NULL_AUDIO,
    well_known,
};
use symphonia::core::common::Limit;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use crate::edits::{Edits, Span};
use crate::frames::Frames;
use crate::guard::{at_start, guard};
use crate::source::{Failure, Media};
use crate::{Error, Probe, Source, ebml, frames, riff, sniff, tags};

/// Tags and cover art larger than this are not kept.
const TAG_BYTES: usize = 64 * 1024;
const PICTURE_BYTES: usize = 64 * 1024;
/// More frames than any real packet holds; decoders allocate by this number.
const MAX_PACKET_FRAMES: u64 = 1 << 20;

/// An opened recording.
pub(crate) struct Opened {
    pub(crate) reader: Box<dyn FormatReader>,
    pub(crate) decoder: Box<dyn AudioDecoder>,
    pub(crate) track_id: u32,
    pub(crate) probe: Probe,
    /// Which of the decoded frames are the music.
    pub(crate) span: Span,
    /// Decoded frames in the middle of `span` that are an encoder's padding: MP3 only, where files are also glued together.
    pub(crate) hole: Option<std::ops::Range<u64>>,
    /// Frames of music that the file promises, where it is exact.
    pub(crate) promised: Option<u64>,
    pub(crate) truncated: bool,
    pub(crate) failure: Failure,
}

pub(crate) fn open(source: Box<dyn Source>, extension: Option<&str>) -> Result<Opened, Error> {
    let mut media = Media::new(source)?;
    if media.len() == 0 {
        return Err(Error::Empty("the file has no bytes".to_owned()));
    }
    let tags = tags::id3_end(&mut media)?;
    media.skip(tags)?;
    if media.len() == 0 {
        return Err(Error::Undecodable(
            "there is nothing in it but tags".to_owned(),
        ));
    }
    let blocks = tags::hide_flac_blocks(&mut media)?;
    media.patch(blocks);
    if let Some(name) = sniff::foreign(&media.read_at(0, 16)?) {
        return Err(Error::Unsupported(name.to_owned()));
    }
    let mended = riff::mend(&mut media)?;
    media.patch(mended.patches);
    let edits = Edits::read(&mut media)?;
    media.patch(edits.cut.clone());
    media.patch(edits.hidden.clone());
    let matroska = ebml::cut(&mut media)?;
    media.patch(matroska.clone());
    if matroska.is_some() {
        // Its index lies behind the end.
        media.forbid_jumps();
    }
    let rows = frames::read(&mut media)?;
    media.read_at(0, 0)?;

    let failure = media.failure();
    let stream = MediaSourceStream::new(Box::new(media), MediaSourceStreamOptions::default());
    let reader = demuxer(stream, extension);
    failure.check()?;
    let reader = reader?;
    let short_name = reader.format_info().short_name;
    let is_mpeg = matches!(short_name, "mp1" | "mp2" | "mp3");
    if rows.is_none() && (is_mpeg || short_name == "aac") {
        return Err(Error::Undecodable(
            "no known audio format was found in it".to_owned(),
        ));
    }
    let (track, params) = audio_track(reader.as_ref(), &edits)?;
    let decoder = decoder(&params, is_mpeg)?;

    let codec = decoder.codec_info().short_name.to_owned();
    let sample_rate = decoder
        .codec_params()
        .sample_rate
        .or(params.sample_rate)
        .unwrap_or(0);
    let channels = decoder
        .codec_params()
        .channels
        .as_ref()
        .or(params.channels.as_ref())
        .map_or(0, |channels| {
            u16::try_from(channels.count()).unwrap_or(u16::MAX)
        });
    let (format, media_type) = sniff::format(short_name, &codec);
    let mut opened = Opened {
        reader,
        decoder,
        track_id: track.id,
        probe: Probe {
            format,
            codec,
            media_type,
            sample_rate,
            channels,
            duration_seconds: None,
        },
        span: edits.span(track.id, sample_rate),
        hole: None,
        promised: None,
        truncated: mended.truncated || edits.cut.is_some() || matroska.is_some(),
        failure,
    };
    opened.measure(&track, rows.unwrap_or_default());
    Ok(opened)
}

fn demuxer(
    stream: MediaSourceStream<'static>,
    extension: Option<&str>,
) -> Result<Box<dyn FormatReader>, Error> {
    let mut hint = Hint::new();
    if let Some(extension) = extension {
        hint.with_extension(extension);
    }
    let metadata = MetadataOptions::default()
        .limit_tag_bytes(Limit::Maximum(TAG_BYTES))
        .limit_visual_bytes(Limit::Maximum(PICTURE_BYTES));
    guard(|| {
        symphonia::default::get_probe().probe(&hint, stream, FormatOptions::default(), metadata)
    })?
    .map_err(at_start)
}

/// The audio track that players choose, and what it needs to be decoded.
fn audio_track(
    reader: &dyn FormatReader,
    edits: &Edits,
) -> Result<(Track, AudioCodecParameters), Error> {
    let is_known = |codec: AudioCodecId| {
        codec != CODEC_ID_NULL_AUDIO
            && symphonia::default::get_codecs()
                .get_audio_decoder(codec)
                .is_some()
    };
    let audio = |track: &Track| match &track.codec_params {
        Some(CodecParameters::Audio(params)) => Some((track.clone(), params.clone())),
        _ => None,
    };
    let default = reader.default_track(TrackType::Audio).and_then(audio);
    let chosen = default
        .filter(|(_, params)| is_known(params.codec))
        .or_else(|| {
            reader
                .tracks()
                .iter()
                .filter_map(audio)
                .find(|(_, params)| is_known(params.codec))
        });
    chosen.ok_or_else(|| match reader.tracks().iter().find_map(audio) {
        Some((_, params)) if params.codec != CODEC_ID_NULL_AUDIO => {
            Error::Unsupported(codec_name(params.codec))
        }
        _ if !edits.kinds().is_empty() => {
            Error::Unsupported(format!("tracks of kind {}", edits.kinds().join(", ")))
        }
        _ if reader.tracks().is_empty() => Error::Undecodable("it holds no audio track".to_owned()),
        _ => Error::Unsupported("none of its tracks is audio of a known codec".to_owned()),
    })
}

fn codec_name(codec: AudioCodecId) -> String {
    let name = match codec {
        well_known::CODEC_ID_OPUS => "Opus",
        well_known::CODEC_ID_SPEEX => "Speex",
        well_known::CODEC_ID_AC3 => "AC-3",
        well_known::CODEC_ID_EAC3 => "E-AC-3",
        well_known::CODEC_ID_AC4 => "AC-4",
        well_known::CODEC_ID_DCA => "DTS",
        well_known::CODEC_ID_TRUEHD => "TrueHD",
        well_known::CODEC_ID_WMA => "Windows Media Audio",
        well_known::CODEC_ID_WAVPACK => "WavPack",
        well_known::CODEC_ID_TTA => "True Audio",
        other => return format!("codec {other}"),
    };
    name.to_owned()
}

/// MP3 decoders here must not trim on their own: without a Xing header the demuxer's length is a guess, and it would cut there.
pub(crate) fn decoder(
    params: &AudioCodecParameters,
    is_mpeg: bool,
) -> Result<Box<dyn AudioDecoder>, Error> {
    let mut params = params.clone();
    if params
        .max_frames_per_packet
        .is_some_and(|frames| frames > MAX_PACKET_FRAMES)
    {
        return Err(Error::Undecodable(
            "its header names packets of an impossible size".to_owned(),
        ));
    }
    if params.sample_rate == Some(0)
        || params
            .channels
            .as_ref()
            .is_some_and(|channels| channels.count() == 0)
    {
        return Err(Error::Undecodable(
            "its header names no sample rate or no channels".to_owned(),
        ));
    }
    // An impossible count is refused by the limits later; a decoder must not allocate for it now.
    params.max_frames_per_packet = params.max_frames_per_packet.filter(|_| {
        params
            .channels
            .as_ref()
            .is_none_or(|channels| channels.count() <= 64)
    });
    let options = AudioDecoderOptions::default().gapless(!is_mpeg);
    guard(|| symphonia::default::get_codecs().make_audio_decoder(&params, &options))?
        .map_err(at_start)
}

impl Opened {
    pub(crate) fn is_mpeg(&self) -> bool {
        self.probe.media_type == "audio/mpeg"
    }

    /// Fills in what is known of the length.
    fn measure(&mut self, track: &Track, rows: Frames) {
        let rate = self.probe.sample_rate;
        let header_seconds = track
            .duration
            .filter(|duration| duration.get() > 0)
            .zip(track.time_base)
            .and_then(|(duration, base)| base.calc_duration(duration))
            .map(|time| time.as_secs_f64());
        let promised = match self.probe.format {
            "mp3" | "mp2" | "mp1" => {
                if rows.has_header {
                    let delay = u64::from(track.delay.unwrap_or(0));
                    let padding = u64::from(track.padding.unwrap_or(0));
                    self.span.start = delay;
                    // The place of the padding follows from the header even where the file goes on behind it.
                    if let Some(music) = track.num_frames {
                        self.hole = (padding > 0).then(|| delay + music..delay + music + padding);
                    }
                    rows.samples
                        .map(|samples| samples.saturating_sub(delay + padding))
                } else {
                    rows.samples
                }
            }
            "aac" => rows.samples,
            // Milliseconds and whole packets: good enough to show, not to miss samples by.
            "mkv" => None,
            "caf" if !self.probe.codec.starts_with("pcm") => None,
            "m4a" => header_seconds.map(|seconds| {
                let decoded = frames_in(seconds, rate);
                self.span
                    .end
                    .map_or(decoded, |end| end.min(decoded))
                    .saturating_sub(self.span.start)
            }),
            _ => track
                .num_frames
                .or_else(|| header_seconds.map(|seconds| frames_in(seconds, rate))),
        };
        self.promised = promised;
        self.probe.duration_seconds = match (promised, self.probe.format) {
            (Some(frames), _) if rate > 0 => Some(frames as f64 / f64::from(rate)),
            (None, "mkv" | "caf") => header_seconds.or_else(|| self.container_seconds()),
            _ => None,
        };
    }

    fn container_seconds(&self) -> Option<f64> {
        let info = self.reader.media_info();
        let (duration, base) = info
            .duration
            .filter(|duration| duration.get() > 0)
            .zip(info.time_base)?;
        base.calc_duration(duration).map(|time| time.as_secs_f64())
    }
}

fn frames_in(seconds: f64, rate: u32) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of samples, saturating"
    )]
    let frames = (seconds * f64::from(rate)).round() as u64;
    frames
}
