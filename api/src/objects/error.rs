//! What can go wrong with objects, in the classes that a caller can act on: not there, no room, anything else.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the objects URL cannot be used: {0}; expected s3://, gs://, az:// or file://")]
    Url(String),
    #[error("failed to {action} object `{key}`")]
    Store {
        action: &'static str,
        key: String,
        #[source]
        source: object_store::Error,
    },
    #[error("failed to create the objects folder {path}: {source}")]
    Folder { path: String, source: io::Error },
    #[error("the objects folder {path} is away; objects in it cannot be looked for")]
    Away { path: String },
}

impl Error {
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Error::Store {
                source: object_store::Error::NotFound { .. },
                ..
            }
        )
    }

    /// No room: not ours to mend, and not for as short as an outage.
    pub fn is_full(&self) -> bool {
        let mut below: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = below {
            if error.downcast_ref::<io::Error>().is_some_and(|error| {
                matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            }) {
                return true;
            }
            below = error.source();
        }
        false
    }
}
