//! The two custom resources, `TranscriptionJob` and `WorkerPool`, as types and as definitions that `kubectl apply` takes.
//! They say what may be asked and what is answered; they know no operator, no queue and no HTTP.

mod condition;
mod job;
mod pool;
mod schema;

use kube::CustomResourceExt;

pub use condition::{find, is_true};
pub use job::{
    Audio, Failure, JobResult, OptionValue, Source, State, TranscriptionJob, TranscriptionJobSpec,
    TranscriptionJobStatus,
};
pub use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
pub use pool::{
    LastDecision, Policy, QueueStatus, ScaleDown, Scaling, WorkerPool, WorkerPoolSpec,
    WorkerPoolStatus,
};

/// Group of both resources, and prefix of all our labels and annotations.
pub const GROUP: &str = "whatsthetab.dev";

/// Both definitions, in the order in which they are installed.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![TranscriptionJob::crd(), WorkerPool::crd()]
}
