//! The queue over a bad wire and on a full server: every script, every place where a connection can break, every way in
//! which Redis refuses writes. After each the keys must be those of exactly one execution.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod bench;
mod calls;
mod cases;
mod cuts;
mod full;
mod half_open;
mod hints;
mod proxy;
mod resp;
