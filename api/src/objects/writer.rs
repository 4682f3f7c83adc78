//! A streamed upload that leaves nothing behind unless it is finished.

use bytes::Bytes;
use object_store::WriteMultipart;

use super::Error;

const PARTS_IN_FLIGHT: usize = 3;

/// An upload in progress. Dropped without `finish`, it takes back what it has stored.
pub struct Writer {
    pub(super) upload: Option<WriteMultipart>,
    pub(super) key: String,
}

impl Writer {
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let key = &self.key;
        if let Some(upload) = &mut self.upload {
            let failed = |source| Error::Store {
                action: "write",
                key: key.clone(),
                source,
            };
            upload
                .wait_for_capacity(PARTS_IN_FLIGHT)
                .await
                .map_err(failed)?;
            // Copied: a piece of a connection's buffer would keep the whole of it.
            upload.write(&bytes);
        }
        Ok(())
    }

    /// Makes the object visible.
    pub async fn finish(mut self) -> Result<(), Error> {
        if let Some(upload) = self.upload.take() {
            let key = std::mem::take(&mut self.key);
            upload.finish().await.map_err(|source| Error::Store {
                action: "finish",
                key,
                source,
            })?;
        }
        Ok(())
    }

    pub async fn abort(mut self) {
        if let Some(upload) = self.upload.take() {
            give_up(upload, std::mem::take(&mut self.key)).await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A client that hangs up drops the whole request; remote stores keep the parts unless they are told.
        if let (Some(upload), Ok(runtime)) =
            (self.upload.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(give_up(upload, std::mem::take(&mut self.key)));
        }
    }
}

async fn give_up(upload: WriteMultipart, key: String) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(object = %key, cause = %error, "failed to take back an aborted upload");
    }
}
