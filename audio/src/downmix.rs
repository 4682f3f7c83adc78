//! All channels to one.

/// Replaces `mono` by the mean over the channels of each frame.
pub fn downmix(_interleaved: &[f32], _channels: u16, _mono: &mut Vec<f32>) {
    todo!()
}
