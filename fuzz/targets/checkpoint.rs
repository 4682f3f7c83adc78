//! Any bytes as a file that `torch.save` wrote, and any bytes as the pickle in a whole one (the first byte says which), to each network
//! that is read from such files. Refused, never a panic or memory without bound; what of MT3's is taken can be installed.
#![no_main]

mod tiny;

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use transcription::harmonica::config::SIZES;
use transcription::registry::{convert_harmonica, convert_transkun};
use transcription::transkun::Shape;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Smaller than the published one.
const TRANSKUN: Shape = Shape {
    base: 16,
    layers: 1,
    inner: 16,
    hop_seconds: 1,
};
/// Numbers of the storage `0` of every file: as many as the largest tensor of the tiny network has.
const STORED: u16 = 2_048;

fuzz_target!(init: prove(), |input: &[u8]| {
    let Some((how, bytes)) = input.split_first() else {
        return;
    };
    if how % 2 == 0 {
        read(bytes);
    } else {
        read(&zipped(bytes));
    }
});

/// To each reader.
fn read(file: &[u8]) {
    tiny::taken(file, None);
    tiny::taken(file, Some(tiny::CONFIG));
    let _ = convert_harmonica(&SIZES[0], file);
    let _ = convert_transkun(&TRANSKUN, file);
}

/// A whole file around a pickle, as `torch.save` writes it.
fn zipped(pickle: &[u8]) -> Vec<u8> {
    let numbers: Vec<u8> = (0..STORED)
        .flat_map(|at| (f32::from(at) / f32::from(STORED)).to_le_bytes())
        .collect();
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let entries: [(&str, &[u8]); 4] = [
        ("model/data.pkl", pickle),
        ("model/byteorder", b"little"),
        ("model/data/0", &numbers),
        ("model/data/1", &numbers[..16]),
    ];
    for (name, bytes) in entries {
        let started = writer.start_file(name, options);
        started.expect("a file of a zip can be begun");
        writer.write_all(bytes).expect("a vector takes every byte");
    }
    let whole = writer.finish().expect("a zip can be finished");
    whole.into_inner()
}

/// The target is not dead: a pickle of the tiny network is taken, and what is no network of the others is refused for its tensors alone.
fn prove() {
    let tensors = dictionary(&tiny::SHAPE.tensors());
    let file = zipped(&[b"\x80\x02", &tensors[..], b"."].concat());
    assert!(
        tiny::taken(&file, Some(tiny::CONFIG)),
        "the good pickle is refused"
    );
    let inside = [b"\x80\x02}", &text("state_dict")[..], &tensors, b"s."].concat();
    let refused = convert_transkun(&TRANSKUN, &zipped(&inside));
    let reason = refused.expect_err("it is another network");
    assert!(reason.contains("no tensor"), "{reason}");
}

fn text(word: &str) -> Vec<u8> {
    let length = (word.len() as u32).to_le_bytes();
    [b"X", &length[..], word.as_bytes()].concat()
}

fn whole(number: usize) -> Vec<u8> {
    let number = u16::try_from(number).expect("numbers of the tiny network are small");
    [b"M", &number.to_le_bytes()[..]].concat()
}

fn tuple(numbers: &[usize]) -> Vec<u8> {
    let items: Vec<u8> = numbers.iter().flat_map(|number| whole(*number)).collect();
    [b"(", &items[..], b"t"].concat()
}

/// A dictionary of tensors, all of them views of the storage `0`.
fn dictionary(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let mut pickle = b"}(".to_vec();
    for (name, shape) in tensors {
        let strides: Vec<usize> = (1..=shape.len())
            .map(|axis| shape[axis..].iter().product())
            .collect();
        pickle.extend(text(name));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(b"ctorch\nFloatStorage\n");
        pickle.extend(text("0"));
        pickle.extend(text("cpu"));
        pickle.extend(whole(STORED.into()));
        pickle.extend(b"tQ");
        pickle.extend(whole(0));
        pickle.extend(tuple(shape));
        pickle.extend(tuple(&strides));
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.push(b'u');
    pickle
}
