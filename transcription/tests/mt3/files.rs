//! Files of weights: both kinds hold the same, and wrong ones are refused by name.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use transcription::mt3::{Profile, Weights};

use super::{bytes, config, weights};

#[test]
fn both_formats_hold_the_same_weights() {
    let (one, other) = (weights("weights.safetensors"), weights("checkpoint.pt"));
    assert_eq!(one.shape, other.shape);
    let plain = |weights: &Weights| weights.to_safetensors(Profile::Seed).unwrap();
    assert!(plain(&one) == plain(&other));
    // What we wrote says itself what it is.
    let again = Weights::read(&plain(&one), None).unwrap();
    assert_eq!(
        (again.shape, again.profile),
        (one.shape, Some(Profile::Seed))
    );
    assert!(plain(&again) == plain(&one));
}

/// The golden weights with their numbers written in another way.
fn rewritten(kind: Dtype, write: impl Fn(f32) -> Vec<u8>) -> Vec<u8> {
    let good = bytes("weights.safetensors");
    let file = SafeTensors::deserialize(&good).unwrap();
    let written: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .iter()
        .map(|(name, view)| {
            let numbers = view.data().chunks_exact(4);
            let numbers = numbers.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
            (
                name.to_owned(),
                view.shape().to_vec(),
                numbers.flat_map(&write).collect(),
            )
        })
        .collect();
    let views = written.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(kind, shape.clone(), bytes).unwrap();
        (name, view)
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn numbers_may_be_written_in_other_widths() {
    let whole = weights("weights.safetensors")
        .to_safetensors(Profile::Seed)
        .unwrap();
    let read = |bytes: &[u8]| {
        let weights = Weights::read(bytes, Some(&config())).unwrap();
        weights.to_safetensors(Profile::Seed).unwrap()
    };
    let double = rewritten(Dtype::F64, |number| {
        f64::from(number).to_le_bytes().to_vec()
    });
    assert!(read(&double) == whole);
    // Half of the bits lost, then written in either width: the same numbers.
    let short = |number: f32| (number.to_bits() >> 16) as u16;
    let half = rewritten(Dtype::BF16, |number| short(number).to_le_bytes().to_vec());
    let cut = rewritten(Dtype::F32, |number| {
        (u32::from(short(number)) << 16).to_le_bytes().to_vec()
    });
    assert!(read(&half) == read(&cut) && read(&half) != whole);
    let whole_numbers = rewritten(Dtype::I32, |number| number.to_le_bytes().to_vec());
    let error = Weights::read(&whole_numbers, Some(&config()))
        .err()
        .unwrap();
    assert!(error.to_string().contains("I32"), "{error}");
}

#[test]
fn what_cannot_be_weights_by_its_size_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.safetensors");
    // Takes no room on the disk.
    fs_err::File::create(&long)
        .unwrap()
        .set_len(3 << 30)
        .unwrap();
    for (path, word) in [
        (long.as_path(), "bytes, more than"),
        ("/dev/zero".as_ref(), "not a file"),
        ("/nowhere/at/all".as_ref(), "no file"),
    ] {
        let error = Weights::open(path, None).err().unwrap();
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.code(), "model_unavailable");
    }
}

#[test]
fn wrong_weights_are_refused_by_name() {
    let good = bytes("weights.safetensors");
    let refused = |bytes: &[u8], config: Option<&str>| match Weights::read(bytes, config) {
        Ok(_) => panic!("wrong weights were taken"),
        Err(error) => {
            assert_eq!(
                (error.code(), error.retryable()),
                ("model_unavailable", false)
            );
            error.to_string()
        }
    };
    let config = config();
    let says = |bytes: &[u8], config: Option<&str>, word: &str| {
        let text = refused(bytes, config);
        assert!(text.contains(word), "{text}");
    };
    // Without sizes only the published network is read.
    says(&good, None, "--config");
    let other = |from: &str, to: &str| config.replacen(from, to, 1);
    says(
        &good,
        Some(&other("\"emb_dim\": 64", "\"emb_dim\": 72")),
        "[72]",
    );
    says(
        &good,
        Some(&other("\"num_heads\": 4", "\"num_heads\": 3")),
        "_proj",
    );
    says(
        &good,
        Some(&other(
            "\"num_decoder_layers\": 2",
            "\"num_decoder_layers\": 1",
        )),
        "decoder.layers.1.",
    );
    says(
        &good,
        Some(&other(
            "\"num_decoder_layers\": 2",
            "\"num_decoder_layers\": 3",
        )),
        "decoder.layers.2.",
    );
    says(&good, Some("[]"), "JSON");
    // Sizes that the file itself claims.
    let ours = weights("weights.safetensors")
        .to_safetensors(Profile::Seed)
        .unwrap();
    let (_, header) = SafeTensors::read_metadata(&ours).unwrap();
    let mut about = header.metadata().clone().unwrap();
    let sizes = about.get_mut("mt3").unwrap();
    let honest = sizes.clone();
    *sizes = honest.replacen("_encoder_layers\":2", "_encoder_layers\":1000", 1);
    assert_ne!(*sizes, honest);
    let tensors = SafeTensors::deserialize(&ours).unwrap().tensors();
    let claims = safetensors::serialize(tensors, Some(about)).unwrap();
    says(&claims, None, "its metadata: ");
    // A name changed in place: one is missing, another too many.
    let at = good.windows(7).position(|name| name == b".norm3.").unwrap();
    let mut renamed = good.clone();
    renamed[at..at + 7].copy_from_slice(b".norm9.");
    says(&renamed, Some(&config), "norm9");
    for cut in [0, 7, 100, good.len() / 2, good.len() - 1] {
        refused(&good[..cut], Some(&config));
    }
    let pt = bytes("checkpoint.pt");
    for cut in [4, 100, pt.len() / 2, pt.len() - 1] {
        refused(&pt[..cut], Some(&config));
    }
    // A pickle that wants to run something.
    let at = pt
        .windows(11)
        .position(|name| name == b"OrderedDict")
        .unwrap();
    let mut evil = pt.clone();
    evil[at..at + 11].copy_from_slice(b"OrderedEvil");
    refused(&evil, Some(&config));
    // Numbers that are none.
    let mut rubbish = good.clone();
    let end = rubbish.len();
    rubbish[end - 300_000..].fill(0xff);
    refused(&rubbish, Some(&config));
}
