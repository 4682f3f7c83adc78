//! What the benchmarks share: a look at a server and at processes from outside, and tables. It knows no contender and no route.
//!
//! A development tool: nothing depends on it, and its numbers are for this machine at this moment.

pub mod numbers;
pub mod process;
pub mod server;
