//! Names: what the demuxers' short words mean to people, and what well-known files are that no demuxer here reads.

/// Containers that are recognised only to say so.
pub(crate) fn foreign(head: &[u8]) -> Option<&'static str> {
    const FOREIGN: &[(&[u8], &str)] = &[
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (WMA)"),
        (b"#!AMR", "AMR"),
        (b"MAC ", "Monkey's Audio"),
        (b"wvpk", "WavPack"),
        (b"MPCK", "Musepack"),
        (b"MP+", "Musepack"),
        (b"DSD ", "DSD"),
        (b"FRM8", "DSD"),
        (b"TTA1", "True Audio"),
        (b".RMF", "RealAudio"),
        (b"MThd", "MIDI, which holds notes already"),
        (b"FLV\x01", "Flash video"),
        (b"\x0b\x77", "AC-3"),
    ];
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ") {
        return Some("AVI");
    }
    FOREIGN
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, name)| *name)
}

/// Our word and the media type of a demuxer's format.
pub(crate) fn format(short_name: &str, codec: &str) -> (&'static str, &'static str) {
    match short_name {
        "wave" => ("wav", "audio/wav"),
        "flac" => ("flac", "audio/flac"),
        "mp3" => ("mp3", "audio/mpeg"),
        "mp2" => ("mp2", "audio/mpeg"),
        "mp1" => ("mp1", "audio/mpeg"),
        "ogg" => ("ogg", "audio/ogg"),
        "isomp4" => ("m4a", "audio/mp4"),
        "aac" => ("aac", "audio/aac"),
        "aiff" => ("aiff", "audio/aiff"),
        "caf" => ("caf", "audio/x-caf"),
        "matroska" | "mkv" if codec == "vorbis" => ("mkv", "audio/webm"),
        "matroska" | "mkv" => ("mkv", "audio/x-matroska"),
        _ => ("audio", "application/octet-stream"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_files_have_names() {
        assert_eq!(foreign(b"RIFF\0\0\0\0AVI LIST"), Some("AVI"));
        assert_eq!(foreign(b"RIFF\0\0\0\0WAVEfmt "), None);
        assert_eq!(
            foreign(b"MThd\0\0\0\x06"),
            Some("MIDI, which holds notes already")
        );
        assert_eq!(foreign(b""), None);
    }
}
