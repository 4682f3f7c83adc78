//! What was odd about a recording, though it was decoded.

use std::fmt;

/// Something that the owner of a recording should know; the decoding went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The file ends before its header says.
    Truncated,
    /// Damaged packets became silence of the same length.
    DamagedPackets { count: u64 },
    /// NaN or infinite samples became silence.
    NonFiniteSamples { count: u64 },
    /// Another sample rate or number of channels follows; only the first part was decoded.
    FormatChanged,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Truncated => f.write_str("the file is cut off; what is there was decoded"),
            Warning::DamagedPackets { count: 1 } => f.write_str("1 damaged packet became silence"),
            Warning::DamagedPackets { count } => write!(f, "{count} damaged packets became silence"),
            Warning::NonFiniteSamples { count: 1 } => f.write_str("1 sample was not a number and became silence"),
            Warning::NonFiniteSamples { count } => write!(f, "{count} samples were not numbers and became silence"),
            Warning::FormatChanged => f.write_str("the sample rate or the number of channels changes within the file; only the part before was decoded"),
        }
    }
}
