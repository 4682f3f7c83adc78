//! The operator of the two custom resources: jobs go to the API, pools become Deployments of the size that their work needs.
//! It keeps no state of its own: what is wanted stands in the resources, what is so in the API, in Redis and in the cluster.
//!
//! `scale/` decides and is pure; `jobs/` and `pools/` read, decide and act; `cluster/` is how they speak to Kubernetes,
//! `ledger/` to the API, `eyes` to the queue. `sim/` plays `scale/` in simulated time.

pub mod args;
pub mod cluster;
pub mod conditions;
pub mod eyes;
pub mod jobs;
pub mod ledger;
pub mod pace;
pub mod pools;
mod run;
pub mod scale;
pub mod sim;
pub mod telemetry;
pub mod work;

pub use run::{Settings, run};

/// Field manager, and name of the Lease.
pub const MANAGER: &str = "wtt-operator";

/// What installs the definitions.
pub const INSTALL_CRDS: &str = "the custom resources are not installed; run: wtt-operator crd | kubectl apply --server-side -f -";
