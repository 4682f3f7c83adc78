//! Every answer that is not a success: RFC 9457 `application/problem+json` with a stable `code`.
//! The table of codes is the contract with clients; causes are logged once, here, and never sent.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::{context, problems};

/// Much of a detail or a pointer may be the client's own text.
const MOST_DETAIL_CHARS: usize = 400;
const MOST_POINTER_CHARS: usize = 100;
const MOST_FIELDS: usize = 16;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $code:literal $status:ident $title:literal,)*) => {
        /// Stable codes, with the status and title of each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }
        impl Code {
            pub const ALL: &[Code] = &[$(Code::$variant,)*];
            pub fn as_str(self) -> &'static str { match self { $(Code::$variant => $code,)* } }
            pub fn status(self) -> StatusCode { match self { $(Code::$variant => StatusCode::$status,)* } }
            pub fn title(self) -> &'static str { match self { $(Code::$variant => $title,)* } }
        }
    };
}

codes! {
    RequestMalformed "request_malformed" BAD_REQUEST "The request cannot be read",
    MultipartMalformed "multipart_malformed" BAD_REQUEST "The multipart body cannot be read",
    JsonMalformed "json_malformed" BAD_REQUEST "The JSON cannot be read",
    CursorInvalid "cursor_invalid" BAD_REQUEST "The cursor is not one of ours",
    IdempotencyKeyInvalid "idempotency_key_invalid" BAD_REQUEST "The Idempotency-Key cannot be read",
    AudioMissing "audio_missing" BAD_REQUEST "The recording is missing",
    KeyMissing "key_missing" UNAUTHORIZED "An API key is needed",
    KeyInvalid "key_invalid" UNAUTHORIZED "The API key is not known",
    TokenMissing "token_missing" UNAUTHORIZED "A claim token is needed",
    ScopeMissing "scope_missing" FORBIDDEN "The key does not open this",
    SignatureInvalid "signature_invalid" FORBIDDEN "The address was not signed by this server",
    SignatureExpired "signature_expired" FORBIDDEN "The address has expired",
    NotFound "not_found" NOT_FOUND "There is nothing here",
    TranscriptionUnknown "transcription_unknown" NOT_FOUND "No such transcription",
    TaskUnknown "task_unknown" NOT_FOUND "No such task",
    FileUnknown "file_unknown" NOT_FOUND "No such file",
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The method is not allowed here",
    BodyTimeout "body_timeout" REQUEST_TIMEOUT "The body came too slowly",
    NotReady "not_ready" CONFLICT "The result is not there yet",
    NoResult "no_result" CONFLICT "There is no result and there will be none",
    AlreadyFinished "already_finished" CONFLICT "The transcription has already finished",
    NotRetryable "not_retryable" CONFLICT "Only a failed or cancelled transcription can be retried",
    StaleAttempt "stale_attempt" CONFLICT "The claim is no longer valid",
    IdempotencyInProgress "idempotency_in_progress" CONFLICT "The first request with this key is still running",
    ImmutableChanged "immutable_changed" CONFLICT "It was asked for with other values, which cannot be changed",
    UidTaken "uid_taken" CONFLICT "The id belongs to another transcription",
    Deleted "deleted" GONE "The transcription was deleted",
    Expired "expired" GONE "The transcription has expired",
    SourceExpired "source_expired" GONE "The recording is no longer kept",
    UploadTooLarge "upload_too_large" PAYLOAD_TOO_LARGE "The recording is too large",
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large",
    MediaTypeUnsupported "media_type_unsupported" UNSUPPORTED_MEDIA_TYPE "The body has the wrong media type",
    AudioUndecodable "audio_undecodable" UNSUPPORTED_MEDIA_TYPE "The file is not a recording that can be decoded",
    RangeUnsatisfiable "range_unsatisfiable" RANGE_NOT_SATISFIABLE "The range is not inside the file",
    AudioEmpty "audio_empty" UNPROCESSABLE_ENTITY "The recording is empty",
    AudioTooLong "audio_too_long" UNPROCESSABLE_ENTITY "The recording is too long",
    AudioLimits "audio_limits" UNPROCESSABLE_ENTITY "The recording's rate or channels are out of range",
    CodecUnsupported "codec_unsupported" UNPROCESSABLE_ENTITY "The recording's codec is not supported",
    ModelUnknown "model_unknown" UNPROCESSABLE_ENTITY "No such model",
    QueueUnknown "queue_unknown" UNPROCESSABLE_ENTITY "No such queue",
    QueueNotForModel "queue_not_for_model" UNPROCESSABLE_ENTITY "The queue does not take this model",
    SourceInvalid "source_invalid" UNPROCESSABLE_ENTITY "The source cannot be used",
    SourceForbiddenAddress "source_forbidden_address" UNPROCESSABLE_ENTITY "The source lies at an address that is not public",
    SourceNotFound "source_not_found" UNPROCESSABLE_ENTITY "There is nothing at the source",
    OptionsInvalid "options_invalid" UNPROCESSABLE_ENTITY "The options are not valid",
    LabelsInvalid "labels_invalid" UNPROCESSABLE_ENTITY "The labels are not valid",
    PartUnknown "part_unknown" UNPROCESSABLE_ENTITY "The body has a part that is not known",
    ParameterInvalid "parameter_invalid" UNPROCESSABLE_ENTITY "A parameter is not valid",
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY "The key was used with another request",
    ResultInvalid "result_invalid" UNPROCESSABLE_ENTITY "The result is not valid",
    TooManyStreams "too_many_streams" TOO_MANY_REQUESTS "Too many event streams are open",
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong on our side",
    NotImplemented "not_implemented" NOT_IMPLEMENTED "This server does not do that",
    QueueFull "queue_full" SERVICE_UNAVAILABLE "The queue is full",
    QueueUnavailable "queue_unavailable" SERVICE_UNAVAILABLE "The queue cannot be reached",
    StorageUnavailable "storage_unavailable" SERVICE_UNAVAILABLE "The object store cannot be reached",
    StorageFull "storage_full" INSUFFICIENT_STORAGE "The object store is full",
    DatabaseUnavailable "database_unavailable" SERVICE_UNAVAILABLE "The database cannot be reached",
    ShuttingDown "shutting_down" SERVICE_UNAVAILABLE "The server is shutting down",
}

