//! How fast the networks are on a GPU, from decoded samples on: `make bench-gpu`. Nothing is fetched and no service is needed: libtorch, the
//! weights of Transkun, Basic Pitch and whichever sizes of Harmonica in the models' folder, random ones for MT3.
//!
//! The device is `DEVICE` (cuda, cuda:N, or cpu for a dry run of the same operations on small sizes). In float32, TF32 off, which is
//! checked; the clock starts when the samples are cut and stops when the device has come to rest. Times are held against a matrix product
//! and a copy on the same device in the same run.

#![expect(clippy::print_stdout, reason = "it prints tables")]

mod harmonica;
mod networks;
mod plan;
mod report;
mod roofline;
mod sounds;

use std::error::Error;

use transcription::registry::Store;
use transcription::{DeviceChoice, basic_pitch, device, transkun};

use plan::Plan;
use roofline::Roofline;

fn main() -> Result<(), Box<dyn Error>> {
    let choice: DeviceChoice = std::env::var("DEVICE")
        .unwrap_or_else(|_| "cuda".into())
        .parse()?;
    let plan = Plan::of(choice)?;
    // Opening it turns TF32 off.
    let opened = choice.open()?;
    let store = Store::new(Store::default_dir());
    // All are asked for before anything is measured.
    let weights = [transkun::NAME, basic_pitch::NAME]
        .map(|name| store.installed(name).map(|installed| installed.file));
    let [transkun, basic_pitch] = weights;
    let (transkun, basic_pitch) = (transkun?, basic_pitch?);
    let (sizes, left_out) = harmonica::installed(&store)?;

    println!("bench-gpu: {choice}, {}", report::hardware(choice));
    if plan.dry {
        println!("a dry run: the operations are those of a GPU, sizes and times are not");
    }
    for line in left_out {
        println!("{line}");
    }
    roofline::check_float32(opened)?;
    let roofline = Roofline::measure(opened, plan.product, plan.copy_bytes)?;
    println!("{roofline}\n");

    let mut all = vec![
        networks::mt3(opened, &plan)?,
        networks::mt3_alone(opened, &plan)?,
        networks::transkun(opened, &plan, &transkun)?,
        networks::basic_pitch(opened, &plan, &basic_pitch)?,
    ];
    for (size, weights) in &sizes {
        all.push(harmonica::measure(opened, &plan, size, weights)?);
    }
    report::table(&all, &roofline, &plan);
    for measured in &all {
        report::profile(measured);
    }
    if let Some(free) = device::free_memory(opened) {
        println!(
            "\nfree memory at the end: {:.1} GiB",
            free as f64 / f64::from(1 << 30)
        );
    }
    Ok(())
}
