//! The operator's own `/metrics`, read from outside. It knows the names of the few numbers that are asked for, and no operator.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};

const WRITES: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

/// All samples of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    pub(crate) async fn read(http: &reqwest::Client, address: SocketAddr) -> Result<Self> {
        let answer = http.get(format!("http://{address}/metrics")).send().await;
        let text = answer
            .context("the operator shows no metrics")?
            .text()
            .await?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let samples = text.lines().filter_map(sample).collect();
        Self { samples }
    }

    /// The sum over all samples of that name that carry these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples
            .iter()
            .filter(|sample| sample.name == name)
            .filter(|sample| {
                labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|is| is == value))
            })
            .map(|sample| sample.value)
            .sum()
    }

    /// Passes over objects of this kind so far.
    pub(crate) fn passes(&self, kind: &str) -> f64 {
        self.sum("wtt_reconcile_duration_seconds_count", &[("kind", kind)])
    }

    /// Writes to the API server so far as the client counted them, by resource; the Lease is not among them.
    pub(crate) fn writes(&self) -> BTreeMap<String, u64> {
        let mut writes = BTreeMap::new();
        for sample in &self.samples {
            let label = |name: &str| sample.labels.get(name).map(String::as_str);
            let (Some(verb), Some(resource)) = (label("verb"), label("resource")) else {
                continue;
            };
            if sample.name == "wtt_apiserver_requests_total"
                && WRITES.contains(&verb)
                && resource != "leases"
            {
                *writes.entry(format!("{verb} {resource}")).or_default() += sample.value as u64;
            }
        }
        writes
    }

    pub(crate) fn renewals(&self) -> u64 {
        let labels = [("verb", "PUT"), ("resource", "leases")];
        self.sum("wtt_apiserver_requests_total", &labels) as u64
    }
}

/// What was written between two looks.
pub(crate) fn written(before: &Metrics, after: &Metrics) -> BTreeMap<String, u64> {
    let earlier = before.writes();
    after
        .writes()
        .into_iter()
        .map(|(what, count)| {
            let had = earlier.get(&what).copied().unwrap_or(0);
            (what, count.saturating_sub(had))
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// `name{a="b",c="d"} 1.5`. Values of ours contain neither quotes nor commas.
fn sample(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = match head.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}')?),
        None => (head, ""),
    };
    let labels = labels
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned()))
        .collect();
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
# TYPE wtt_apiserver_requests_total counter
wtt_apiserver_requests_total{verb="PUT",resource="leases",code="200"} 7
wtt_apiserver_requests_total{verb="PATCH",resource="deployments",code="200"} 2
wtt_apiserver_requests_total{verb="WATCH",resource="pods",code="200"} 1
wtt_reconcile_duration_seconds_count{kind="job"} 41
wtt_is_leader 1
"#;

    #[test]
    fn writes_are_told_from_reads_and_from_the_lease() {
        let before = Metrics::parse(BEFORE);
        let after = Metrics::parse(&BEFORE.replace("\"200\"} 2", "\"200\"} 5"));
        assert_eq!(before.renewals(), 7);
        assert_eq!(before.passes("job"), 41.0);
        assert_eq!(before.sum("wtt_is_leader", &[]), 1.0);
        assert!(written(&before, &before).is_empty());
        assert_eq!(
            written(&before, &after),
            BTreeMap::from([("PATCH deployments".to_owned(), 3)])
        );
    }
}
