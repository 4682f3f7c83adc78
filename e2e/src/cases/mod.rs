//! The cases, each named by its outcome, in the order in which they run. Later cases find what the earlier ones left: a release that is idle.

mod bad;
mod faults;
mod jobs;
mod plain;
mod rights;
mod scale;

use std::pin::Pin;
use std::time::Duration;

use clap::ValueEnum;

use crate::Args;
use crate::world::World;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Extent {
    Short,
    Normal,
    Full,
}

pub(crate) type Outcome<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) limit: Duration,
    /// The smallest extent that has it.
    from: Extent,
    /// Whether it needs the operator, the lack of one, or neither.
    operator: Option<bool>,
    pub(crate) run: fn(&World) -> Outcome<'_>,
}

/// `case!(from, operator, seconds, module::name)`: the function's name is the case's.
macro_rules! case {
    ($from:ident, $operator:expr, $seconds:expr, $module:ident::$name:ident) => {
        Case {
            name: stringify!($name),
            limit: Duration::from_secs($seconds),
            from: Extent::$from,
            operator: $operator,
            run: |world| Box::pin($module::$name(world)),
        }
    };
}

fn all() -> Vec<Case> {
    vec![
        case!(
            Short,
            Some(false),
            180,
            plain::an_upload_by_rest_gives_the_notes_of_wtt_transcribe
        ),
        case!(
            Normal,
            Some(false),
            300,
            plain::helm_test_passes_and_transcribes
        ),
        case!(
            Normal,
            Some(false),
            240,
            plain::redis_and_postgres_that_restart_keep_what_they_had
        ),
        case!(
            Short,
            Some(true),
            240,
            jobs::a_sample_job_completes_and_its_midi_is_right
        ),
        case!(Short, Some(true), 90, scale::an_idle_pool_goes_back_to_zero),
        case!(
            Short,
            Some(true),
            60,
            bad::a_job_without_a_source_is_refused_with_a_message
        ),
        case!(
            Normal,
            Some(true),
            120,
            bad::invalid_objects_are_refused_or_answered
        ),
        case!(
            Normal,
            Some(true),
            240,
            jobs::an_upload_by_rest_and_a_job_by_kubectl_share_a_pool
        ),
        case!(
            Normal,
            Some(true),
            180,
            jobs::a_finished_job_goes_at_its_time_to_live
        ),
        case!(
            Normal,
            Some(true),
            300,
            jobs::a_job_with_another_model_gives_the_notes_of_the_command
        ),
        case!(
            Normal,
            Some(true),
            240,
            jobs::a_deleted_job_stops_and_leaves_nothing
        ),
        case!(
            Normal,
            Some(true),
            240,
            scale::gpus_that_run_out_show_as_unschedulable
        ),
        case!(
            Normal,
            Some(true),
            300,
            scale::a_busy_worker_survives_scale_down
        ),
        case!(
            Normal,
            Some(true),
            300,
            faults::a_pod_deleted_by_force_ends_in_complete
        ),
        case!(
            Normal,
            Some(true),
            240,
            faults::a_killed_operator_is_replaced_and_nothing_runs_twice
        ),
        case!(
            Normal,
            Some(true),
            300,
            faults::redis_gone_for_30_s_holds_the_replicas
        ),
        case!(
            Normal,
            Some(true),
            240,
            faults::an_api_server_gone_for_30_s_costs_10_s
        ),
        case!(
            Normal,
            Some(true),
            300,
            scale::a_new_worker_image_rolls_out_without_losing_a_task
        ),
        case!(
            Full,
            Some(true),
            3600,
            scale::many_scale_downs_kill_no_busy_worker
        ),
        case!(
            Normal,
            Some(true),
            30,
            rights::every_right_is_used_and_none_is_missing
        ),
    ]
}

pub(crate) fn chosen(args: &Args) -> Vec<Case> {
    all()
        .into_iter()
        .filter(|case| case.from <= args.extent)
        .filter(|case| {
            case.operator
                .is_none_or(|wanted| wanted != args.without_operator)
        })
        .filter(|case| {
            args.only.is_empty()
                || args
                    .only
                    .iter()
                    .any(|part| case.name.contains(part.as_str()))
        })
        .collect()
}
