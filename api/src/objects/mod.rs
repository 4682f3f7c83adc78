//! Recordings and results as objects: a folder, S3, GCS or Azure behind one face, named by `ObjectKey` and nothing else.
//! It streams in and out and cleans up after aborted uploads; what the bytes mean is not its business. Names, types and
//! hashes are kept in the database, because the local folder refuses object attributes.

mod error;
mod orphans;
mod source;
mod writer;

use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, WriteMultipart};
use url::Url;

pub use error::Error;
pub use source::StoredSource;
pub use writer::Writer;

/// Every name under which something is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKey<'a> {
    /// The recording of a transcription.
    Audio(&'a str),
    /// The MIDI file of one attempt; the fingerprint is `sha256(token)[..16]`, never the token.
    Midi { id: &'a str, fingerprint: &'a str },
    /// The notes JSON of one attempt.
    Notes { id: &'a str, fingerprint: &'a str },
    /// A recording that somebody else put there for us, by its whole key (`imports/NAMESPACE/...`).
    Import(&'a str),
}

impl std::fmt::Display for ObjectKey<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ObjectKey::Audio(id) => write!(formatter, "audio/{id}"),
            ObjectKey::Midi { id, fingerprint } => {
                write!(formatter, "results/{id}/{fingerprint}.mid")
            }
            ObjectKey::Notes { id, fingerprint } => {
                write!(formatter, "results/{id}/{fingerprint}.json")
            }
            ObjectKey::Import(key) => formatter.write_str(key),
        }
    }
}

/// The object store.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// Of the local store.
    folder: Option<PathBuf>,
}

impl Objects {
    /// The store behind `url`, or the folder `objects` in the data folder.
    pub fn open(url: Option<&str>, data_dir: &FilePath) -> Result<Self, Error> {
        let Some(text) = url else {
            return Self::folder(&data_dir.join("objects"));
        };
        let url = Url::parse(text).map_err(|error| Error::Url(error.to_string()))?;
        if url.scheme() == "file" {
            let path = url
                .to_file_path()
                .map_err(|()| Error::Url("file:// needs an absolute path".to_owned()))?;
            return Self::folder(&path);
        }
        // Credentials and endpoints come from the variables that each provider's own tools use (AWS_*, GOOGLE_*, AZURE_*).
        let options = std::env::vars().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let ours = ["aws_", "google_", "azure_"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            ours.then_some((name, value))
        });
        let (store, root) = object_store::parse_url_opts(&url, options)
            .map_err(|error| Error::Url(error.to_string()))?;
        Ok(Self {
            store: store.into(),
            root,
            folder: None,
        })
    }

    fn folder(path: &FilePath) -> Result<Self, Error> {
        let fail = |source| Error::Folder {
            path: path.display().to_string(),
            source,
        };
        std::fs::create_dir_all(path).map_err(fail)?;
        let store = LocalFileSystem::new_with_prefix(path)
            .map_err(|error| Error::Url(error.to_string()))?;
        let store = store.with_automatic_cleanup(true).with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            root: Path::default(),
            folder: Some(path.to_owned()),
        })
    }

    fn path(&self, name: &str) -> Path {
        self.root.parts().chain(Path::from(name).parts()).collect()
    }

    /// Stores a small object whole.
    pub async fn put(&self, key: ObjectKey<'_>, bytes: Bytes) -> Result<(), Error> {
        let path = self.path(&key.to_string());
        self.store
            .put(&path, bytes.into())
            .await
            .map_err(fail("store", key))?;
        Ok(())
    }

    /// What an upload holds in memory is a few of these. A folder takes any size; the smallest that S3 takes is 5 MiB.
    fn part_bytes(&self) -> usize {
        match self.folder {
            Some(_) => 256 * 1024,
            None => 5 * 1024 * 1024,
        }
    }

    /// Starts a streamed upload; nothing is visible before `finish`, and dropping the writer leaves nothing behind.
    pub async fn writer(&self, key: ObjectKey<'_>) -> Result<Writer, Error> {
        let path = self.path(&key.to_string());
        let upload = self
            .store
            .put_multipart(&path)
            .await
            .map_err(fail("start", key))?;
        Ok(Writer {
            upload: Some(WriteMultipart::new_with_chunk_size(
                upload,
                self.part_bytes(),
            )),
            key: key.to_string(),
        })
    }

    /// The object, or a range of it, as a stream.
    pub async fn stream(
        &self,
        key: ObjectKey<'_>,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, object_store::Error>>, Error> {
        let path = self.path(&key.to_string());
        let options = GetOptions {
            range: range.map(Into::into),
            ..Default::default()
        };
        let found = self
            .store
            .get_opts(&path, options)
            .await
            .map_err(|source| self.not_found_or_away("read", key, source))?;
        Ok(found.into_stream())
    }

    /// A small object whole.
    pub async fn read(&self, key: ObjectKey<'_>) -> Result<Bytes, Error> {
        let path = self.path(&key.to_string());
        let found = self
            .store
            .get(&path)
            .await
            .map_err(|source| self.not_found_or_away("read", key, source))?;
        found.bytes().await.map_err(fail("read", key))
    }

    /// The size of an object; `None` where there is none.
    pub async fn size(&self, key: ObjectKey<'_>) -> Result<Option<u64>, Error> {
        match self.store.head(&self.path(&key.to_string())).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(source) => match self.not_found_or_away("look for", key, source) {
                error if error.is_not_found() => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Where the whole folder is missing, that an object is not there says nothing: its disk may not be mounted.
    fn not_found_or_away(
        &self,
        action: &'static str,
        key: ObjectKey<'_>,
        source: object_store::Error,
    ) -> Error {
        let error = fail(action, key)(source);
        match &self.folder {
            Some(folder) if error.is_not_found() && !folder.is_dir() => Error::Away {
                path: folder.display().to_string(),
            },
            _ => error,
        }
    }

    /// Copies an object within the store.
    pub async fn copy(&self, from: ObjectKey<'_>, to: ObjectKey<'_>) -> Result<(), Error> {
        let (source, target) = (self.path(&from.to_string()), self.path(&to.to_string()));
        self.store
            .copy(&source, &target)
            .await
            .map_err(|source| self.not_found_or_away("copy", from, source))
    }

    /// Deletes an object; one that is not there counts as deleted.
    pub async fn delete(&self, key: ObjectKey<'_>) -> Result<(), Error> {
        match self.store.delete(&self.path(&key.to_string())).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(fail("delete", key)(source)),
        }
    }

    /// Deletes every result of a transcription.
    pub async fn delete_results(&self, id: &str) -> Result<(), Error> {
        let key = format!("results/{id}");
        let named = |source| Error::Store {
            action: "delete",
            key: key.clone(),
            source,
        };
        let found: Vec<_> = self
            .store
            .list(Some(&self.path(&key)))
            .try_collect()
            .await
            .map_err(named)?;
        for meta in found {
            match self.store.delete(&meta.location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(named(source)),
            }
        }
        Ok(())
    }

    /// Deletes the recording and every result of a transcription.
    pub async fn delete_all(&self, id: &str) -> Result<(), Error> {
        self.delete(ObjectKey::Audio(id)).await?;
        self.delete_results(id).await
    }

    /// How many objects there are in all (tests and the sweeper's report).
    pub async fn count(&self) -> Result<usize, Error> {
        let named = |source| Error::Store {
            action: "list",
            key: String::new(),
            source,
        };
        let names: Vec<_> = self
            .store
            .list(Some(&self.root))
            .map_ok(|_| ())
            .try_collect()
            .await
            .map_err(named)?;
        Ok(names.len())
    }

    /// Whether the store answers at all.
    pub async fn ping(&self) -> Result<(), Error> {
        self.size(ObjectKey::Audio("ping")).await.map(|_| ())
    }

    /// A seekable reader over ranged reads, for the probe. Use it on a blocking thread of a runtime only.
    pub fn source(&self, key: ObjectKey<'_>, bytes: u64) -> StoredSource {
        StoredSource {
            store: Arc::clone(&self.store),
            path: self.path(&key.to_string()),
            runtime: tokio::runtime::Handle::current(),
            bytes,
            position: 0,
            block: Bytes::new(),
            block_start: 0,
        }
    }
}

