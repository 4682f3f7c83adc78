//! axum's extractors with our errors: whatever cannot be read is a problem object, never axum's plain text.
//! Handlers import `Json`, `Query`, `Path` and `Multipart` from here only.

use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::error::{ApiError, Code};

#[derive(Debug, FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub(crate) struct Json<T>(pub(crate) T);

#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(crate) struct Query<T>(pub(crate) T);

#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(crate) struct Path<T>(pub(crate) T);

/// Multipart bodies.
pub(crate) struct Multipart(pub(crate) axum::extract::Multipart);

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<S: Send + Sync> FromRequest<S> for Multipart {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Ok(Self(
            axum::extract::Multipart::from_request(request, state).await?,
        ))
    }
}

impl From<MultipartRejection> for ApiError {
    fn from(rejection: MultipartRejection) -> Self {
        Self::new(
            Code::MediaTypeUnsupported,
            format!(
                "send the recording as multipart/form-data: {}",
                rejection.body_text()
            ),
        )
    }
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        if is_late(&error) {
            return late();
        }
        match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                Code::BodyTooLarge,
                "the multipart body is larger than allowed",
            ),
            StatusCode::INTERNAL_SERVER_ERROR => {
                // The body ended early or the connection broke: nobody may be left to read this.
                Self::new(
                    Code::MultipartMalformed,
                    "the multipart body ended before it was complete",
                )
            }
            _ => Self::new(Code::MultipartMalformed, error.body_text()),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => Self::new(
                Code::MediaTypeUnsupported,
                "send `Content-Type: application/json`",
            ),
            JsonRejection::BytesRejection(rejection) => rejection.into(),
            other => Self::new(Code::JsonMalformed, other.body_text()),
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        if is_late(&rejection) {
            return late();
        }
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(Code::BodyTooLarge, "the body is larger than allowed")
            }
            _ => Self::new(Code::RequestMalformed, rejection.body_text()),
        }
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Code::RequestMalformed, rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(_: PathRejection) -> Self {
        // A name that cannot even be read names nothing.
        Self::new(Code::NotFound, "there is nothing at this address")
    }
}

/// Somewhere below, the deadline for the whole body has passed.
fn is_late(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<tower_http::timeout::TimeoutError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn late() -> ApiError {
    ApiError::new(
        Code::BodyTimeout,
        "the body did not arrive in the time allowed for it",
    )
}
