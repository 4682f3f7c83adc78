//! Pickles written by hand, opcode by opcode: what is read, and what is refused and by which words.

use std::io::Write;

use super::*;

/// A checkpoint of one pickle and its storages.
fn zip(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    writer.start_file("model/data.pkl", options).unwrap();
    writer.write_all(pickle).unwrap();
    writer.start_file("model/byteorder", options).unwrap();
    writer.write_all(b"little").unwrap();
    for (key, bytes) in storages {
        writer
            .start_file(format!("model/data/{key}"), options)
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn text(word: &str) -> Vec<u8> {
    [
        b"X",
        &(word.len() as u32).to_le_bytes()[..],
        word.as_bytes(),
    ]
    .concat()
}

/// A tensor of `numbers` in storage `key`, with this offset, size and strides.
fn tensor(key: &str, count: u8, offset: u8, size: &[u8], strides: &[u8]) -> Vec<u8> {
    let tuple = |sizes: &[u8]| {
        let items: Vec<u8> = sizes.iter().flat_map(|size| [b'K', *size]).collect();
        [b"(", &items[..], b"t"].concat()
    };
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage")[..],
        b"ctorch\nFloatStorage\n",
        &text(key),
        &text("cpu"),
        &[b'K', count],
        b"tQ",
        &[b'K', offset],
        &tuple(size),
        &tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// `{"model": {"w": tensor}}`
fn model(tensor: &[u8]) -> Vec<u8> {
    [
        b"\x80\x02}",
        &text("model")[..],
        b"}",
        &text("w"),
        tensor,
        b"ss.",
    ]
    .concat()
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn refusal(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> String {
    let bytes = zip(pickle, storages);
    let mut checkpoint = match Checkpoint::open(&bytes) {
        Ok(checkpoint) => checkpoint,
        Err(reason) => return reason,
    };
    checkpoint.tensors(&["model"]).unwrap_err()
}

#[test]
fn tensors_come_out_row_major_whatever_their_strides() {
    let storage = [("0", floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]))];
    let bytes = zip(&model(&tensor("0", 7, 1, &[2, 3], &[3, 1])), &storage);
    let read = Checkpoint::open(&bytes)
        .unwrap()
        .tensors(&["model"])
        .unwrap();
    assert_eq!(read[0].0, "w");
    assert_eq!(read[0].1.shape, [2, 3]);
    assert_eq!(read[0].1.numbers, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let bytes = zip(&model(&tensor("0", 7, 1, &[3, 2], &[1, 3])), &storage);
    let read = Checkpoint::open(&bytes)
        .unwrap()
        .tensors(&["model"])
        .unwrap();
    assert_eq!(read[0].1.numbers, [2.0, 5.0, 3.0, 6.0, 4.0, 7.0]);
}

#[test]
fn tensors_may_share_a_storage_which_is_read_once() {
    let pickle = [
        b"\x80\x02}(".as_slice(),
        &text("b"),
        &tensor("1", 2, 0, &[2], &[1]),
        &text("a"),
        &tensor("0", 4, 2, &[2], &[1]),
        &text("c"),
        &tensor("1", 2, 1, &[3], &[0]),
        &text("d"),
        &tensor("0", 4, 0, &[2, 2], &[1, 2]),
        b"u.",
    ]
    .concat();
    let storages = [
        ("0", floats(&[1.0, 2.0, 3.0, 4.0])),
        ("1", floats(&[5.0, 6.0])),
    ];
    let bytes = zip(&pickle, &storages);
    let mut checkpoint = Checkpoint::open(&bytes).unwrap();
    let shapes = checkpoint.shapes(&[]).unwrap();
    let read: Vec<_> = checkpoint
        .tensors(&[])
        .unwrap()
        .into_iter()
        .map(|(name, array)| (name, array.shape, array.numbers))
        .collect();
    let expected: [(String, Vec<usize>, Vec<f32>); 4] = [
        ("b", vec![2], vec![5.0, 6.0]),
        ("a", vec![2], vec![3.0, 4.0]),
        ("c", vec![3], vec![6.0; 3]),
        ("d", vec![2, 2], vec![1.0, 3.0, 2.0, 4.0]),
    ]
    .map(|(name, shape, numbers)| (name.to_owned(), shape, numbers));
    assert_eq!(read, expected);
    assert_eq!((checkpoint.read.stored, checkpoint.read.given), (6, 11));
    let only = expected.map(|(name, shape, _)| (name, shape));
    assert_eq!(shapes, only);
    // What is not wanted is not read.
    let mut checkpoint = Checkpoint::open(&bytes).unwrap();
    checkpoint.tensors_where(&[], |name| name == "a").unwrap();
    assert_eq!(checkpoint.read.stored, 4);
    // Two that do not agree on how long it is.
    let pickle = [
        b"\x80\x02}(".as_slice(),
        &text("a"),
        &tensor("0", 4, 0, &[2], &[1]),
        &text("b"),
        &tensor("0", 3, 0, &[2], &[1]),
        b"u.",
    ]
    .concat();
    let bytes = zip(&pickle, &storages);
    let refused = Checkpoint::open(&bytes).unwrap().tensors(&[]).unwrap_err();
    assert!(
        refused.contains("`b`") && refused.contains("3 numbers"),
        "{refused}"
    );
}

#[test]
fn plain_values_are_read() {
    let pickle = [
        b"\x80\x02}(".as_slice(),
        &text("a"),
        b"M\x01\x02",
        &text("b"),
        b"G\x3f\xe0\0\0\0\0\0\0",
        &text("c"),
        b"\x88",
        &text("d"),
        b"\x8a\x02\xff\xff",
        &text("e"),
        b"N",
        &text("f"),
        &text("word"),
        b"u.",
    ]
    .concat();
    let bytes = zip(&pickle, &[]);
    let checkpoint = Checkpoint::open(&bytes).unwrap();
    let get = |name: &str| checkpoint.root().get(name).unwrap();
    assert_eq!(get("a").int(), Some(513));
    assert_eq!(get("b").number(), Some(0.5));
    assert_eq!(get("c").truth(), Some(true));
    assert_eq!(get("d").int(), Some(-1));
    assert!(get("e").is_none());
    assert_eq!(get("f").text(), Some("word"));
    assert!(checkpoint.root().get("g").is_err());
}

#[test]
fn a_parameter_is_its_tensor() {
    let parameter = |inside: &[u8]| {
        let call = b"ctorch._utils\n_rebuild_parameter\n(".as_slice();
        [call, inside, b"\x88ccollections\nOrderedDict\n)RtR"].concat()
    };
    let storage = [("0", floats(&[1.0, 2.0]))];
    let pickle = model(&parameter(&tensor("0", 2, 0, &[2], &[1])));
    let bytes = zip(&pickle, &storage);
    let read = Checkpoint::open(&bytes)
        .unwrap()
        .tensors(&["model"])
        .unwrap();
    assert_eq!(read[0].1.numbers, [1.0, 2.0]);
    let of_none = refusal(&model(&parameter(b"N")), &storage);
    assert!(of_none.contains("not a tensor"), "{of_none}");
    let empty = b"\x80\x02ctorch._utils\n_rebuild_parameter\n)R.";
    assert!(refusal(empty, &[]).contains("of nothing"));
}

#[test]
fn code_is_refused_by_name() {
    let system = [
        b"\x80\x02cos\nsystem\n".as_slice(),
        &text("true"),
        b"\x85R.",
    ]
    .concat();
    assert!(refusal(&system, &[]).contains("os.system"));
    let stacked = [
        b"\x80\x04".as_slice(),
        &text("builtins"),
        &text("eval"),
        b"\x93.",
    ]
    .concat();
    assert!(refusal(&stacked, &[]).contains("builtins.eval"));
    // An allowed word called as it never is.
    assert!(refusal(b"\x80\x02ctorch\nFloatStorage\n)R.", &[]).contains("rebuilt"));
    // NEWOBJ, INST, EXT1, OBJ, NEWOBJ_EX, PERSID: never needed.
    for opcode in [b"\x81", b"i", b"\x82", b"o", b"\x92", b"P"] {
        let pickle = [b"\x80\x02}".as_slice(), opcode, b"."].concat();
        assert!(refusal(&pickle, &[]).contains("opcode"), "{opcode:?}");
    }
}

#[test]
fn sizes_that_lie_are_refused() {
    let storage = || [("0", floats(&[1.0; 4]))];
    for (size, strides, offset) in [
        (&[5u8][..], &[1u8][..], 0),
        (&[2, 2], &[2, 1], 1),
        (&[2, 2], &[9, 1], 0),
    ] {
        let pickle = model(&tensor("0", 4, offset, size, strides));
        assert!(
            refusal(&pickle, &storage()).contains("past the end"),
            "{size:?}"
        );
    }
    let count = refusal(&model(&tensor("0", 9, 0, &[4], &[1])), &storage());
    assert!(count.contains("9 numbers"), "{count}");
    let more = refusal(&model(&tensor("0", 3, 0, &[3], &[1])), &storage());
    assert!(more.contains("larger"), "{more}");
    let uneven = refusal(&model(&tensor("0", 4, 0, &[4], &[1, 1])), &storage());
    assert!(uneven.contains("strides"), "{uneven}");
    let huge = [255u8; 8];
    let size = refusal(&model(&tensor("0", 4, 0, &huge, &[0; 8])), &storage());
    assert!(size.contains("too large"), "{size}");
    // Copied for each tensor that names them: a short pickle could ask for any amount of memory.
    let axes = refusal(&model(&tensor("0", 4, 0, &[1; 9], &[1; 9])), &storage());
    assert!(axes.contains("9 sizes"), "{axes}");
    let long = "0".repeat(21);
    let key = refusal(&model(&tensor(&long, 4, 0, &[4], &[1])), &storage());
    assert!(key.contains("not a storage"), "{key}");
    let missing = refusal(&model(&tensor("1", 4, 0, &[4], &[1])), &storage());
    assert!(missing.contains("data/1"), "{missing}");
    let path = refusal(&model(&tensor("../0", 4, 0, &[4], &[1])), &storage());
    assert!(path.contains("not a storage"), "{path}");
}

#[test]
fn broken_pickles_end_in_a_reason() {
    let whole = model(&tensor("0", 4, 0, &[4], &[1]));
    for length in 0..whole.len() {
        assert!(machine::run(&whole[..length]).is_err(), "{length} bytes");
    }
    for pickle in [
        &b"\x80\x02s."[..],
        b"\x80\x02h\x07.",
        b"\x80\x02]}u.",
        b"\x80\x02(\x85.",
        b"\x80\x02K\x01(b.",
        b"\x80\x09.",
    ] {
        assert!(machine::run(pickle).is_err(), "{pickle:?}");
    }
}

/// Any byte changed may be refused or give other data, but never a panic or a read outside.
#[test]
fn random_damage_never_panics() {
    let seed = 20_261_124u64;
    println!("seed {seed}");
    let mut state = seed;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    let whole = model(&tensor("0", 4, 0, &[2, 2], &[2, 1]));
    for _ in 0..20_000 {
        let mut damaged = whole.clone();
        for _ in 0..=next() % 3 {
            let at = next() as usize % damaged.len();
            damaged[at] = next() as u8;
        }
        if let Ok((nodes, root)) = machine::run(&damaged) {
            let _ = Value::new(&nodes, root).entries();
            for node in &nodes {
                if let Node::Tensor(view) = node
                    && view.check(1 << 16).is_ok()
                {
                    let _ = view.places().count();
                }
            }
        }
    }
}
