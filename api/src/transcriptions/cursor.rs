//! Where a list goes on: the last row's place in the order, in a form that clients do not look into.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use queue::TaskId;

use crate::db::Row;
use crate::error::{ApiError, ApiResult, Code};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) created_at_ms: u64,
    pub(crate) id: String,
}

impl Cursor {
    pub(crate) fn after(row: &Row) -> Self {
        Self {
            created_at_ms: row.created_at_ms,
            id: row.id.clone(),
        }
    }

    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}:{}", self.created_at_ms, self.id))
    }

    pub(crate) fn decode(text: &str) -> ApiResult<Self> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (created_at_ms, id) = text.split_once(':')?;
            Some(Self {
                created_at_ms: created_at_ms.parse().ok()?,
                id: TaskId::parse(id).ok()?.into(),
            })
        };
        let detail = "the cursor is not one that this server gave; start again without one";
        read().ok_or_else(|| ApiError::new(Code::CursorInvalid, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_way_and_nonsense_does_not() {
        let cursor = Cursor {
            created_at_ms: 12,
            id: "a-b".to_owned(),
        };
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        // The last one is `1:` and a NUL.
        for bad in ["", "!!", "YQ", "OjE", "MToA"] {
            assert!(Cursor::decode(bad).is_err(), "{bad}");
        }
    }
}
