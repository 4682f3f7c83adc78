//! The transcription API as the operator uses it: it asks for transcriptions, follows what becomes of them, cancels and
//! suspends. What a task is in the queue is the API's business; the operator never writes one.

mod client;
mod item;

pub use client::{Ledger, LedgerError, Settings};
pub use item::{Cancel, Item, Limits, Outcome, Page, Problem, Progress, Request, State};
