//! The worker: claims tasks from Redis, has them transcribed, and hands the results to the API over HTTP.
//!
//! One task's way through the files: `claims` takes it (once `presence` says that Redis knows this worker), `leases` holds it while `heartbeat` renews it from its own thread,
//! `attempt` runs it (`workspace` keeps its audio, `service` talks to the API, `transcriber` is the network's face,
//! `engine` the real one), and `conclusion` writes how it ended. `stop` says when all of that ends; `process` ties it to
//! signals, the parent and the exit code.
//!
//! A worker knows no database, no object store and no Kubernetes. Whatever it does after its lease has gone is fenced by
//! the claim's token, so the rule everywhere is: when in doubt, write nothing, somebody else will run the task.

mod attempt;
mod backoff;
mod claims;
mod conclusion;
mod config;
mod engine;
mod heartbeat;
mod leases;
mod logs;
mod presence;
mod process;
mod serve;
mod service;
mod stop;
mod transcriber;
mod workspace;

pub use config::{Config, Timing};
pub use leases::Control;
pub use logs::init as init_logs;
pub use process::run;
pub use serve::serve;
pub use stop::Stop;
pub use transcriber::{Failure, Finished, Song, Transcriber};
