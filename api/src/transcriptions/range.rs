//! `Range: bytes=...` against a known length. One range is served; several, or another unit, are answered with the whole.

use std::ops::Range;

use axum::http::{HeaderMap, Method, header};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    Part(Range<u64>),
    /// Well formed, but nothing of it is inside: 416.
    Outside,
}

pub(crate) fn wanted(method: &Method, headers: &HeaderMap, bytes: u64, etag: &str) -> Wanted {
    // RFC 9110, 14.2: a range of anything but a GET is ignored.
    if method != Method::GET {
        return Wanted::Whole;
    }
    let Some(value) = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
    else {
        return Wanted::Whole;
    };
    // If-Range: a part is only of use to a client that holds the rest of the same version.
    if headers
        .get(header::IF_RANGE)
        .is_some_and(|held| held.as_bytes() != etag.as_bytes())
    {
        return Wanted::Whole;
    }
    parse(value, bytes).unwrap_or(Wanted::Whole)
}

/// `None`: not a single byte range, so the header is ignored.
fn parse(value: &str, bytes: u64) -> Option<Wanted> {
    let (first, last) = value
        .trim()
        .strip_prefix("bytes=")?
        .trim()
        .split_once('-')?;
    let number = |text: &str| -> Option<u64> {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let count = number(last)?.min(bytes);
        return Some(if count == 0 {
            Wanted::Outside
        } else {
            Wanted::Part(bytes - count..bytes)
        });
    }
    let first = number(first)?;
    let end = if last.is_empty() {
        bytes
    } else {
        number(last)?.saturating_add(1).min(bytes)
    };
    if !last.is_empty() && number(last)? < first {
        return None;
    }
    Some(if first >= bytes {
        Wanted::Outside
    } else {
        Wanted::Part(first..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        for (value, expected) in [
            ("bytes=0-0", Some(Wanted::Part(0..1))),
            ("bytes=2-", Some(Wanted::Part(2..10))),
            ("bytes=2-99", Some(Wanted::Part(2..10))),
            ("bytes=-3", Some(Wanted::Part(7..10))),
            ("bytes=-99", Some(Wanted::Part(0..10))),
            ("bytes=10-", Some(Wanted::Outside)),
            ("bytes=-0", Some(Wanted::Outside)),
            ("bytes=99999999999999999999999-", Some(Wanted::Outside)),
            ("bytes=5-2", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("bytes=a-b", None),
            ("bytes=", None),
        ] {
            assert_eq!(parse(value, 10), expected, "{value}");
        }
    }
}