/// An error on its way to the client.
#[derive(Debug)]
pub struct ApiError {
    pub code: Code,
    pub detail: String,
    /// JSON pointers into the request and what is wrong there.
    pub errors: Vec<FieldError>,
    /// Further members of the problem object, such as `limit_bytes`.
    pub members: Map<String, Value>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Clone)]
pub struct FieldError {
    pub pointer: String,
    pub detail: String,
}

/// The detail of a problem, beside the answer that holds it: for routes that say it in another shape.
#[derive(Debug, Clone)]
pub(crate) struct Said(pub(crate) String);

pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let error = Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
        };
        match code.status() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => error.retry_after(5),
            // Somebody has to make room: that takes longer.
            StatusCode::INSUFFICIENT_STORAGE => error.retry_after(30),
            StatusCode::UNAUTHORIZED => error.header(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"whatsthetab\""),
            ),
            _ => error,
        }
    }

    /// A failure of ours: the cause goes to the log, the client learns that it happened and the request id.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(cause = %cause, "request failed");
        Self::new(
            Code::Internal,
            "the server failed to answer; quote the request id when you report it",
        )
    }

    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
        self
    }

    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (pointer.into(), detail.into());
        self.errors.push(FieldError { pointer, detail });
        self
    }

    /// The detail as it is sent, of bounded length.
    pub fn said(&self) -> String {
        clipped(&self.detail, MOST_DETAIL_CHARS)
    }

    /// The problem object.
    pub fn problem(&self) -> Value {
        let mut body = Map::new();
        let code = self.code.as_str();
        body.insert("type".into(), problems::address(code).into());
        body.insert("title".into(), self.code.title().into());
        body.insert("status".into(), self.code.status().as_u16().into());
        body.insert("code".into(), code.into());
        body.insert("detail".into(), self.said().into());
        if !self.errors.is_empty() {
            let errors = self
                .errors
                .iter()
                .take(MOST_FIELDS)
                .map(|error| {
                    let pointer = clipped(&error.pointer, MOST_POINTER_CHARS);
                    serde_json::json!({"pointer": pointer, "detail": error.detail})
                })
                .collect();
            body.insert("errors".into(), Value::Array(errors));
        }
        body.extend(self.members.clone());
        if let Some(context) = context::current() {
            body.insert("instance".into(), context.path.into());
            body.insert("request_id".into(), context.id.into());
        }
        Value::Object(body)
    }
}

fn clipped(text: &str, most_chars: usize) -> String {
    match text.char_indices().nth(most_chars) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let body = self.problem().to_string();
        let said = Said(self.said());
        let mut response = (self.code.status(), content_type, body).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(self.code);
        response.extensions_mut().insert(said);
        response
    }
}

impl From<crate::db::Error> for ApiError {
    fn from(error: crate::db::Error) -> Self {
        if error.is_unavailable() {
            tracing::warn!(cause = %error, "the database cannot be reached");
            return Self::new(
                Code::DatabaseUnavailable,
                "the database cannot be reached; try again soon",
            );
        }
        Self::internal(error)
    }
}

impl From<queue::Error> for ApiError {
    fn from(error: queue::Error) -> Self {
        if error.is_unavailable() || error.is_refused() {
            tracing::warn!(cause = %error, "the queue cannot be reached");
            return Self::new(
                Code::QueueUnavailable,
                "the queue cannot be reached; try again soon",
            );
        }
        Self::internal(error)
    }
}

impl From<crate::objects::Error> for ApiError {
    fn from(error: crate::objects::Error) -> Self {
        tracing::error!(cause = %causes(&error), "the object store failed");
        if error.is_full() {
            return Self::new(
                Code::StorageFull,
                "there is no room for it in the object store; try again later",
            );
        }
        Self::new(
            Code::StorageUnavailable,
            "the object store cannot be reached; try again soon",
        )
    }
}

impl From<audio::Error> for ApiError {
    fn from(error: audio::Error) -> Self {
        let code = match error.code() {
            "audio_empty" => Code::AudioEmpty,
            "audio_undecodable" => Code::AudioUndecodable,
            "codec_unsupported" => Code::CodecUnsupported,
            "audio_too_long" => Code::AudioTooLong,
            "audio_limits" => Code::AudioLimits,
            "audio_unreadable" => {
                tracing::error!(cause = %error, "a stored recording cannot be read");
                return Self::new(
                    Code::StorageUnavailable,
                    "the stored recording cannot be read; try again soon",
                );
            }
            _ => return Self::internal(error),
        };
        Self::new(code, error.to_string())
    }
}

/// An error with everything below it: its own words seldom say why.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        // Some errors repeat what is below them.
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        below = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_their_statuses_are_errors() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code:?}");
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn unavailable_answers_say_when_to_come_back() {
        ApiError::new(Code::StorageFull, "full")
            .into_response()
            .headers()
            .get(header::RETRY_AFTER)
            .expect("507 says it, too");
        let response = ApiError::new(Code::QueueFull, "full").into_response();
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
    }
}
