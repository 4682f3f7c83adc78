//! How the operator speaks to Kubernetes: every call has its bound, watches are mirrored in memory, one process leads.
//! Nothing here knows what jobs and pools are.

mod client;
mod lease;
mod mirror;
mod notices;

pub use client::{CALL_BOUND, CallError, connect, within};
pub use lease::{Election, Leadership, Timing};
pub use mirror::{Change, Mirror, key_of};
pub use notices::{Kind, Notices};
