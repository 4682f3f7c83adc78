//! Who is asking: API keys, compared in constant time, held and compared as digests only.
//! It guards routes; which routes are guarded is the router's business. Claim tokens are not keys and live in `internal`.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::ConfigError;
use crate::error::{ApiError, Code};
use crate::state::AppState;

const SHORTEST_KEY: usize = 16;

/// The accepted keys as SHA-256 digests. Empty = every client is let in (loopback only).
#[derive(Clone, Default)]
pub struct Keys(Arc<Vec<[u8; 32]>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Keys({} of them)", self.0.len())
    }
}

/// The client behind a request: the first half of its key's digest, or `anonymous`. Safe to log and to store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal(pub Arc<str>);

impl Keys {
    pub fn load(keys: Option<&str>, file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut digests = Vec::new();
        if let Some(keys) = keys {
            add(&mut digests, keys.split(','))?;
        }
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::KeyFile {
                path: path.to_owned(),
                source,
            })?;
            add(&mut digests, text.lines())?;
        }
        Ok(Self(Arc::new(digests)))
    }

    /// No key is configured: everyone may do everything.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Who this key belongs to; every digest is compared, whatever the first one says.
    pub fn principal(&self, key: &str) -> Option<Principal> {
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let known = self
            .0
            .iter()
            .fold(Choice::from(0), |found, known| found | known.ct_eq(&digest));
        bool::from(known).then(|| Principal(hex::encode(&digest[..8]).into()))
    }
}

fn add<'a>(
    digests: &mut Vec<[u8; 32]>,
    keys: impl Iterator<Item = &'a str>,
) -> Result<(), ConfigError> {
    let before = digests.len();
    for key in keys.map(str::trim).filter(|key| !key.is_empty()) {
        if key.len() < SHORTEST_KEY {
            return Err(ConfigError::ShortKey(key.len()));
        }
        digests.push(Sha256::digest(key.as_bytes()).into());
    }
    if digests.len() == before {
        return Err(ConfigError::NoKey);
    }
    Ok(())
}

/// Middleware: lets a request through that carries a known key, and tells handlers who it is.
pub(crate) async fn require_key(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let principal = if state.keys.is_open() {
        Principal("anonymous".into())
    } else {
        let Some(key) = key_of(request.headers()) else {
            let detail = "this server needs an API key: send `Authorization: Bearer KEY` or `X-Api-Key: KEY`";
            return ApiError::new(Code::KeyMissing, detail).into_response();
        };
        let Some(principal) = state.keys.principal(key) else {
            if state.operators.principal(key).is_some() {
                let detail = "this is an operator's key, which opens the operator's routes only";
                return ApiError::new(Code::ScopeMissing, detail).into_response();
            }
            return ApiError::new(Code::KeyInvalid, "the API key is not known to this server")
                .into_response();
        };
        principal
    };
    request.extensions_mut().insert(principal);
    next.run(request).await
}

/// Middleware: lets an operator through, and nobody else. Without a key for operators nobody is one, on loopback, too: these
/// routes make the service open connections.
pub(crate) async fn require_operator(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let key = key_of(request.headers());
    if let Some(principal) = key.and_then(|key| state.operators.principal(key)) {
        request.extensions_mut().insert(principal);
        return next.run(request).await;
    }
    let refused = match key {
        _ if state.operators.is_open() => ApiError::new(
            Code::ScopeMissing,
            "this server has no operator: set WTT_OPERATOR_KEY and give the operator the same key",
        ),
        None => ApiError::new(
            Code::KeyMissing,
            "send the operator's key: `Authorization: Bearer KEY`",
        ),
        Some(key) if state.keys.principal(key).is_some() => ApiError::new(
            Code::ScopeMissing,
            "this key is a user's; these routes are for the operator",
        ),
        Some(_) => ApiError::new(Code::KeyInvalid, "the key is not known to this server"),
    };
    refused.into_response()
}

/// The credential of a request: `Authorization: Bearer X`, else `X-Api-Key: X`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn key_of(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).or_else(|| headers.get("x-api-key")?.to_str().ok().map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configured_keys_have_a_principal() {
        let keys = Keys::load(Some("aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbb"), None).unwrap();
        let a = keys.principal("aaaaaaaaaaaaaaaa").unwrap();
        let b = keys.principal("bbbbbbbbbbbbbbbb").unwrap();
        assert_ne!(a, b);
        assert_eq!(keys.principal("aaaaaaaaaaaaaaab"), None);
        assert!(!format!("{keys:?} {a:?}").contains("aaaaaaaa"));
    }

    #[test]
    fn bearer_takes_any_case_of_the_scheme() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "bearer  x".parse().unwrap());
        assert_eq!(bearer(&headers), Some("x"));
        headers.insert(header::AUTHORIZATION, "Basic x".parse().unwrap());
        assert_eq!(bearer(&headers), None);
    }
}
