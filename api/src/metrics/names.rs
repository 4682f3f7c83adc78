//! Every metric of the service: its name, what it says, its buckets. Names are a contract with dashboards; labels are
//! bounded, and none holds an id, a file name or a user.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) const BUILD_INFO: &str = "wtt_build_info";
pub(crate) const HTTP_REQUESTS: &str = "wtt_http_requests_total";
pub(crate) const HTTP_SECONDS: &str = "wtt_http_request_seconds";
pub(crate) const UPLOADS_REJECTED: &str = "wtt_uploads_rejected_total";
pub(crate) const JOBS_SUBMITTED: &str = "wtt_jobs_submitted_total";
pub(crate) const JOBS_FINISHED: &str = "wtt_jobs_finished_total";
pub(crate) const JOB_WAIT_SECONDS: &str = "wtt_job_wait_seconds";
pub(crate) const JOB_RUN_SECONDS: &str = "wtt_job_run_seconds";
pub(crate) const AUDIO_SECONDS: &str = "wtt_audio_seconds_total";
pub(crate) const BUSY_SECONDS: &str = "wtt_worker_busy_seconds_total";
pub(crate) const RESULTS: &str = "wtt_results_total";
pub(crate) const SSE_STREAMS: &str = "wtt_sse_streams";
pub(crate) const QUEUE_UP: &str = "wtt_queue_up";
pub(crate) const QUEUE_JOBS: &str = "wtt_queue_jobs";
pub(crate) const QUEUE_BACKLOG: &str = "wtt_queue_backlog_audio_seconds";
pub(crate) const QUEUE_OLDEST: &str = "wtt_queue_oldest_age_seconds";
pub(crate) const QUEUE_EVENTS: &str = "wtt_queue_transitions_total";
pub(crate) const QUEUE_PAUSED: &str = "wtt_queue_paused";
pub(crate) const WORKERS: &str = "wtt_workers";
pub(crate) const JOBS: &str = "wtt_jobs";
pub(crate) const STORAGE: &str = "wtt_storage_bytes";
pub(crate) const REAPED: &str = "wtt_reaped_total";
pub(crate) const RECONCILED: &str = "wtt_reconciled_total";
pub(crate) const FETCHES: &str = "wtt_fetches_total";
pub(crate) const SWEPT: &str = "wtt_swept_total";
pub(crate) const FSCK: &str = "wtt_queue_fsck_findings";
pub(crate) const LOOP_FAILURES: &str = "wtt_loop_failures_total";

/// Waiting: 0.1 s to 1 h. Running: 0.1 s to 1 h. Requests: 1 ms to 10 min (uploads).
pub(super) const BUCKETS: [(&str, &[f64]); 3] = [
    (
        JOB_WAIT_SECONDS,
        &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0],
    ),
    (
        JOB_RUN_SECONDS,
        &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0],
    ),
    (
        HTTP_SECONDS,
        &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0],
    ),
];

/// The codes that a failed task may count under; what a worker invents counts as `other`.
const CODES: [&str; 33] = [
    "audio_damaged",
    "audio_empty",
    "audio_limits",
    "audio_too_long",
    "audio_undecodable",
    "audio_unreadable",
    "cancelled",
    "codec_unsupported",
    "deadline",
    "deadline_exceeded",
    "decode",
    "input",
    "internal",
    "model",
    "model_unavailable",
    "oom_gpu",
    "options_invalid",
    "out_of_memory",
    "poison",
    "queue_deadline",
    "source_expired",
    "source_forbidden_address",
    "source_invalid",
    "source_not_found",
    "source_refused",
    "source_timeout",
    "source_too_large",
    "source_unreachable",
    "storage",
    "task_unknown",
    "temp_dir_too_small",
    "timeout",
    "worker_lost",
];

/// The code itself where it is one of ours, so that a label can never grow without bound.
pub(crate) fn bounded_code(code: &str) -> &'static str {
    CODES
        .iter()
        .find(|known| **known == code)
        .copied()
        .unwrap_or("other")
}

pub(super) fn describe() {
    describe_gauge!(BUILD_INFO, "1, with the version");
    describe_counter!(HTTP_REQUESTS, "Requests answered, by route and status");
    describe_histogram!(
        HTTP_SECONDS,
        Unit::Seconds,
        "Time from the headers of a request to those of its answer"
    );
    describe_counter!(JOBS_SUBMITTED, "Transcriptions accepted, by way and model");
    describe_counter!(UPLOADS_REJECTED, "Uploads refused, by error code");
    describe_counter!(
        JOBS_FINISHED,
        "Transcriptions finished, by state and error code"
    );
    describe_histogram!(
        JOB_WAIT_SECONDS,
        Unit::Seconds,
        "From the queue to the start of the last run"
    );
    describe_histogram!(
        JOB_RUN_SECONDS,
        Unit::Seconds,
        "Wall time of the run that succeeded"
    );
    describe_counter!(AUDIO_SECONDS, "Seconds of audio transcribed");
    describe_counter!(
        BUSY_SECONDS,
        "Seconds that workers were busy; over audio seconds: the real-time factor"
    );
    describe_counter!(RESULTS, "Results handed in by workers, by outcome");
    describe_gauge!(SSE_STREAMS, "Open event streams");
    describe_gauge!(
        QUEUE_UP,
        "1 while the queue can be read; without it the other queue gauges are absent"
    );
    describe_gauge!(QUEUE_JOBS, "Tasks in the queue by queue and state");
    describe_gauge!(QUEUE_BACKLOG, "Seconds of audio that are queued");
    describe_gauge!(
        QUEUE_OLDEST,
        "How long the oldest ready task has been waiting"
    );
    describe_counter!(
        QUEUE_EVENTS,
        "Counters that the queue keeps itself, since its data began"
    );
    describe_gauge!(QUEUE_PAUSED, "1 while no claims are given");
    describe_gauge!(WORKERS, "Workers with a live heartbeat, by state");
    describe_gauge!(JOBS, "Transcriptions in the database by state");
    describe_gauge!(STORAGE, "Bytes of stored recordings");
    describe_counter!(REAPED, "What the reaper of this process did");
    describe_counter!(
        RECONCILED,
        "Tasks that Redis had lost and the reconciler mended"
    );
    describe_counter!(FETCHES, "Sources of jobs fetched, by outcome");
    describe_counter!(SWEPT, "What the sweeper removed");
    describe_gauge!(FSCK, "Findings of the last check of the queue; expected 0");
    describe_counter!(LOOP_FAILURES, "Failed runs of a background loop");
}

/// A transcription was accepted, by way of an `upload` or of the first version's routes (`seed`).
pub(crate) fn count_submitted(source: &'static str, model: &str) {
    // Models are configured, so the label is bounded.
    metrics::counter!(JOBS_SUBMITTED, "source" => source, "model" => model.to_owned()).increment(1);
}

/// An upload was refused.
pub(crate) fn count_rejected(error: &crate::error::ApiError) {
    metrics::counter!(UPLOADS_REJECTED, "code" => error.code.as_str()).increment(1);
}
