//! axum's extractors with our errors: whatever cannot be read is a problem object, never axum's plain text.
//! Handlers import `Json`, `Query`, `Path` and `Multipart` from here only.

use axum::body::Body;
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::{ApiError, Code};
use crate::heads::{Bounded, HeadTooLong, Heads};
use crate::pace::Paced;

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
        let packed = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
        if request
            .headers()
            .get(header::CONTENT_ENCODING)
            .is_some_and(packed)
        {
            return Err(Self::Rejection::new(
                Code::MediaTypeUnsupported,
                "send the body as it is, without Content-Encoding",
            ));
        }
        let request = match boundary(request.headers()) {
            Some(boundary) => request.map(|body| {
                let inner = Paced::new(body.into_data_stream());
                let heads = Heads::new(&boundary);
                Body::from_stream(Bounded { inner, heads })
            }),
            // The parser says what is wrong with the type.
            None => request,
        };
        Ok(Self(
            axum::extract::Multipart::from_request(request, state).await?,
        ))
    }
}

/// What separates the parts.
fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    multer::parse_boundary(kind).ok()
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
        if let Some(long) = cause::<HeadTooLong>(&error) {
            return Self::new(Code::MultipartMalformed, long.to_string());
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
            _ => {
                let reason = error.body_text();
                let detail = format!(
                    "the multipart body cannot be read ({reason}): was it sent whole, and with the boundary that its Content-Type names?"
                );
                Self::new(Code::MultipartMalformed, detail)
            }
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
        // axum's own sentence in front of what is wrong tells the client nothing.
        let text = rejection.body_text();
        let reason = text
            .rsplit_once("query string: ")
            .map_or(&*text, |(_, reason)| reason);
        Self::new(
            Code::ParameterInvalid,
            format!("the query cannot be used: {reason}"),
        )
    }
}

impl From<PathRejection> for ApiError {
    fn from(_: PathRejection) -> Self {
        // A name that cannot even be read names nothing.
        Self::new(Code::NotFound, "there is nothing at this address")
    }
}

/// Somewhere below, the deadline for the whole body has passed, or its sender fell silent.
fn is_late(error: &(dyn std::error::Error + 'static)) -> bool {
    cause::<tower_http::timeout::TimeoutError>(error).is_some()
}

/// The first cause of this kind.
fn cause<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn late() -> ApiError {
    ApiError::new(
        Code::BodyTimeout,
        "the body did not arrive in the time allowed for it; send it again over a better connection",
    )
}
