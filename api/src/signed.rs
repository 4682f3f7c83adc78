//! Addresses that open one file of one transcription until a moment, without a key: whoever may read the job that names such an
//! address may read its notes. Signed with a key that all replicas share. The signature is looked at first, so nobody without
//! one learns which ids there are.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::get;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::config::{Config, ConfigError};
use crate::db::{Db, Row};
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Path, Query};
use crate::state::{AppState, now_ms};
use crate::transcriptions::files::{self, Disposition, FileName, unknown_file};
use crate::transcriptions::row::find;

const SHORTEST_KEY: usize = 32;
/// Where neither the job nor the retention says when a result goes.
const LONGEST_MS: u64 = 365 * 24 * 3600 * 1000;

/// The key, never shown.
#[derive(Clone)]
pub(crate) struct Signer(Hmac<Sha256>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Signer(***)")
    }
}

impl Signer {
    /// From the configuration, else from the database, where the first replica puts one.
    pub(crate) async fn open(config: &Config, db: &Db) -> anyhow::Result<Self> {
        if let Some(key) = configured(config)? {
            return Ok(Self::new(&key));
        }
        let made: [u8; 32] = rand::random();
        Ok(Self::new(
            &db.setting("signing_key", &hex::encode(made)).await?,
        ))
    }

    fn new(key: &str) -> Self {
        // HMAC takes keys of any length.
        #[expect(clippy::expect_used, reason = "a key of any length is taken")]
        Self(Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length"))
    }

    fn mac(&self, id: &str, name: &str, expires: u64) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(format!("result\n{id}\n{name}\n{expires}").as_bytes());
        mac
    }

    /// The address of a file, from the slash on.
    pub(crate) fn path(&self, id: &str, name: &str, expires: u64) -> String {
        let signature = hex::encode(self.mac(id, name, expires).finalize().into_bytes());
        format!("/api/v1/results/{id}/{name}?expires={expires}&signature={signature}")
    }

    /// In constant time.
    fn verify(&self, id: &str, name: &str, expires: u64, signature: &str) -> bool {
        let Ok(signature) = hex::decode(signature) else {
            return false;
        };
        self.mac(id, name, expires).verify_slice(&signature).is_ok()
    }
}

fn configured(config: &Config) -> Result<Option<String>, ConfigError> {
    let operator = &config.operator;
    let key = match (&operator.signing_key, &operator.signing_key_file) {
        (Some(key), _) => key.clone(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).map_err(|source| ConfigError::KeyFile {
                path: path.clone(),
                source,
            })?
        }
        (None, None) => return Ok(None),
    };
    let key = key.trim();
    match key.len() {
        length if length < SHORTEST_KEY => Err(ConfigError::ShortSigningKey(length)),
        _ => Ok(Some(key.to_owned())),
    }
}

/// The signed address of a finished row's MIDI file. The same row always has the same one.
pub(crate) fn midi_url(state: &AppState, row: &Row) -> Option<String> {
    row.result.as_ref()?;
    let finished_ms = row.finished_at_ms?;
    let ttl_ms = row.operated.as_ref().and_then(|operated| operated.ttl_ms);
    let expires_ms = match ttl_ms {
        Some(ttl_ms) => finished_ms.saturating_add(ttl_ms),
        None => row
            .expires_at_ms
            .unwrap_or(finished_ms.saturating_add(LONGEST_MS)),
    };
    // To the next second: not shorter than was promised.
    let path = state
        .signer
        .path(&row.id, "midi", expires_ms.div_ceil(1000));
    let base = state
        .config
        .operator
        .public_url
        .as_deref()
        .unwrap_or_default();
    Some(format!("{base}{path}"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    expires: u64,
    signature: String,
}

pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/api/v1/results/{id}/{name}", get(send))
}

async fn send(
    State(state): State<AppState>,
    Path((id, name)): Path<(String, String)>,
    Query(signed): Query<Signature>,
    method: Method,
    headers: HeaderMap,
) -> ApiResult<Response> {
    if !state
        .signer
        .verify(&id, &name, signed.expires, &signed.signature)
    {
        let detail =
            "the signature does not fit this address; take the whole address as it was given";
        return Err(ApiError::new(Code::SignatureInvalid, detail));
    }
    if now_ms() >= signed.expires.saturating_mul(1000) {
        let detail = "the address was valid for as long as its job was kept; ask with an API key";
        return Err(ApiError::new(Code::SignatureExpired, detail));
    }
    let file = FileName::parse(&name).ok_or_else(|| unknown_file(&name))?;
    let row = find(&state, &id).await?;
    files::respond(
        &state,
        &row,
        file,
        (&method, &headers),
        Disposition::Attachment,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_one_file_one_id_one_moment_and_one_key() {
        let signer = Signer::new("a key of some length, made of words");
        let path = signer.path("a-1", "midi", 100);
        let (_, signature) = path.rsplit_once('=').unwrap();
        assert!(signer.verify("a-1", "midi", 100, signature));
        assert!(!signer.verify("a-2", "midi", 100, signature));
        assert!(!signer.verify("a-1", "source", 100, signature));
        assert!(!signer.verify("a-1", "midi", 101, signature));
        assert!(!Signer::new("another key").verify("a-1", "midi", 100, signature));
        for bad in ["", "00", "zz", &signature[..62], &format!("{signature}00")] {
            assert!(!signer.verify("a-1", "midi", 100, bad), "{bad}");
        }
        assert!(!format!("{signer:?}").contains("words"));
    }
}
