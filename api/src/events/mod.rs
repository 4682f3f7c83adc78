//! placeholder: server-sent events (owner: B)
mod hub;
pub use hub::Hub;

use crate::state::AppState;
pub(crate) fn router() -> axum::Router<AppState> {
    axum::Router::new()
}
