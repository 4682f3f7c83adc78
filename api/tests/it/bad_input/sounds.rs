//! Recordings that nobody makes: giant covers, no samples, a week of silence, rates and channels beyond all sense. Made here,
//! because what matters about them is their size or one wrong number.

/// A WAV file with this header and these data; `bits` 32 and `format` 3 are floats.
pub(crate) fn wav(rate: u32, channels: u16, bits: u16, format: u16, data: &[u8]) -> Vec<u8> {
    let align = channels.wrapping_mul(bits / 8);
    let length = u32::try_from(data.len()).unwrap();
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0");
    wav.extend(format.to_le_bytes());
    wav.extend(channels.to_le_bytes());
    wav.extend(rate.to_le_bytes());
    wav.extend(rate.wrapping_mul(u32::from(align)).to_le_bytes());
    wav.extend(align.to_le_bytes());
    wav.extend(bits.to_le_bytes());
    wav.extend(b"data");
    wav.extend(length.to_le_bytes());
    wav.extend(data);
    wav
}

/// Floats as WAV data.
pub(crate) fn floats(samples: &[f32]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

/// Frames of 65,535 zero samples each, 1.49 s at 44.1 kHz in 14 to 18 bytes: `bytes` of them, at least. `samples` is what the
/// header says (0: unknown), `cover` how large a picture stands in front.
pub(crate) fn silent_flac(bytes: usize, samples: u64, cover: usize) -> Vec<u8> {
    let mut flac = b"fLaC".to_vec();
    let last_of_info = if cover == 0 { 0x80 } else { 0 };
    flac.extend([last_of_info, 0, 0, 34]);
    flac.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0]);
    // 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of length.
    let packed = (44_100u64 << 44) | (15 << 36) | (samples & 0xf_ffff_ffff);
    flac.extend(packed.to_be_bytes());
    flac.extend([0; 16]);
    pictures(&mut flac, cover);
    let table = crc16_table();
    let mut number = 0;
    while flac.len() < bytes || number == 0 {
        let begin = flac.len();
        // A fixed block size of 65,535 in two bytes, the rate of the header, mono, its bits.
        flac.extend([0xff, 0xf8, 0x70, 0x00]);
        flac.extend(coded(number));
        flac.extend(0xfffe_u16.to_be_bytes());
        flac.push(crc8(&flac[begin..]));
        // A constant subframe: one zero sample.
        flac.extend([0, 0, 0]);
        let checksum = flac[begin..].iter().fold(0u16, |crc, byte| {
            (crc << 8) ^ table[usize::from((crc >> 8) as u8 ^ byte)]
        });
        flac.extend(checksum.to_be_bytes());
        number += 1;
    }
    flac
}

/// A block of metadata has 24 bits for its length, so a large picture is several.
fn pictures(flac: &mut Vec<u8>, mut cover: usize) {
    while cover > 0 {
        let piece = cover.min(12 << 20);
        cover -= piece;
        let mut picture = Vec::new();
        picture.extend(3_u32.to_be_bytes());
        picture.extend(9_u32.to_be_bytes());
        picture.extend(b"image/png");
        picture.extend([0; 20]);
        picture.extend(u32::try_from(piece).unwrap().to_be_bytes());
        picture.resize(picture.len() + piece, b'P');
        flac.push(if cover == 0 { 0x86 } else { 0x06 });
        flac.extend(&u32::try_from(picture.len()).unwrap().to_be_bytes()[1..]);
        flac.extend(picture);
    }
}

/// The number of a frame, as UTF-8 would write it, beyond where UTF-8 ends.
fn coded(number: u32) -> Vec<u8> {
    if number < 0x80 {
        return vec![number as u8];
    }
    let mut more = 1;
    while number >> (5 * more + 6) != 0 {
        more += 1;
    }
    let lead = (0xff00_u32 >> (more + 1)) as u8;
    let mut bytes = vec![lead | (number >> (6 * more)) as u8];
    bytes.extend(
        (0..more)
            .rev()
            .map(|at| 0x80 | (number >> (6 * at) & 0x3f) as u8),
    );
    bytes
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| {
            if crc & 0x80 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x07
            }
        })
    })
}

fn crc16_table() -> Vec<u16> {
    let entry = |byte: u16| {
        (0..8).fold(byte << 8, |crc: u16, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x8005
            }
        })
    };
    (0..256).map(entry).collect()
}

/// An ID3v2.4 tag with a picture of so many bytes, in front of an MP3.
pub(crate) fn with_id3_cover(mp3: &[u8], cover: usize) -> Vec<u8> {
    let mut frame = b"\0image/png\0\x03\0".to_vec();
    frame.resize(frame.len() + cover, b'P');
    let mut tag = b"APIC".to_vec();
    tag.extend(seven_bits(frame.len()));
    tag.extend([0, 0]);
    tag.extend(frame);
    let mut file = b"ID3\x04\0\0".to_vec();
    file.extend(seven_bits(tag.len()));
    file.extend(tag);
    file.extend(mp3);
    file
}

fn seven_bits(number: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (number >> shift & 0x7f) as u8)
}

/// The cover at the end of the index of an MP4 whose index stands behind its samples.
pub(crate) fn with_mp4_cover(m4a: &[u8], cover: usize) -> Vec<u8> {
    let at = m4a.windows(4).rposition(|name| name == b"moov").unwrap() - 4;
    let length = u32::from_be_bytes(m4a[at..at + 4].try_into().unwrap());
    assert_eq!(at + length as usize, m4a.len(), "the index stands last");
    let atom = |name: &[u8; 4], inner: Vec<u8>| {
        let mut bytes = u32::try_from(inner.len() + 8)
            .unwrap()
            .to_be_bytes()
            .to_vec();
        bytes.extend(name);
        bytes.extend(inner);
        bytes
    };
    let mut data = vec![0, 0, 0, 14, 0, 0, 0, 0];
    data.resize(data.len() + cover, b'P');
    let list = atom(b"ilst", atom(b"covr", atom(b"data", data)));
    let handler = atom(
        b"hdlr",
        b"\0\0\0\0\0\0\0\0mdirappl\0\0\0\0\0\0\0\0\0".to_vec(),
    );
    let meta = atom(b"meta", [vec![0; 4], handler, list].concat());
    let about = atom(b"udta", meta);
    let mut file = m4a.to_vec();
    let longer = length + u32::try_from(about.len()).unwrap();
    file[at..at + 4].copy_from_slice(&longer.to_be_bytes());
    file.extend(about);
    file
}

/// A chunk of so many bytes in front of the samples of a WAV file.
pub(crate) fn with_wav_chunk(wav: &[u8], name: &[u8; 4], bytes: usize) -> Vec<u8> {
    let mut file = wav[..12].to_vec();
    file.extend(name);
    file.extend(u32::try_from(bytes).unwrap().to_le_bytes());
    file.resize(file.len() + bytes, b'P');
    file.extend(&wav[12..]);
    let length = u32::try_from(file.len() - 8).unwrap();
    file[4..8].copy_from_slice(&length.to_le_bytes());
    file
}
