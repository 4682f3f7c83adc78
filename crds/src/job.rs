//! `TranscriptionJob`: one recording to be transcribed. Like a batch Job it is finished when `Complete` or `Failed` is true.

#![expect(
    unreachable_pub,
    reason = "the derive makes a second, private copy of each type for its schema"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What is asked. Only `suspend` and `ttlSecondsAfterFinished` may change later.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "whatsthetab.dev",
    version = "v1alpha1",
    kind = "TranscriptionJob",
    plural = "transcriptionjobs",
    shortname = "tj",
    category = "transcription",
    namespaced,
    status = "TranscriptionJobStatus",
    derive = "PartialEq",
    doc = "One recording to be transcribed.",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Progress", type_ = "integer", json_path = ".status.progressPercent", description = "Percent of the recording."),
    printcolumn(name = "Notes", type_ = "integer", json_path = ".status.result.noteCount"),
    printcolumn(name = "Model", type_ = "string", json_path = ".status.model"),
    printcolumn(name = "Position", type_ = "integer", json_path = ".status.queuePosition", description = "Place in the queue: exact up to 10, then rounded.", priority = 1),
    printcolumn(name = "Done by", type_ = "string", json_path = ".status.estimatedCompletionTime", priority = 1),
    printcolumn(name = "Audio", type_ = "integer", json_path = ".status.audio.durationSeconds", description = "Length of the recording in seconds.", priority = 1),
    printcolumn(name = "Attempts", type_ = "integer", json_path = ".status.attempts", priority = 1),
    printcolumn(name = "Queue", type_ = "string", json_path = ".status.queue", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.failure.code", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name must not be longer than 63 characters: it becomes a label")
)]
#[kube(cel)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.source == oldSelf.source").message("spec.source cannot be changed; make another job"),
    validation = Rule::new("has(self.model) == has(oldSelf.model) && (!has(self.model) || self.model == oldSelf.model)").message("spec.model cannot be changed; make another job"),
    validation = Rule::new("has(self.options) == has(oldSelf.options) && (!has(self.options) || self.options == oldSelf.options)").message("spec.options cannot be changed; make another job"),
    validation = Rule::new("has(self.queue) == has(oldSelf.queue) && (!has(self.queue) || self.queue == oldSelf.queue)").message("spec.queue cannot be changed; make another job"),
    validation = Rule::new("self.priority == oldSelf.priority").message("spec.priority cannot be changed; make another job"),
    validation = Rule::new("self.backoffLimit == oldSelf.backoffLimit").message("spec.backoffLimit cannot be changed; make another job"),
    validation = Rule::new("has(self.activeDeadlineSeconds) == has(oldSelf.activeDeadlineSeconds) && (!has(self.activeDeadlineSeconds) || self.activeDeadlineSeconds == oldSelf.activeDeadlineSeconds)").message("spec.activeDeadlineSeconds cannot be changed; make another job"),
    validation = Rule::new("self.queueDeadlineSeconds == oldSelf.queueDeadlineSeconds").message("spec.queueDeadlineSeconds cannot be changed; make another job")
)]
pub struct TranscriptionJobSpec {
    /// Where the recording is.
    pub source: Source,
    /// The network: `basic-pitch`, `harmonica:medium`, ... Absent, the API's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::options")]
    pub options: Option<BTreeMap<String, OptionValue>>,
    /// The queue whose workers take it. Absent, the one that the API has for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z0-9-]{1,40}$"))]
    pub queue: Option<String>,
    /// Above 0 before others, below 0 after them.
    #[serde(default)]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: i32,
    /// Keeps a job that waits from being started; a running one is not stopped.
    #[serde(default)]
    pub suspend: bool,
    /// How often it is tried again after an error. A worker that dies does not count.
    #[serde(default = "backoff_limit")]
    #[schemars(range(min = 0, max = 10))]
    pub backoff_limit: i32,
    /// The longest time that it may run, counted from its first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub active_deadline_seconds: Option<i32>,
    /// The longest time that it may wait for its start.
    #[serde(default = "one_day")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub queue_deadline_seconds: i32,
    /// When a finished job is deleted. Its notes stay as long as the API keeps them.
    #[serde(default = "one_day")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: i32,
}

fn backoff_limit() -> i32 {
    2
}

fn one_day() -> i32 {
    86_400
}

/// Exactly one of its fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.url), has(self.object), has(self.transcription)].filter(given, given).size() == 1").message("spec.source needs exactly one of url, object and transcription")
)]
pub struct Source {
    /// An address that the API fetches. Private and link-local addresses are refused unless the API was told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^https?://"))]
    pub url: Option<String>,
    /// A key in the API's object store, under `imports/NAMESPACE/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub object: Option<String>,
    /// The id of a transcription that the API has: its recording is taken again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"))]
    pub transcription: Option<String>,
}

/// What an option may be.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub enum OptionValue {
    Number(i64),
    Word(String),
}

/// What became of it. Written by the operator alone.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TranscriptionJobStatus {
    /// One word, derived from the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The network that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The queue that it waits in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Its place in the queue: exact up to 10, then rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<i32>,
    /// In steps of 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_percent: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How often it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// The worker that has it or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The words that users know, in CamelCase.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Created,
    Suspended,
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

/// The recording.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Audio {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate_hz: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<i32>,
}

/// Where the notes are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobResult {
    /// The MIDI file. Whoever may read the job may read its notes: the address needs no key, and ends with the job.
    pub url: String,
    pub sha256: String,
    pub note_count: i32,
}

/// Why there are none.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Stable, as in the API: `audio_undecodable`, `poison`, ...
    pub code: String,
    /// What happened and what to do.
    pub message: String,
}
