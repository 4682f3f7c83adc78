//! Where the time axis has its marks.

/// Seconds between marks so that at most `most` of them fit.
pub(super) fn step(seconds: f64, most: usize) -> f64 {
    const STEPS: [f64; 15] = [
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
    ];
    let wanted = seconds / most.max(1) as f64;
    STEPS
        .into_iter()
        .find(|step| *step >= wanted)
        .unwrap_or_else(|| (wanted / 3600.0).ceil() * 3600.0)
}

/// The marks from 0 to the end.
pub(super) fn marks(seconds: f64, most: usize) -> impl Iterator<Item = f64> {
    let step = step(seconds, most);
    (0..=most)
        .map(move |index| index as f64 * step)
        .take_while(move |mark| *mark <= seconds)
}

/// `0`, `0.5`, `12`, `1:30`.
pub(super) fn label(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{}", (seconds * 10.0).round() / 10.0);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let whole = seconds.round() as u64;
    format!("{}:{:02}", whole / 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!(
            marks(7.3, 8).collect::<Vec<_>>(),
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        );
        assert_eq!(
            marks(183.0, 7).collect::<Vec<_>>(),
            [0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0]
        );
        assert!(marks(1e9, 7).count() <= 8);
        assert_eq!(
            [0.0, 0.5, 12.0, 90.0, 3600.0].map(label),
            ["0", "0.5", "12", "1:30", "60:00"]
        );
    }
}