fn fail(action: &'static str, key: ObjectKey<'_>) -> impl FnOnce(object_store::Error) -> Error {
    let key = key.to_string();
    move |source| Error::Store {
        action,
        key,
        source,
    }
}

/// A stream of errors and bytes as axum's body wants it.
pub type ByteStream = BoxStream<'static, Result<Bytes, object_store::Error>>;

/// The bytes as a one-item stream, for bodies that are rendered.
pub fn once(bytes: Bytes) -> ByteStream {
    futures::stream::once(async move { Ok(bytes) }).boxed()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};

    use super::*;

    async fn store() -> (tempfile::TempDir, Objects) {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(None, folder.path()).unwrap();
        (folder, objects)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_source_reads_and_seeks_like_a_file() {
        let (_folder, objects) = store().await;
        let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        objects
            .put(ObjectKey::Audio("a"), content.clone().into())
            .await
            .unwrap();
        let mut source = objects.source(ObjectKey::Audio("a"), content.len() as u64);
        tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            source.read_to_end(&mut all).unwrap();
            assert!(all == content);
            source.seek(SeekFrom::End(-3)).unwrap();
            let mut tail = Vec::new();
            source.read_to_end(&mut tail).unwrap();
            assert_eq!(tail, content[content.len() - 3..]);
            source.seek(SeekFrom::Start(65_530)).unwrap();
            let mut ten = [0; 10];
            source.read_exact(&mut ten).unwrap();
            assert_eq!(ten, content[65_530..65_540]);
            assert!(source.seek(SeekFrom::End(-300_000)).is_err());
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn an_aborted_upload_leaves_nothing() {
        let (folder, objects) = store().await;
        let mut writer = objects.writer(ObjectKey::Audio("a")).await.unwrap();
        writer.write(vec![1; 6 << 20].into()).await.unwrap();
        writer.abort().await;
        assert_eq!(objects.count().await.unwrap(), 0);
        let left =
            std::fs::read_dir(folder.path().join("objects/audio")).map_or(0, Iterator::count);
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn delete_all_takes_recording_and_results_of_one_id_only() {
        let (_folder, objects) = store().await;
        for id in ["a", "ab"] {
            objects
                .put(ObjectKey::Audio(id), Bytes::from_static(b"x"))
                .await
                .unwrap();
            objects
                .put(
                    ObjectKey::Midi {
                        id,
                        fingerprint: "f",
                    },
                    Bytes::from_static(b"x"),
                )
                .await
                .unwrap();
            objects
                .put(
                    ObjectKey::Notes {
                        id,
                        fingerprint: "f",
                    },
                    Bytes::from_static(b"x"),
                )
                .await
                .unwrap();
        }
        objects.delete_all("a").await.unwrap();
        objects.delete_all("a").await.unwrap();
        assert_eq!(objects.count().await.unwrap(), 3);
        assert_eq!(objects.read(ObjectKey::Audio("ab")).await.unwrap(), "x");
        assert_eq!(objects.size(ObjectKey::Audio("a")).await.unwrap(), None);
    }
}
