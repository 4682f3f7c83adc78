//! The names of all metrics, with what they mean.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

pub const QUEUE_DEPTH: &str = "wtt_queue_depth";
pub const QUEUE_IN_FLIGHT: &str = "wtt_queue_in_flight";
pub const QUEUE_WORK_SECONDS: &str = "wtt_queue_work_seconds";
pub const QUEUE_OLDEST_WAIT_SECONDS: &str = "wtt_queue_oldest_wait_seconds";
pub const QUEUE_READABLE: &str = "wtt_queue_readable";
pub const DESIRED_REPLICAS: &str = "wtt_pool_desired_replicas";
pub const READY_REPLICAS: &str = "wtt_pool_ready_replicas";
pub const BUSY_WORKERS: &str = "wtt_pool_busy_workers";
pub const DRAINING_WORKERS: &str = "wtt_pool_draining_workers";
pub const SCALE_DECISIONS: &str = "wtt_scale_decisions_total";
pub const SCALE_LATENCY_SECONDS: &str = "wtt_scale_latency_seconds";
pub const TICK_LATENESS_SECONDS: &str = "wtt_tick_lateness_seconds";
pub const LAST_TICK: &str = "wtt_last_successful_tick_timestamp_seconds";
pub const BUSY_KILLS: &str = "wtt_busy_kills_total";
pub const UNCHOSEN_DELETIONS: &str = "wtt_unchosen_deletions_total";
pub const EXPIRED_WORKERS: &str = "wtt_expired_workers_total";
pub const REQUEUES: &str = "wtt_requeues_total";
pub const DEAD_LETTERS: &str = "wtt_dead_letters_total";
pub const WASTED_SECONDS: &str = "wtt_wasted_worker_seconds_total";
pub const WORKER_SECONDS: &str = "wtt_pool_worker_seconds_total";
pub const REALTIME_FACTOR: &str = "wtt_realtime_factor";
pub const COLD_START_SECONDS: &str = "wtt_cold_start_seconds";
pub const RECONCILE_SECONDS: &str = "wtt_reconcile_duration_seconds";
pub const RECONCILE_ERRORS: &str = "wtt_reconcile_errors_total";
pub const JOBS: &str = "wtt_jobs";
pub const STATUS_WRITES: &str = "wtt_status_writes_total";
pub const APISERVER_REQUESTS: &str = "wtt_apiserver_requests_total";
pub const APISERVER_TIMEOUTS: &str = "wtt_apiserver_timeouts_total";
pub const LEDGER_REQUESTS: &str = "wtt_api_requests_total";
pub const IS_LEADER: &str = "wtt_is_leader";

/// Buckets of all histograms, in seconds.
pub const BUCKETS: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

pub(super) fn describe() {
    describe_gauge!(QUEUE_DEPTH, "Tasks that wait, by queue.");
    describe_gauge!(QUEUE_IN_FLIGHT, "Tasks that run, by queue.");
    describe_gauge!(
        QUEUE_WORK_SECONDS,
        Unit::Seconds,
        "Waiting work in time of one worker."
    );
    describe_gauge!(
        QUEUE_OLDEST_WAIT_SECONDS,
        Unit::Seconds,
        "How long the oldest task has waited."
    );
    describe_gauge!(QUEUE_READABLE, "1 while the queue can be read.");
    describe_gauge!(DESIRED_REPLICAS, "Workers that a pool is to have.");
    describe_gauge!(READY_REPLICAS, "Workers of a pool that are ready.");
    describe_gauge!(BUSY_WORKERS, "Workers of a pool that have tasks.");
    describe_gauge!(
        DRAINING_WORKERS,
        "Workers of a pool that get no tasks any more."
    );
    describe_counter!(
        SCALE_DECISIONS,
        "Decisions that changed the number or the reason, by reason."
    );
    describe_histogram!(
        SCALE_LATENCY_SECONDS,
        Unit::Seconds,
        "From the look at the queue that asked for more to the written number."
    );
    describe_histogram!(
        TICK_LATENESS_SECONDS,
        Unit::Seconds,
        "How late a look at the queue began."
    );
    describe_gauge!(
        LAST_TICK,
        Unit::Seconds,
        "When the queues were last looked at with success."
    );
    describe_counter!(
        BUSY_KILLS,
        "Busy workers that the operator's own scaling ended. Must stay 0."
    );
    describe_counter!(
        UNCHOSEN_DELETIONS,
        "Pods that went down in the place of the chosen ones."
    );
    describe_counter!(
        EXPIRED_WORKERS,
        "Workers whose pod was gone or ended, and whose tasks were put back at once."
    );
    describe_counter!(
        REQUEUES,
        "Tasks that this process put back, by cause: lease_expired, pod_gone, delay_over."
    );
    describe_counter!(
        DEAD_LETTERS,
        "Tasks that took so many workers down that this process gave them up."
    );
    describe_counter!(
        WASTED_SECONDS,
        Unit::Seconds,
        "Time that workers spent on tasks and took with them when they went."
    );
    describe_counter!(
        WORKER_SECONDS,
        Unit::Seconds,
        "Time that workers of a pool have been there, starting, idle and busy."
    );
    describe_gauge!(
        REALTIME_FACTOR,
        "Seconds of audio that a busy worker does in a second, as measured, by queue and model."
    );
    describe_gauge!(
        COLD_START_SECONDS,
        Unit::Seconds,
        "The usual time from a pod's creation to its readiness."
    );
    describe_histogram!(
        RECONCILE_SECONDS,
        Unit::Seconds,
        "How long a pass over one object took, by kind."
    );
    describe_counter!(RECONCILE_ERRORS, "Passes that failed, by kind and step.");
    describe_gauge!(JOBS, "Jobs by state.");
    describe_counter!(STATUS_WRITES, "Statuses written, by kind.");
    describe_counter!(
        APISERVER_REQUESTS,
        "Requests to the API server, by verb, resource and code."
    );
    describe_counter!(
        APISERVER_TIMEOUTS,
        "Calls to the API server that took too long."
    );
    describe_counter!(
        LEDGER_REQUESTS,
        "Requests to the transcription API, by deed and code."
    );
    describe_gauge!(IS_LEADER, "1 in the process that leads.");
    // What hopefully never happens is shown as 0, so that an alert on it has something to look at.
    for never in [
        BUSY_KILLS,
        UNCHOSEN_DELETIONS,
        EXPIRED_WORKERS,
        WASTED_SECONDS,
        DEAD_LETTERS,
        APISERVER_TIMEOUTS,
    ] {
        counter!(never).increment(0);
    }
}
