//! Files of weights: both kinds hold the same, and wrong ones are refused by name.

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
