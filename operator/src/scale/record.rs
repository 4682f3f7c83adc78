//! A decision's inputs as text in a pool's status, and back.

use super::{Decision, Inputs, settle};

/// What the schema of `status.lastDecision.inputs` lets in.
pub const MOST_RECORD_BYTES: usize = 1024;

/// All inputs; those that are 0 are left out, since reading supplies them.
pub fn write_record(inputs: &Inputs) -> String {
    let mut numbers = match serde_json::to_value(inputs) {
        Ok(serde_json::Value::Object(numbers)) => numbers,
        _ => return String::new(),
    };
    numbers.retain(|_, number| number.as_i64() != Some(0));
    serde_json::Value::Object(numbers).to_string()
}

/// Works the decision out again from what was written.
pub fn read_record(text: &str) -> Result<Decision, serde_json::Error> {
    serde_json::from_str::<Inputs>(text).map(settle)
}
