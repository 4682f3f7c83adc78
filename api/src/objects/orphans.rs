//! Results seen from the store's side, by name and age: how the sweeper finds those that no row names.

use futures::TryStreamExt;
use object_store::ObjectMeta;

use super::{Error, ObjectKey, Objects};

/// The files of one attempt's result that lie in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    pub id: String,
    pub fingerprint: String,
}

impl Objects {
    /// Results stored before this moment (the store's clock), one entry per attempt.
    pub async fn results_before(&self, before_ms: u64) -> Result<Vec<StoredResult>, Error> {
        let named = |source| Error::Store {
            action: "list",
            key: "results".to_owned(),
            source,
        };
        let found: Vec<ObjectMeta> = self
            .store
            .list(Some(&self.path("results")))
            .try_collect()
            .await
            .map_err(named)?;
        let mut results = Vec::new();
        for meta in found {
            let stored_ms = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0);
            let mut parts = meta.location.parts().skip(self.root.parts().count() + 1);
            let (Some(id), Some(file)) = (parts.next(), parts.next()) else {
                continue;
            };
            let Some((fingerprint, _)) = file.as_ref().rsplit_once('.') else {
                continue;
            };
            let result = StoredResult {
                id: id.as_ref().to_owned(),
                fingerprint: fingerprint.to_owned(),
            };
            if stored_ms <= before_ms && !results.contains(&result) {
                results.push(result);
            }
        }
        Ok(results)
    }

    /// Deletes both files of a result.
    pub async fn delete_result(&self, result: &StoredResult) -> Result<(), Error> {
        let StoredResult { id, fingerprint } = result;
        self.delete(ObjectKey::Midi { id, fingerprint }).await?;
        self.delete(ObjectKey::Notes { id, fingerprint }).await
    }
}
