//! What was measured, as tables. The least time of a network is what the slower of arithmetic and memory would take if nothing else did;
//! its share of the time that was seen is the share of the roofline.

use std::process::Command;

use transcription::DeviceChoice;
use transcription::stages::Spent;

use crate::plan::Plan;
use crate::roofline::Roofline;

pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) audio_seconds: f64,
    /// Of each round.
    pub(crate) seconds: Vec<f64>,
    /// Times real time; none where nothing was promised.
    pub(crate) aim: Option<f64>,
    /// Multiply-adds of a round.
    pub(crate) products: f64,
    /// Seconds of a round on the roofline.
    pub(crate) least: Box<dyn Fn(&Roofline) -> f64>,
    pub(crate) profile: Spent,
}

impl Measured {
    fn median(&self) -> f64 {
        let mut seconds = self.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    }
}

pub(crate) fn table(all: &[Measured], roofline: &Roofline, plan: &Plan) {
    println!(
        "{:<30} {:>5} {:>9} {:>10} {:>11} {:>8} {:>10} {:>10}",
        "network", "rows", "sound, s", "seconds", "x real time", "aim", "of product", "of roofline"
    );
    for one in all {
        let seconds = one.median();
        let times = one.audio_seconds / seconds;
        let aim = match one.aim.filter(|_| !plan.dry) {
            None => "-".to_owned(),
            Some(aim) if times >= aim => format!("{aim}"),
            Some(aim) => format!("{aim} MISSED"),
        };
        println!(
            "{:<30} {:>5} {:>9.1} {seconds:>10.4} {times:>11.1} {aim:>8} {:>9.1}% {:>9.1}%",
            one.name,
            one.rows,
            one.audio_seconds,
            100.0 * one.products / seconds / roofline.products,
            100.0 * (one.least)(roofline) / seconds,
        );
    }
    println!("seconds: the median of {} rounds", plan.rounds);
}

/// What a round with marks spent on what; the marks themselves make it longer.
pub(crate) fn profile(one: &Measured) {
    let all: f64 = one.profile.iter().map(|(_, took)| took.as_secs_f64()).sum();
    println!(
        "\n{}, a round with the device at rest between parts: {all:.4} s, {:.4} without",
        one.name,
        one.median()
    );
    for (part, took) in &one.profile {
        let took = took.as_secs_f64();
        println!("  {part:<32} {took:>9.4} s {:>5.1} %", 100.0 * took / all);
    }
}

/// As the driver names the GPU; of a CPU how many cores there are.
pub(crate) fn hardware(device: DeviceChoice) -> String {
    let DeviceChoice::Cuda(index) = device else {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        return format!("{cores} cores");
    };
    let asked = Command::new("nvidia-smi")
        .args([
            "--query-gpu=name,driver_version,memory.total",
            "--format=csv,noheader",
        ])
        .arg(format!("--id={index}"))
        .output();
    match asked {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "its driver does not say what it is".into(),
    }
}
