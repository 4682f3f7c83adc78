//! What one network reached: a row of the table, with what it was measured with. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{Interval, interval};
use crate::metrics::Measures;
use crate::run::Clip;
use crate::session::Session;
use crate::transcribe::{BASELINE, Transcribed};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The network, and how it was run where that is not the usual way.
    pub(crate) label: String,
    /// Mean onset F of each group's clips.
    pub(crate) groups: BTreeMap<String, f64>,
    pub(crate) onset: Interval,
    pub(crate) onset_10ms: Interval,
    pub(crate) offset: Interval,
    pub(crate) velocity: Interval,
    pub(crate) times_real_time: f64,
    pub(crate) measured: Session,
    /// Digest of the weights; the baseline has none.
    pub(crate) weights: Option<String>,
    /// Onset F of each clip in the corpus' order, so that a later run can be compared clip by clip.
    pub(crate) clips: Vec<f64>,
}

impl Row {
    pub(crate) fn new(
        label: String,
        clips: &[Clip],
        measures: &[Measures],
        heard: &Transcribed,
        measured: Session,
        seed: u64,
    ) -> Row {
        let pieces: Vec<&str> = clips.iter().map(|clip| clip.piece.as_str()).collect();
        let range = |of: fn(&Measures) -> f64| {
            let values: Vec<f64> = measures.iter().map(of).collect();
            interval(&values, &pieces, seed)
        };
        let mut by_group: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (clip, measures) in clips.iter().zip(measures) {
            by_group
                .entry(clip.group.word())
                .or_default()
                .push(measures.onset.f);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        Row {
            label,
            groups: by_group
                .iter()
                .map(|(group, values)| ((*group).to_owned(), mean(values)))
                .collect(),
            onset: range(|m| m.onset.f),
            onset_10ms: range(|m| m.onset_10ms.f),
            offset: range(|m| m.offset.f),
            velocity: range(|m| m.velocity.f),
            times_real_time: heard.audio_seconds / heard.wall_seconds,
            measured,
            weights: heard.weights.clone(),
            clips: measures.iter().map(|m| m.onset.f).collect(),
        }
    }
}

/// How a row is called: the network, then what is not as usual. The baseline is run in one way only.
pub(crate) fn label(model: &str, precision: &str, libtorch: bool, device: &str) -> String {
    if model == BASELINE {
        return model.to_owned();
    }
    let mut label = model.to_owned();
    for (unusual, word) in [
        (precision != "f32", precision),
        (libtorch, "libtorch"),
        (device != "cpu", device),
    ] {
        if unusual {
            label += ", ";
            label += word;
        }
    }
    label
}

/// As people read it.
pub(crate) fn name(label: &str) -> &str {
    if label == BASELINE {
        "spectral peaks (baseline)"
    } else {
        label
    }
}

/// The order of the table's rows, whichever run brought them; what is not named comes last.
const ORDER: [&str; 9] = [
    BASELINE,
    "basic-pitch",
    "harmonica:nano",
    "harmonica:small",
    "harmonica:medium",
    "harmonica:large",
    "harmonica:x-large",
    "transkun",
    "mt3",
];

pub(crate) fn sort(rows: &mut [Row]) {
    rows.sort_by_key(|row| {
        let model = row.label.split(", ").next().unwrap_or_default();
        let known = ORDER.iter().position(|known| *known == model);
        (known.unwrap_or(ORDER.len()), row.label.clone())
    });
}

/// A row whose clips reached this, for tests: as well in every measure.
#[cfg(test)]
pub(crate) fn row(label: &str, clips: &[f64], measured: Session) -> Row {
    let mean = clips.iter().sum::<f64>() / clips.len() as f64;
    let all = Interval {
        mean,
        low: mean - 0.02,
        high: mean + 0.02,
    };
    Row {
        label: label.to_owned(),
        groups: BTreeMap::from([("piano".to_owned(), mean)]),
        onset: all,
        onset_10ms: all,
        offset: all,
        velocity: all,
        times_real_time: 12.34,
        measured,
        weights: None,
        clips: clips.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::session;

    #[test]
    fn rows_stand_in_one_order_whichever_run_brought_them() {
        let sorted = [
            "peaks",
            "harmonica:small",
            "harmonica:small, bf16",
            "harmonica:large",
            "transkun",
            "new",
        ];
        let mut rows: Vec<Row> = [4, 5, 2, 3, 0, 1]
            .into_iter()
            .map(|at: usize| row(sorted[at], &[0.5], session("2026-11-30", "a CPU", 2)))
            .collect();
        sort(&mut rows);
        let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(labels, sorted);
    }

    #[test]
    fn a_label_tells_what_is_not_as_usual() {
        for (model, precision, libtorch, device, expected) in [
            ("transkun", "f32", false, "cpu", "transkun"),
            ("harmonica", "bf16", false, "cuda", "harmonica, bf16, cuda"),
            (
                "harmonica",
                "bf16",
                true,
                "cpu",
                "harmonica, bf16, libtorch",
            ),
            ("peaks", "bf16", true, "cuda", "peaks"),
        ] {
            assert_eq!(label(model, precision, libtorch, device), expected);
        }
    }
}
