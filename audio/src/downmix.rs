//! All channels to one, to the last bit as the reference stack (numpy's float32 mean) does it.

/// Replaces `mono` by the mean over the channels of each frame. A last incomplete frame is left out.
///
pub fn downmix(interleaved: &[f32], channels: u16, mono: &mut Vec<f32>) {
    mono.clear();
    match channels {
        0 => {}
        1 => mono.extend_from_slice(interleaved),
        _ => {
            let count = f32::from(channels);
            mono.extend(
                interleaved
                    .chunks_exact(usize::from(channels))
                    .map(|frame| sum(frame) / count),
            );
        }
    }
}

/// numpy's pairwise sum for up to 128 values: one running sum below eight values, else eight of them, which rounds differently.
fn sum(values: &[f32]) -> f32 {
    if values.len() < 8 {
        return values
            .iter()
            .copied()
            .reduce(|sum, value| sum + value)
            .unwrap_or(0.0);
    }
    let (rounds, tail) = values.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (index, round) in rounds.iter().enumerate() {
        for (sum, value) in sums.iter_mut().zip(round) {
            *sum = if index == 0 { *value } else { *sum + value };
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    tail.iter()
        .fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| {
            sum + value
        })
}

#[cfg(test)]
mod tests {
    use super::downmix;

    #[test]
    fn one_channel_is_kept_and_an_incomplete_frame_is_left_out() {
        let mut mono = vec![9.0];
        downmix(&[0.1, 0.2, 0.3], 1, &mut mono);
        assert_eq!(mono, [0.1, 0.2, 0.3]);
        downmix(&[1.0, 0.0, 0.5, -0.5, 0.7], 2, &mut mono);
        assert_eq!(mono, [0.5, 0.0]);
        downmix(&[1.0], 0, &mut mono);
        assert!(mono.is_empty());
    }
}
