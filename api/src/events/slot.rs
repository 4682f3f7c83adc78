//! How many event streams are open, all together and with each key. A slot is given back when its stream is dropped.

use std::sync::{Arc, PoisonError};

use crate::auth::Principal;
use crate::error::{ApiError, ApiResult, Code};
use crate::state::AppState;

pub(super) struct Slot {
    state: AppState,
    principal: Arc<str>,
}

impl Slot {
    pub(super) fn take(state: &AppState, principal: &Principal) -> ApiResult<Self> {
        let limits = &state.config.limits;
        let mut streams = state.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = streams.values().sum();
        let own = streams.get(&principal.0).copied().unwrap_or(0);
        // Without keys everyone has the same name, and the limit for all is enough.
        if all >= limits.max_streams || (!state.keys.is_open() && own >= limits.max_streams_per_key)
        {
            let detail =
                "too many event streams are open; close some, or poll the transcription instead";
            return Err(ApiError::new(Code::TooManyStreams, detail));
        }
        *streams.entry(Arc::clone(&principal.0)).or_default() += 1;
        Ok(Self {
            state: state.clone(),
            principal: Arc::clone(&principal.0),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut streams = self
            .state
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = streams.get_mut(&self.principal) {
            *open -= 1;
            if *open == 0 {
                streams.remove(&self.principal);
            }
        }
    }
}
