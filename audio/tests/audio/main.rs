//! Recordings of every kind, whole and damaged, against what other programs made of them. `tests/fixtures/README.md` says where they come from.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise, and says what it saw"
)]

mod damage;
mod formats;
mod numbers;
mod support;
