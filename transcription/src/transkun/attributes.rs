//! What the network says of an interval beside its frames: how hard it was struck, where between two frames it begins and ends, and
//! whether it begins and ends inside the segment at all.

/// The logits of an interval's times, as the package orders them.
pub(super) const TIMES: usize = 4;

/// One interval's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attributes {
    pub velocity: u8,
    /// Frames to be added to the first and to the last.
    pub shifts: [f32; 2],
    /// Whether it would count as begun, or ended, at the segment's edge.
    pub present: [bool; 2],
}

impl Attributes {
    /// `velocity`: a logit for each; the first of the highest is taken.
    pub fn new(velocity: &[f32], times: &[f32]) -> Self {
        let mut best = 0;
        for (at, logit) in velocity.iter().enumerate() {
            if *logit > velocity[best] {
                best = at;
            }
        }
        Attributes {
            velocity: best.min(127) as u8,
            shifts: [shift(times[0]), shift(times[1])],
            present: [times[2] > 0.0, times[3] > 0.0],
        }
    }
}

/// Where in the frame: the mean of a continuous Bernoulli distribution, from -1/2 to 1/2.
fn shift(logit: f32) -> f32 {
    let p = (1.0 / (1.0 + (-logit).exp())).clamp(f32::EPSILON, 1.0 - f32::EPSILON);
    let mean = if p <= 0.499 || p > 0.501 {
        p / (2.0 * p - 1.0) + 1.0 / ((-p).ln_1p() - p.ln())
    } else {
        // Its Taylor series around one half, where the quotients above have no digits left.
        let from_half = p - 0.5;
        0.5 + (1.0 / 3.0 + 16.0 / 45.0 * from_half * from_half) * from_half
    };
    ((mean - 0.5) / 0.99).clamp(-0.5, 0.5)
}

/// The intervals of one symbol that some path through a segment may take.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Track {
    /// First and last frame, ascending as [`super::semi_crf::Paths::all`] lists them.
    pub intervals: Vec<(u16, u16)>,
    /// One for each.
    pub attributes: Vec<Attributes>,
}

/// What the network found in one segment: a track for each symbol. Which of a track's intervals sound depends on the segment before.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    pub tracks: Vec<Track>,
    /// Whether the segment held nothing but zeros.
    pub silent: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_are_the_means_of_continuous_bernoulli_distributions() {
        // The closed form in float64. Near zero the quotients lose digits, the package's as ours, until the series takes over.
        for at in -2000..2000 {
            let logit = at as f32 * 0.005 + 0.002_5;
            let exact = 1.0 / (1.0 - (-f64::from(logit)).exp()) - 1.0 / f64::from(logit);
            let exact = ((exact - 0.5) / 0.99).clamp(-0.5, 0.5);
            let gap = (f64::from(shift(logit)) - exact).abs();
            let most = if logit.abs() < 0.2 { 5e-3 } else { 2e-4 };
            assert!(gap < most, "{logit}: {}, {exact}", shift(logit));
        }
        assert_eq!(shift(0.0), 0.0);
        assert!(shift(-1e9) >= -0.5 && shift(1e9) <= 0.5);
    }

    #[test]
    fn the_first_of_the_highest_velocities_is_taken() {
        let mut logits = [0f32; 128];
        (logits[40], logits[41]) = (2.0, 2.0);
        let attributes = Attributes::new(&logits, &[0.0, 0.0, 1.0, -1.0]);
        assert_eq!(
            (attributes.velocity, attributes.present),
            (40, [true, false])
        );
    }
}
