//! The steps of a pass that act: the call to the API, the write of the status, the end of a finished job.

use crds::{JobResult, TranscriptionJob, TranscriptionJobStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::build::request;
use super::status::absolute;
use super::{Deed, JobError, Jobs, Known, validate};
use crate::cluster::{CallError, within};
use crate::ledger::{Item, LedgerError, Problem, State};
use crate::work::Next;

/// What the API has after the deed, as far as it is known.
pub(super) struct Applied {
    pub(super) item: Option<Item>,
    pub(super) failure: Option<LedgerError>,
}

impl Jobs {
    pub(super) async fn apply(&self, uid: &str, deed: Deed, known: &Known) -> Applied {
        let answer = match deed {
            Deed::Nothing => {
                return Applied {
                    item: known.item.clone(),
                    failure: None,
                };
            }
            Deed::Put(request) => self.ledger.put(uid, &request).await,
            Deed::Suspend(suspended) => self.ledger.suspend(uid, suspended).await,
        };
        match answer {
            Ok(item) => {
                self.register.heard(&item);
                let item = self.register.get(uid).item.or(Some(item));
                Applied {
                    item,
                    failure: None,
                }
            }
            Err(LedgerError::Gone) => Applied {
                item: Some(gone(uid, known)),
                failure: None,
            },
            Err(failure) => Applied {
                item: known.item.clone(),
                failure: Some(failure),
            },
        }
    }

    pub(super) async fn write_status(
        &self,
        job: &TranscriptionJob,
        status: &TranscriptionJobStatus,
    ) -> Result<(), CallError> {
        let name = job.name_any();
        let patch = json!({
            "apiVersion": "whatsthetab.dev/v1alpha1",
            "kind": "TranscriptionJob",
            // With the uid, a new job of the same name is not given the old one's status.
            "metadata": { "name": name, "uid": job.uid() },
            "status": status,
        });
        let params = PatchParams::apply(crate::MANAGER).force();
        within(
            self.api(job)
                .patch_status(&name, &params, &Patch::Apply(&patch)),
        )
        .await?;
        Ok(())
    }

    /// A finished job whose spec was changed since: of it only the time after the end can have been, and the result's address has to
    /// hold as long.
    async fn prolong(
        &self,
        job: &TranscriptionJob,
        base: &TranscriptionJobStatus,
    ) -> Result<(), JobError> {
        let generation = job.metadata.generation;
        let (Ok(valid), Some(result)) = (validate(job), &base.result) else {
            return Ok(());
        };
        if base.observed_generation == generation {
            return Ok(());
        }
        let request = request(&valid, &self.release);
        let url = match self.ledger.put(&valid.uid, &request).await {
            Ok(item) => item.result.and_then(|result| result.url),
            // It keeps nothing that an address could lead to.
            Err(LedgerError::Gone | LedgerError::Refused(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let url = url.map_or_else(|| result.url.clone(), |url| absolute(url, &self.public_url));
        let status = TranscriptionJobStatus {
            observed_generation: generation,
            result: Some(JobResult {
                url,
                ..result.clone()
            }),
            ..base.clone()
        };
        self.write_status(job, &status)
            .await
            .map_err(JobError::Status)
    }

    /// A finished job: deleted when its time has come, left alone before.
    pub(super) async fn expire(
        &self,
        job: &TranscriptionJob,
        status: &TranscriptionJobStatus,
    ) -> Result<Next, JobError> {
        let wait = self.remaining(job, status);
        if wait != Next::After(std::time::Duration::ZERO) {
            self.prolong(job, status).await?;
            return Ok(wait);
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: job.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match within(self.api(job).delete(&job.name_any(), &params)).await {
            Ok(_) => {
                tracing::info!(
                    task.id = job.uid(),
                    job = job.name_any(),
                    "deleted: its time after the end is over"
                );
                Ok(Next::Change)
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(Next::Change),
            Err(error) => Err(JobError::Delete(error)),
        }
    }

    fn api(&self, job: &TranscriptionJob) -> Api<TranscriptionJob> {
        Api::namespaced(self.client.clone(), &job.namespace().unwrap_or_default())
    }
}

/// The row was deleted: there will be no result.
fn gone(uid: &str, known: &Known) -> Item {
    Item {
        id: uid.to_owned(),
        state: State::Failed,
        error: Some(Problem {
            code: "deleted".to_owned(),
            kind: "cancelled".to_owned(),
            message: "the transcription was deleted in the API".to_owned(),
        }),
        ..known.item.clone().unwrap_or_default()
    }
}
