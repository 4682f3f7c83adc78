//! What of a job can be judged without asking anybody. The schema has refused most of it before; a job may be older than its schema.

use crds::{TranscriptionJob, TranscriptionJobSpec};
use kube::ResourceExt;

use crate::ledger::Problem;

/// A job that may be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid {
    pub uid: String,
    pub namespace: String,
    pub spec: TranscriptionJobSpec,
}

pub fn validate(job: &TranscriptionJob) -> Result<Valid, Problem> {
    let refuse = |code: &str, message: String| {
        Err(Problem {
            code: code.to_owned(),
            kind: "input".to_owned(),
            message,
        })
    };
    let namespace = job.namespace().unwrap_or_default();
    let source = &job.spec.source;
    let given = [&source.url, &source.object, &source.transcription]
        .iter()
        .filter(|given| given.is_some())
        .count();
    if given != 1 {
        return refuse(
            "source_invalid",
            format!(
                "spec.source needs exactly one of url, object and transcription; it has {given}"
            ),
        );
    }
    if let Some(url) = &source.url
        && !(url.starts_with("http://") || url.starts_with("https://"))
    {
        return refuse(
            "source_invalid",
            "spec.source.url must begin with http:// or https://".to_owned(),
        );
    }
    if let Some(object) = &source.object {
        let folder = format!("imports/{namespace}/");
        if !object.starts_with(&folder) || object.split('/').any(|part| part == "..") {
            return refuse(
                "source_invalid",
                format!("spec.source.object must lie under {folder}"),
            );
        }
    }
    let negative = [
        (
            "activeDeadlineSeconds",
            job.spec.active_deadline_seconds.unwrap_or(1),
        ),
        ("queueDeadlineSeconds", job.spec.queue_deadline_seconds),
    ]
    .into_iter()
    .find(|(_, seconds)| *seconds < 1);
    if let Some((field, seconds)) = negative {
        return refuse(
            "parameter_invalid",
            format!("spec.{field} is {seconds}; it must be at least 1"),
        );
    }
    if job.spec.backoff_limit < 0 || job.spec.ttl_seconds_after_finished < 0 {
        return refuse(
            "parameter_invalid",
            "spec.backoffLimit and spec.ttlSecondsAfterFinished must not be negative".to_owned(),
        );
    }
    match job.uid() {
        Some(uid) if !uid.is_empty() => Ok(Valid {
            uid,
            namespace,
            spec: job.spec.clone(),
        }),
        _ => refuse("parameter_invalid", "the job has no uid".to_owned()),
    }
}
