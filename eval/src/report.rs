//! The table, and where results are kept between runs of the same corpus.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result as Anyhow};
use serde::{Deserialize, Serialize};

use crate::bootstrap::{Interval, interval};
use crate::clip::Group;
use crate::metrics::Measures;
use crate::{plot, transcribe};

const PAGE: &str = "docs/models.md";
const PLOT: &str = "docs/images/models.svg";
const BEGIN: &str = "<!-- eval: begin (written by make eval) -->";
const END: &str = "<!-- eval: end -->";

/// What one network reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Result {
    pub(crate) model: String,
    /// Mean onset F of each group's clips.
    pub(crate) groups: BTreeMap<String, f64>,
    pub(crate) onset: Range,
    pub(crate) onset_10ms: Range,
    pub(crate) offset: Range,
    pub(crate) velocity: Range,
    pub(crate) times_real_time: f64,
}

/// A mean with its 95 % interval.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl From<Interval> for Range {
    fn from(interval: Interval) -> Self {
        Range {
            mean: interval.mean,
            low: interval.low,
            high: interval.high,
        }
    }
}

impl Result {
    pub(crate) fn new(
        model: &str,
        by_group: &BTreeMap<&str, Vec<Measures>>,
        times_real_time: f64,
        seed: u64,
    ) -> Self {
        let range = |of: fn(&Measures) -> f64| {
            let values: Vec<f64> = by_group.values().flatten().map(of).collect();
            Range::from(interval(&values, seed))
        };
        let mean = |measures: &Vec<Measures>| {
            measures.iter().map(|m| m.onset.f).sum::<f64>() / measures.len() as f64
        };
        Result {
            model: model.to_owned(),
            groups: by_group
                .iter()
                .map(|(group, measures)| ((*group).to_owned(), mean(measures)))
                .collect(),
            onset: range(|m| m.onset.f),
            onset_10ms: range(|m| m.onset_10ms.f),
            offset: range(|m| m.offset.f),
            velocity: range(|m| m.velocity.f),
            times_real_time,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    corpus: String,
    results: Vec<Result>,
}

/// What an earlier run left, if it heard the same recordings.
pub(crate) fn kept(file: &Path, corpus: &str) -> Vec<Result> {
    let kept = fs_err::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    kept.filter(|kept| kept.corpus == corpus)
        .map(|kept| kept.results)
        .unwrap_or_default()
}

pub(crate) fn keep(file: &Path, corpus: &str, results: &[Result]) -> Anyhow<()> {
    let kept = Kept {
        corpus: corpus.to_owned(),
        results: results.to_vec(),
    };
    Ok(fs_err::write(file, serde_json::to_vec_pretty(&kept)?)?)
}

/// The order of the table's rows, whichever run brought them; what is not named comes last.
const ORDER: [&str; 9] = [
    transcribe::BASELINE,
    "basic-pitch",
    "harmonica:nano",
    "harmonica:small",
    "harmonica:medium",
    "harmonica:large",
    "harmonica:x-large",
    "transkun",
    "mt3",
];

pub(crate) fn sort(results: &mut [Result]) {
    results.sort_by_key(|result| {
        let known = ORDER.iter().position(|model| *model == result.model);
        (known.unwrap_or(ORDER.len()), result.model.clone())
    });
}

/// The table, quickest to read first: what is found at all, then how well, then how fast.
pub(crate) fn markdown(corpus: &str, results: &[Result]) -> String {
    let groups: Vec<&str> = Group::ALL
        .iter()
        .map(|group| group.word())
        .filter(|group| {
            results
                .iter()
                .any(|result| result.groups.contains_key(*group))
        })
        .collect();
    let mut text = format!(
        "Corpus: {corpus}.\n\n| model | onset F | 95 % of draws | onset within 10 ms | onset and offset | and velocity |"
    );
    for group in &groups {
        text += &format!(" {group} |");
    }
    text += " times real time |\n|---|---|---|---|---|---|";
    text += &"---|".repeat(groups.len() + 1);
    for result in results {
        text += &format!(
            "\n| {} | **{:.3}** | {:.3} - {:.3} | {:.3} | {:.3} | {:.3} |",
            name(&result.model),
            result.onset.mean,
            result.onset.low,
            result.onset.high,
            result.onset_10ms.mean,
            result.offset.mean,
            result.velocity.mean
        );
        for group in &groups {
            text += &result
                .groups
                .get(*group)
                .map_or(" |".to_owned(), |f| format!(" {f:.3} |"));
        }
        text += &format!(" {:.1} |", result.times_real_time);
    }
    text
}

pub(crate) fn name(model: &str) -> &str {
    if model == transcribe::BASELINE {
        "spectral peaks (baseline)"
    } else {
        model
    }
}

/// Puts the table between the marks of the page, and draws the plot anew.
pub(crate) fn write_docs(markdown: &str, results: &[Result]) -> Anyhow<()> {
    let page = fs_err::read_to_string(PAGE)?;
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("{PAGE} lacks the mark {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("{PAGE} lacks the mark {END}"))?;
    fs_err::write(PAGE, format!("{before}{BEGIN}\n{markdown}\n{END}{after}"))?;
    Ok(fs_err::write(PLOT, plot::svg(results))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_one_order_whichever_run_brought_them() {
        let none = BTreeMap::from([("piano", vec![Measures::default()])]);
        let brought = [
            "transkun",
            "new",
            "harmonica:large",
            "harmonica:small",
            "peaks",
        ];
        let mut results: Vec<Result> = brought
            .iter()
            .map(|model| Result::new(model, &none, 1.0, 1))
            .collect();
        sort(&mut results);
        let sorted: Vec<&str> = results.iter().map(|result| result.model.as_str()).collect();
        assert_eq!(
            sorted,
            [
                "peaks",
                "harmonica:small",
                "harmonica:large",
                "transkun",
                "new"
            ]
        );
    }
}
