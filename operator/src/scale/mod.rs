//! How many workers a pool is to have, and which of them go: pure functions of what was seen. They know no cluster, no
//! Redis and no clock, so that a decision can be tested, simulated for days in a second, and worked out again later.

mod ahead;
mod decide;
mod demand;
mod explain;
mod history;
mod inputs;
mod plan;
mod record;

pub use decide::{Decision, Reason, decide, settle};
pub use demand::{Demand, Factors, Running};
pub use explain::{Unexplained, explain};
pub use history::History;
pub use inputs::{Fleet, Inputs, Mode, Observation, Spec};
pub use plan::{Ground, Plan, Pod, plan};
pub use record::{MOST_RECORD_BYTES, read_record, write_record};
