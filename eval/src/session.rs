//! What a row was measured with. Speeds of one day on one machine may be compared; others not.

use std::process::Command;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Where and when a run was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The day on which it began, in UTC.
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) threads: usize,
    /// Where the networks ran: cpu, or the GPU's name.
    #[serde(default = "cpu")]
    pub(crate) device: String,
    /// The commit of the checkout; `-dirty` where it was changed.
    pub(crate) build: String,
}

impl Session {
    /// This run's. `threads`: 0 takes all cores.
    pub(crate) fn now(threads: usize, device: &str) -> Session {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cpuinfo = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Session {
            date: OffsetDateTime::now_utc().date().to_string(),
            processor: processor(&cpuinfo),
            threads: if threads == 0 {
                cores
            } else {
                threads.min(cores)
            },
            device: match device {
                "cpu" => cpu(),
                gpu => graphics(gpu).unwrap_or_else(|| gpu.to_owned()),
            },
            build: commit().unwrap_or_else(|| "unknown".to_owned()),
        }
    }

    /// Whether speeds of the two may stand side by side. Another build may: that it got quicker is what one wants to see.
    pub(crate) fn comparable(&self, other: &Session) -> bool {
        (&self.date, &self.processor, self.threads, &self.device)
            == (&other.date, &other.processor, other.threads, &other.device)
    }

    /// As the page says it.
    pub(crate) fn words(&self) -> String {
        let plural = if self.threads == 1 { "" } else { "s" };
        let beside = match self.device.as_str() {
            "cpu" => String::new(),
            gpu => format!(", {gpu}"),
        };
        format!(
            "{} ({}, {} thread{plural}{beside}, build {})",
            self.date, self.processor, self.threads, self.build
        )
    }
}

/// The first processor's name in the words of `/proc/cpuinfo`.
fn processor(cpuinfo: &str) -> String {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == "model name")
        .map_or("unknown processor", |(_, name)| name.trim())
        .to_owned()
}

/// What rows were measured on before they said so.
fn cpu() -> String {
    "cpu".to_owned()
}

/// The name of the GPU that `cuda` or `cuda:N` means.
fn graphics(device: &str) -> Option<String> {
    let index = device.strip_prefix("cuda")?.trim_start_matches(':');
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=name", "--format=csv,noheader", "--id"])
        .arg(if index.is_empty() { "0" } else { index })
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let name = String::from_utf8(output.stdout).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=10"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
pub(crate) fn session(date: &str, processor: &str, threads: usize) -> Session {
    Session {
        date: date.to_owned(),
        processor: processor.to_owned(),
        threads,
        device: cpu(),
        build: "0123456789".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_the_first_that_has_a_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(processor(text), "Some CPU @ 2 GHz");
        assert_eq!(processor("processor : 0\n"), "unknown processor");
    }

    #[test]
    fn speeds_of_another_day_machine_or_share_of_it_are_not_compared() {
        let today = session("2026-11-30", "a CPU", 2);
        for (other, expected) in [
            (session("2026-11-30", "a CPU", 2), true),
            (session("2026-11-29", "a CPU", 2), false),
            (session("2026-11-30", "another", 2), false),
            (session("2026-11-30", "a CPU", 1), false),
        ] {
            assert_eq!(today.comparable(&other), expected, "{other:?}");
        }
        let mut on_a_gpu = today.clone();
        on_a_gpu.device = "a GPU".to_owned();
        assert!(!today.comparable(&on_a_gpu));
        assert!(on_a_gpu.words().contains(", a GPU, build"));
    }
}
