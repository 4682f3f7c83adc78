//! Entity tags: made from content, compared with what the client has.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};

/// A strong tag that stands for exactly these bytes.
pub(crate) fn etag_of(body: &[u8]) -> String {
    tag(&hex::encode(Sha256::digest(body)))
}

pub(crate) fn tag(sha256: &str) -> String {
    format!("\"{sha256}\"")
}

/// The client has this version already (`If-None-Match`, weak comparison).
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == etag)
}

/// A header whose value is text that we made; what cannot be a header value is left out.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_weak_tags_and_the_star_match() {
        let known = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            is_known(&headers, "\"a\"")
        };
        assert!(known("\"a\"") && known("\"b\", W/\"a\"") && known("*"));
        assert!(!known("\"b\"") && !known("a"));
        assert!(!is_known(&HeaderMap::new(), "\"a\""));
    }
}
