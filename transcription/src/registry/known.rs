//! The networks of this build: what is known of each before anything is installed, and which published package brings it.

use crate::{Error, basic_pitch, harmonica, transkun};

/// One network.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) licence: &'static str,
    /// SHA-256 of the converted safetensors: the conversion is deterministic, so other bytes are other weights.
    pub(super) digest: &'static str,
    pub(super) package: &'static Package,
    /// The published file inside the package.
    pub(super) published: &'static str,
}

/// A wheel that carries weights.
pub(super) struct Package {
    pub(super) requirement: &'static str,
    pub(super) sha256: &'static str,
    /// Larger files are not read.
    pub(super) limit_bytes: u64,
}

static BASIC_PITCH: Package = Package {
    requirement: "basic-pitch==0.4.0",
    sha256: "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
    limit_bytes: 64 << 20,
};

static HARMONICA: Package = Package {
    requirement: "harmonica-amt==0.3.0",
    sha256: "1d398409227dc088cb9b306b1f034f898009a736723cae7435d04263e4287238",
    limit_bytes: 256 << 20,
};

static TRANSKUN: Package = Package {
    requirement: "transkun==2.0.1",
    sha256: "7d7f5bf88b0d21f7da0415b089cff3bcbcbdda04e1a3c9719964947942c859fe",
    limit_bytes: 256 << 20,
};

const HARMONICA_LICENCE: &str =
    "none stated by the package harmonica-amt 0.3.0: yours to fetch, not to pass on";

const fn harmonica(
    name: &'static str,
    description: &'static str,
    digest: &'static str,
    published: &'static str,
) -> Known {
    Known {
        name,
        description,
        licence: HARMONICA_LICENCE,
        digest,
        package: &HARMONICA,
        published,
    }
}

/// In the order in which they are listed.
pub(super) static KNOWN: &[Known] = &[
    Known {
        name: basic_pitch::NAME,
        description: "any instrument, light (16.7 thousand weights), pitch bends",
        licence: "Apache-2.0 (code and weights)",
        digest: "24e38d99c81d965cdb78e494cc08c5864c65f16b22c1398547183e4304800574",
        package: &BASIC_PITCH,
        published: "basic_pitch/saved_models/icassp_2022/nmp.onnx",
    },
    harmonica(
        "harmonica:nano",
        "one pitched instrument, 26 thousand weights, velocities",
        "43a9e3e76a463ca6fc0bf7e34106954c89a426d63065c3346d7ca846fde3e8d5",
        "harmonica/weights/harmonica-nano.pt",
    ),
    harmonica(
        "harmonica:small",
        "one pitched instrument, 137 thousand weights, velocities",
        "2bd6cd80e0e1c5f04d0a20828586222655287e795cf497b2dc88378232699fac",
        "harmonica/weights/harmonica-small.pt",
    ),
    harmonica(
        "harmonica:medium",
        "one pitched instrument, 679 thousand weights, velocities; `harmonica` alone means this one",
        "6a26b3e2514a411690db2eb9f3f25ece22998693fd94190c2f0ebcfe0a35c30b",
        "harmonica/weights/harmonica-medium.pt",
    ),
    harmonica(
        "harmonica:large",
        "one pitched instrument, 3.2 million weights, velocities; slow without a GPU",
        "e21ec74b1ef770507173f6aa402478bd518efa57f6d4689feac9e5a318601c96",
        "harmonica/weights/harmonica-large.pt",
    ),
    harmonica(
        "harmonica:x-large",
        "one pitched instrument, 15 million weights, velocities; for a GPU",
        "bbf5d857ddc6183e1673842aca4557538e4c4f993eab3629d6c6ed3b6997de3c",
        "harmonica/weights/harmonica-x-large.pt",
    ),
    Known {
        name: transkun::NAME,
        description: "piano, 14 million weights, velocities and pedals",
        licence: "MIT (code and weights)",
        digest: "080d5f9907a49bf5023eb07ae8d345bcfa0a208f6525000bcc6c62282222f6bd",
        package: &TRANSKUN,
        published: "transkun/pretrained/2.0.pt",
    },
];

/// The network of this name; a family's name alone means its default size.
pub(super) fn known(name: &str) -> Result<&'static Known, Error> {
    let canonical = canonical(name);
    KNOWN
        .iter()
        .find(|known| known.name == canonical)
        .ok_or_else(|| Error::ModelUnknown { name: name.into() })
}

/// What is pulled under this name: a family's name alone means all of its sizes.
pub(super) fn family(name: &str) -> Result<Vec<&'static Known>, Error> {
    if name == harmonica::FAMILY {
        return Ok(KNOWN
            .iter()
            .filter(|known| known.package.requirement == HARMONICA.requirement)
            .collect());
    }
    known(name).map(|known| vec![known])
}

/// The full name of what users may write short.
pub fn canonical(name: &str) -> &str {
    match harmonica::Size::of_model(name) {
        Some(size) => size.model,
        None => name,
    }
}
