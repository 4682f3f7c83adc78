//! What was odd about a recording, though it was decoded.

use std::fmt;

/// Something that the owner of a recording should know; the decoding went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The file ends before its header says.
    Truncated,
    /// Damaged packets were left out.
    SkippedPackets { count: u64 },
    /// NaN or infinite samples were replaced by silence.
    NonFiniteSamples { count: u64 },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Truncated => f.write_str("the file is cut off; what is there was decoded"),
            Warning::SkippedPackets { count } => write!(f, "{count} damaged packets were left out"),
            Warning::NonFiniteSamples { count } => write!(f, "{count} samples were not numbers and became silence"),
        }
    }
}
