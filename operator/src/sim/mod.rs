//! Days of scaling in a second: the very functions that decide in the cluster, in simulated time, on recorded arrivals,
//! beside the rule that KEDA and the HorizontalPodAutoscaler follow at their defaults. Nothing here runs in the operator.

mod chance;
mod compare;
mod keda;
mod ours;
mod trace;
mod world;

pub use chance::Chance;
pub use compare::{Comparison, Outcome, compare, descents, outcome};
pub use keda::Keda;
pub use ours::Ours;
pub use trace::{Arrival, Trace, committed, generate};
pub use world::{Scaler, World};
