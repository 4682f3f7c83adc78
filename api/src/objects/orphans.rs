//! What lies in the store, seen from the store's side, by name and age: how the sweeper finds what no row names, and pieces of
//! uploads that a killed process left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;

use super::{Error, ObjectKey, Objects};

impl Objects {
    /// Results stored before this moment (the store's clock): the fingerprints of the attempts, by id.
    pub async fn results_before(
        &self,
        before_ms: u64,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
        let mut results: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        self.list_before("results", before_ms, |id, file| {
            if let Some((fingerprint, _)) = file.and_then(|file| file.rsplit_once('.')) {
                let of_id = results.entry(id.to_owned()).or_default();
                of_id.insert(fingerprint.to_owned());
            }
        })
        .await?;
        Ok(results)
    }

    /// Ids of the recordings stored before this moment (the store's clock).
    pub async fn recordings_before(&self, before_ms: u64) -> Result<BTreeSet<String>, Error> {
        let mut ids = BTreeSet::new();
        self.list_before("audio", before_ms, |id, _| {
            ids.insert(id.to_owned());
        })
        .await?;
        Ok(ids)
    }

    /// Calls with the two parts of the name behind `folder`.
    async fn list_before(
        &self,
        folder: &str,
        before_ms: u64,
        mut found: impl FnMut(&str, Option<&str>),
    ) -> Result<(), Error> {
        let named = |source| Error::Store {
            action: "list",
            key: folder.to_owned(),
            source,
        };
        let mut list = self.store.list(Some(&self.path(folder)));
        while let Some(meta) = list.try_next().await.map_err(named)? {
            let stored_ms = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0);
            let mut parts = meta.location.parts().skip(self.root.parts().count() + 1);
            let (id, file) = (parts.next(), parts.next());
            if stored_ms <= before_ms
                && let Some(id) = id
            {
                found(id.as_ref(), file.as_ref().map(AsRef::as_ref));
            }
        }
        Ok(())
    }

    /// Deletes both files of a result.
    pub async fn delete_result(&self, id: &str, fingerprint: &str) -> Result<(), Error> {
        self.delete(ObjectKey::Midi { id, fingerprint }).await?;
        self.delete(ObjectKey::Notes { id, fingerprint }).await
    }

    /// Removes pieces of uploads that nobody has written to for so long: a process that is killed leaves them in the local
    /// folder, and no list of objects shows them. Remote stores have lifecycle rules for that. Returns how many.
    pub async fn remove_stale_pieces(&self, age: Duration) -> std::io::Result<usize> {
        let Some(folder) = self.folder.clone() else {
            return Ok(0);
        };
        let Some(before) = SystemTime::now().checked_sub(age) else {
            return Ok(0);
        };
        tokio::task::spawn_blocking(move || remove_pieces(&folder, before)).await?
    }
}

fn remove_pieces(folder: &FilePath, before: SystemTime) -> std::io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += remove_pieces(&entry.path(), before)?;
        } else if entry.file_name().to_str().is_some_and(is_piece)
            && entry.metadata()?.modified()? <= before
            && std::fs::remove_file(entry.path()).is_ok()
        {
            removed += 1;
        }
    }
    Ok(removed)
}

/// `NAME#N`: what the store calls a file until it is whole. No object of ours has such a name.
fn is_piece(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_of_a_killed_upload_go_when_they_are_old_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(None, folder.path()).unwrap();
        let recording = ObjectKey::Audio("a");
        objects.put(recording, vec![1].into()).await.unwrap();
        let mut writer = objects.writer(ObjectKey::Audio("b")).await.unwrap();
        writer.write(vec![1; 6 << 20].into()).await.unwrap();
        // As `kill -9` does: neither finished nor taken back.
        std::mem::forget(writer);
        let audio = folder.path().join("objects/audio");
        let files = || std::fs::read_dir(&audio).unwrap().count();
        assert_eq!(files(), 2);
        let hour = Duration::from_secs(3600);
        assert_eq!(objects.remove_stale_pieces(hour).await.unwrap(), 0);
        // A part may still be on its way to the file, which keeps it young.
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while objects.remove_stale_pieces(Duration::ZERO).await.unwrap() == 0 {
            assert!(std::time::Instant::now() < deadline, "nothing was removed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(files(), 1);
        assert_eq!(objects.size(recording).await.unwrap(), Some(1));
    }
}
