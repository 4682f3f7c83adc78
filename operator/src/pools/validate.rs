//! What of a pool can be judged without asking anybody, and its wishes in the scaler's words.

use crds::{Policy, WorkerPool};
use kube::ResourceExt;
use queue::QueueName;
use serde_json::Value;

use crate::scale::{Mode, Spec};

#[derive(Clone, Debug)]
pub struct Valid {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub queue: QueueName,
    pub slots: i32,
    pub spec: Spec,
    /// Passed through as it is.
    pub template: Value,
}

/// Why a pool cannot be served: a reason and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub reason: &'static str,
    pub message: String,
}

/// An emergency brake for those whose specs belong to a repository: the number stays as it is.
pub const PAUSED: &str = "whatsthetab.dev/paused";

pub fn validate(pool: &WorkerPool) -> Result<Valid, Unfit> {
    let unfit = |reason, message: String| Unfit { reason, message };
    let queue = QueueName::parse(pool.spec.queue.as_str())
        .map_err(|error| unfit("QueueInvalid", format!("spec.queue: {error}")))?;
    let scaling = &pool.spec.scaling;
    if scaling.min_replicas > scaling.max_replicas {
        return Err(unfit(
            "BoundsInvalid",
            format!(
                "scaling.minReplicas {} is above scaling.maxReplicas {}",
                scaling.min_replicas, scaling.max_replicas
            ),
        ));
    }
    let negative = [
        ("minReplicas", scaling.min_replicas),
        ("targetDrainSeconds", scaling.target_drain_seconds - 1),
        (
            "scaleToZeroDelaySeconds",
            scaling.scale_to_zero_delay_seconds,
        ),
        (
            "down.stabilizationSeconds",
            scaling.down.stabilization_seconds,
        ),
        ("replicas", scaling.replicas.unwrap_or(0)),
    ]
    .into_iter()
    .find(|(_, number)| *number < 0);
    if let Some((field, _)) = negative {
        return Err(unfit(
            "BoundsInvalid",
            format!("scaling.{field} is too small"),
        ));
    }
    let containers = pool
        .spec
        .template
        .pointer("/spec/containers")
        .and_then(Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        return Err(unfit(
            "TemplateInvalid",
            "spec.template.spec.containers is empty; the first one is the worker".to_owned(),
        ));
    }
    let paused = pool
        .annotations()
        .get(PAUSED)
        .is_some_and(|word| word == "true");
    let mode = match scaling.policy {
        _ if paused => Mode::Paused,
        Policy::Auto => Mode::Auto,
        Policy::Manual => Mode::Manual(scaling.replicas.unwrap_or(0)),
        Policy::Paused => Mode::Paused,
    };
    let ms = |seconds: i32| i64::from(seconds) * 1000;
    Ok(Valid {
        namespace: pool.namespace().unwrap_or_default(),
        name: pool.name_any(),
        uid: pool.uid().unwrap_or_default(),
        queue,
        slots: pool.spec.slots_per_worker,
        spec: Spec {
            mode,
            min: scaling.min_replicas,
            max: scaling.max_replicas,
            target_ms: ms(scaling.target_drain_seconds),
            zero_delay_ms: ms(scaling.scale_to_zero_delay_seconds),
            down_window_ms: ms(scaling.down.stabilization_seconds),
        },
        template: pool.spec.template.clone(),
    })
}
