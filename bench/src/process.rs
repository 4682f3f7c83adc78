//! A process from outside, by what the kernel tells of it in /proc.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel counts processor time in these.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of a process so far, without its children.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = text.rsplit_once(')').context("a stat line has a name")?;
    let ticks: f64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}

/// Memory of a process that is neither shared nor a file's: what "grows" when it keeps something. Bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    status_field(pid, "VmRSS:")
}

/// The most that it ever had resident. Bytes.
pub fn peak_resident_bytes(pid: u32) -> Result<u64> {
    status_field(pid, "VmHWM:")
}

fn status_field(pid: u32, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .with_context(|| format!("no {name} for process {pid}"))?
        .trim()
        .parse()?;
    Ok(kilobytes * 1024)
}
