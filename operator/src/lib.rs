//! The operator of the two custom resources: jobs go to the API, pools become Deployments of the size that their work needs.
//! It keeps no state of its own: what is wanted stands in the resources, what is so in the API, in Redis and in the cluster.
//!
//! `scale/` decides and is pure; `jobs/` and `pools/` read, decide and act; `cluster/` is how they speak to Kubernetes.

pub mod scale;
pub mod sim;
