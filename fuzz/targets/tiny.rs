//! The smallest network MT3 that there can be, and what must hold of any weights of it that were taken.

use transcription::mt3::{Profile, Shape, Weights};

/// No layers: five tensors.
pub const SHAPE: Shape = Shape {
    vocabulary: 4,
    width: 4,
    heads: 1,
    head_width: 4,
    encoder_layers: 0,
    decoder_layers: 0,
    mlp_width: 4,
    frames: 256,
    positions: 1_024,
};
/// Its configuration; what it leaves out the tensors say.
pub const CONFIG: &str = r#"{"num_heads": 1, "head_dim": 4, "mlp_dim": 4}"#;

/// Whether a file is taken. What was taken can be installed: written in our own form and read back as the same.
pub fn taken(file: &[u8], config: Option<&str>) -> bool {
    let Ok(weights) = Weights::read(file, config) else {
        return false;
    };
    let written = weights.to_safetensors(Profile::default());
    let written = written.expect("weights that were read can be written");
    let again = Weights::read(&written, None).expect("what we wrote can be read");
    assert_eq!(again.shape, weights.shape);
    let twice = again.to_safetensors(Profile::default());
    assert!(twice.expect("it can be written again") == written);
    true
}
