//! `WorkerPool`: workers for one queue, as many as its work needs.

#![expect(
    unreachable_pub,
    reason = "the derive makes a second, private copy of each type for its schema"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What is wanted.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "whatsthetab.dev",
    version = "v1alpha1",
    kind = "WorkerPool",
    plural = "workerpools",
    shortname = "wp",
    category = "transcription",
    namespaced,
    status = "WorkerPoolStatus",
    derive = "PartialEq",
    doc = "Workers for one queue, as many as its work needs.",
    scale(spec_replicas_path = ".spec.scaling.replicas", status_replicas_path = ".status.replicas", label_selector_path = ".status.selector"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desiredReplicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Busy", type_ = "integer", json_path = ".status.busyReplicas"),
    printcolumn(name = "Queued", type_ = "integer", json_path = ".status.queue.depth"),
    printcolumn(name = "In flight", type_ = "integer", json_path = ".status.queue.inFlight"),
    printcolumn(name = "Drained in", type_ = "integer", json_path = ".status.estimatedDrainSeconds", description = "Seconds until the work that is there is done."),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.lastDecision.reason"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.scaling.maxReplicas", priority = 1),
    printcolumn(name = "Oldest", type_ = "integer", json_path = ".status.queue.oldestWaitSeconds", description = "Seconds that the oldest task has waited.", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.lastDecision.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 52").message("metadata.name must not be longer than 52 characters: pods are named after it")
)]
#[kube(cel)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolSpec {
    /// The queue whose tasks they take. One pool a queue.
    #[serde(default = "default_queue")]
    #[schemars(regex(pattern = "^[a-z0-9-]{1,40}$"))]
    #[x_kube(validation = Rule::new("!(self in ['high', 'low', 'alone'])").message("high, low and alone are no names of queues"))]
    pub queue: String,
    /// Songs that one worker works on at once: more fill a GPU, and cost memory.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub slots_per_worker: i32,
    pub scaling: Scaling,
    #[schemars(schema_with = "schema::pod_template")]
    pub template: serde_json::Value,
}

fn default_queue() -> String {
    "default".to_owned()
}

fn one() -> i32 {
    1
}

/// How many workers there are to be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message("scaling.minReplicas must not be above scaling.maxReplicas"),
    validation = Rule::new("self.policy == 'Manual' || !has(self.replicas)").message("scaling.replicas counts only with policy Manual; set policy: Manual to choose the number by hand"),
    validation = Rule::new("self.policy != 'Manual' || has(self.replicas)").message("policy Manual needs scaling.replicas")
)]
pub struct Scaling {
    #[serde(default)]
    pub policy: Policy,
    /// Only with policy Manual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: i32,
    #[schemars(range(min = 0, max = 1000))]
    pub max_replicas: i32,
    /// In how many seconds the work that is there is to be done.
    #[serde(default = "target_drain_seconds")]
    #[schemars(range(min = 1, max = 86_400))]
    pub target_drain_seconds: i32,
    /// How long nothing may be queued or running before the last worker goes.
    #[serde(default = "scale_to_zero_delay_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub scale_to_zero_delay_seconds: i32,
    #[serde(default)]
    pub down: ScaleDown,
}

fn target_drain_seconds() -> i32 {
    120
}

fn scale_to_zero_delay_seconds() -> i32 {
    300
}

/// Who chooses the number.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The operator, from the work that waits and runs.
    #[default]
    Auto,
    /// `scaling.replicas`.
    Manual,
    /// Nobody: it stays as it is.
    Paused,
}

/// Going down.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDown {
    /// How long fewer workers must have been enough before one goes.
    #[serde(default = "stabilization_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_seconds: i32,
}

impl Default for ScaleDown {
    fn default() -> Self {
        ScaleDown {
            stabilization_seconds: stabilization_seconds(),
        }
    }
}

fn stabilization_seconds() -> i32 {
    60
}

/// What there is. Written by the operator alone.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default)]
    pub replicas: i32,
    #[serde(default)]
    pub desired_replicas: i32,
    #[serde(default)]
    pub ready_replicas: i32,
    #[serde(default)]
    pub busy_replicas: i32,
    #[serde(default)]
    pub draining_replicas: i32,
    #[serde(default)]
    pub starting_replicas: i32,
    /// The pods' labels, for `kubectl scale` and autoscalers.
    #[serde(default)]
    pub selector: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_drain_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
}

/// The queue, rounded to two digits.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    pub depth: i64,
    pub in_flight: i64,
    /// Seconds of work that wait, by the speed that was measured.
    pub work_seconds: i64,
    pub oldest_wait_seconds: i64,
}

/// Why there are as many workers as there are: all inputs as whole numbers, so that it can be worked out again.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    pub desired: i32,
    pub reason: String,
    pub message: String,
    /// What was seen, as `wtt-operator explain` reads it.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub inputs: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,
}
