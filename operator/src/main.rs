//! `wtt-operator`.
fn main() {}
