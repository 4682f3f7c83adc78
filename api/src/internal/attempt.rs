//! Who a worker says it is: a task and the token of one claim of it. What the claim is worth, only the queue knows.

use axum::http::HeaderMap;
use queue::{TaskId, Token, Verdict};
use sha2::{Digest, Sha256};

use crate::auth;
use crate::error::{ApiError, ApiResult, Code};
use crate::state::AppState;

pub(crate) struct Attempt {
    pub(crate) id: TaskId,
    pub(crate) token: Token,
}

impl Attempt {
    pub(crate) fn of(id: &str, headers: &HeaderMap) -> ApiResult<Self> {
        let Some(token) = auth::bearer(headers) else {
            let detail = "send the token of the claim: `Authorization: Bearer TOKEN`";
            return Err(ApiError::new(Code::TokenMissing, detail));
        };
        let Ok(task) = TaskId::parse(id) else {
            return Err(unknown(id));
        };
        Ok(Self {
            id: task,
            token: Token::new(token),
        })
    }

    /// Live or done by this very token; anything else is an error. Redis away: 503, repeat.
    pub(crate) async fn verify(&self, state: &AppState) -> ApiResult<Verdict> {
        match state.queue.verify(&self.id, &self.token).await? {
            Verdict::Stale => Err(self.stale()),
            Verdict::Unknown => Err(self.unknown()),
            good => Ok(good),
        }
    }

    /// As [`Attempt::verify`], for what only a running attempt may do.
    pub(crate) async fn verify_live(&self, state: &AppState) -> ApiResult<()> {
        match self.verify(state).await? {
            Verdict::Live => Ok(()),
            _ => Err(self.stale()),
        }
    }

    /// Part of the names of the stored files: tells attempts apart and gives no token away.
    pub(crate) fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.token.as_str().as_bytes());
        hex::encode(&digest[..8])
    }

    pub(crate) fn stale(&self) -> ApiError {
        let detail = format!(
            "task {} has been given to another attempt or has ended; drop this one",
            self.id
        );
        ApiError::new(Code::StaleAttempt, detail)
    }

    pub(crate) fn unknown(&self) -> ApiError {
        unknown(self.id.as_str())
    }
}

fn unknown(id: &str) -> ApiError {
    ApiError::new(Code::TaskUnknown, format!("there is no task {id:?}"))
}
