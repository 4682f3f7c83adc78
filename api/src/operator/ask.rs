//! What an operator asks for, read and judged before anything is written. Pure but for one look at another row.

use queue::{QueueName, TaskId};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::db::{Asked, Source};
use crate::error::{ApiError, ApiResult, Code};
use crate::fetch::{Policy, code_of, may_use, not_found};
use crate::models::{Model, Models};
use crate::state::AppState;
use crate::upload::display_name;

const LONGEST_KEY_BYTES: usize = 1024;

/// A request that can be understood. Whether it can be met, `decide` says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub(super) origin: String,
    pub(super) asked: Asked,
    pub(super) ttl_seconds: Option<u64>,
    pub(super) suspended: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    source: Option<SourceBody>,
    model: Option<String>,
    #[serde(default)]
    options: Map<String, Value>,
    queue: Option<String>,
    #[serde(default)]
    priority: i64,
    #[serde(default)]
    limits: Limits,
    origin: Option<String>,
    #[serde(default)]
    suspended: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceBody {
    url: Option<String>,
    object: Option<String>,
    transcription: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Limits {
    backoff_limit: Option<i64>,
    active_deadline_seconds: Option<i64>,
    queue_deadline_seconds: Option<i64>,
    ttl_seconds_after_finished: Option<i64>,
}

/// Reads the body; the ranges are those of the custom resource.
pub(super) fn read(body: Value) -> ApiResult<Request> {
    let invalid = |why: &dyn std::fmt::Display| {
        ApiError::new(
            Code::ParameterInvalid,
            format!("the request cannot be used: {why}"),
        )
    };
    // serde would take a list for a struct, field by field.
    if !body.is_object() {
        return Err(invalid(&"it must be a JSON object"));
    }
    let body: Body = serde_json::from_value(body).map_err(|error| invalid(&error))?;
    let origin = body.origin.unwrap_or_default();
    if !is_origin(&origin) {
        let detail = "`origin` must be RELEASE/NAMESPACE";
        return Err(
            ApiError::new(Code::ParameterInvalid, detail).field("/origin", "not RELEASE/NAMESPACE")
        );
    }
    let limits = &body.limits;
    let backoff_limit = within("/limits/backoffLimit", limits.backoff_limit, 0..=10)?.unwrap_or(2);
    let asked = Asked {
        source: read_source(body.source.unwrap_or_default())?,
        model: body.model,
        options: body.options,
        queue: body.queue,
        priority: signed_within("/priority", body.priority, -1000..=1000)?,
        backoff_limit: u32::try_from(backoff_limit).unwrap_or(2),
        run_limit_seconds: within(
            "/limits/activeDeadlineSeconds",
            limits.active_deadline_seconds,
            1..=604_800,
        )?,
        queue_limit_seconds: within(
            "/limits/queueDeadlineSeconds",
            limits.queue_deadline_seconds,
            1..=2_592_000,
        )?,
    };
    let ttl_seconds = within(
        "/limits/ttlSecondsAfterFinished",
        limits.ttl_seconds_after_finished,
        0..=31_536_000,
    )?;
    Ok(Request {
        origin,
        asked,
        ttl_seconds,
        suspended: body.suspended,
    })
}

/// `release/namespace`, both as Kubernetes names things.
pub(super) fn is_origin(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    // The namespace becomes part of keys, so it must not be `..`.
    let name = |part: &str| {
        let bytes = part.as_bytes();
        part.len() <= 253
            && bytes
                .iter()
                .all(|byte| plain(*byte) || b".-".contains(byte))
            && bytes.first().is_some_and(|byte| plain(*byte))
            && bytes.last().is_some_and(|byte| plain(*byte))
    };
    text.split_once('/')
        .is_some_and(|(release, namespace)| name(release) && name(namespace))
}

fn read_source(source: SourceBody) -> ApiResult<Source> {
    let given = [
        source.url.map(Source::Url),
        source.object.map(Source::Object),
        source.transcription.map(Source::Transcription),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(source), None) => Ok(source),
        (None, _) => Err(source_invalid(
            "name a source: url, object or transcription",
        )),
        (Some(_), Some(_)) => Err(source_invalid(
            "name one source only: url, object or transcription",
        )),
    }
}

fn source_invalid(detail: impl Into<String>) -> ApiError {
    ApiError::new(Code::SourceInvalid, detail).field("/source", "cannot be used")
}

fn within(
    pointer: &str,
    value: Option<i64>,
    range: std::ops::RangeInclusive<i64>,
) -> ApiResult<Option<u64>> {
    let Some(value) = value else { return Ok(None) };
    let value = signed_within(pointer, value, range)?;
    Ok(u64::try_from(value).ok())
}

fn signed_within(
    pointer: &str,
    value: i64,
    range: std::ops::RangeInclusive<i64>,
) -> ApiResult<i64> {
    if range.contains(&value) {
        return Ok(value);
    }
    let problem = format!("must lie between {} and {}", range.start(), range.end());
    let name = pointer.rsplit('/').next().unwrap_or_default();
    Err(
        ApiError::new(Code::ParameterInvalid, format!("`{name}` {problem}"))
            .field(pointer, problem),
    )
}

/// What of a repeated request differs from the first, as JSON pointers.
pub(super) fn differences(first: &Asked, again: &Asked) -> Vec<&'static str> {
    [
        ("/source", first.source == again.source),
        ("/model", first.model == again.model),
        ("/options", first.options == again.options),
        ("/queue", first.queue == again.queue),
        ("/priority", first.priority == again.priority),
        (
            "/limits/backoffLimit",
            first.backoff_limit == again.backoff_limit,
        ),
        (
            "/limits/activeDeadlineSeconds",
            first.run_limit_seconds == again.run_limit_seconds,
        ),
        (
            "/limits/queueDeadlineSeconds",
            first.queue_limit_seconds == again.queue_limit_seconds,
        ),
    ]
    .into_iter()
    .filter_map(|(pointer, same)| (!same).then_some(pointer))
    .collect()
}

/// What the row will hold of a request that can be met.
#[derive(Clone)]
pub(super) struct Decided {
    pub(super) model: Model,
    pub(super) queue: QueueName,
    /// In the networks' own names.
    pub(super) options: Map<String, Value>,
    pub(super) filename: String,
}

pub(super) fn decide(models: &Models, policy: &Policy, request: &Request) -> ApiResult<Decided> {
    let asked = &request.asked;
    let model = match &asked.model {
        Some(name) => models.require(name)?.clone(),
        None => models.default_model().clone(),
    };
    let queue = match &asked.queue {
        None => model.queue.clone(),
        Some(name) => wanted_queue(models, &model, name)?,
    };
    let options = model.translated(&asked.options)?;
    model.check_options(&options)?;
    let filename = match &asked.source {
        Source::Url(text) => {
            let url = policy.read(text).map_err(|refusal| {
                ApiError::new(code_of(&refusal), refusal.to_string())
                    .field("/source/url", "cannot be used")
            })?;
            last_segment(&url)
        }
        Source::Object(key) => {
            let (_, namespace) = request.origin.split_once('/').unwrap_or_default();
            check_key(key, namespace)?;
            display_name(key)
        }
        Source::Transcription(id) => {
            TaskId::parse(id.as_str()).map_err(|_| source_not_found(id))?;
            display_name("")
        }
    };
    Ok(Decided {
        model,
        queue,
        options,
        filename,
    })
}

fn wanted_queue(models: &Models, model: &Model, name: &str) -> ApiResult<QueueName> {
    let known = QueueName::parse(name)
        .ok()
        .filter(|queue| models.queues().contains(queue));
    let Some(queue) = known else {
        let queues = models.queues();
        let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
        let detail = format!("no queue {name:?} here; there are {}", names.join(", "));
        return Err(ApiError::new(Code::QueueUnknown, detail).field("/queue", "unknown queue"));
    };
    if !model.takes_queue(&queue) {
        let names: Vec<&str> = model.all_queues().map(QueueName::as_str).collect();
        let detail = format!(
            "the queue {name:?} does not take {}, which is taken by {}",
            model.name,
            names.join(", ")
        );
        return Err(
            ApiError::new(Code::QueueNotForModel, detail).field("/queue", "not for this model")
        );
    }
    Ok(queue)
}

/// The file's name in an address, for display.
fn last_segment(url: &url::Url) -> String {
    let last = url.path_segments().and_then(|mut parts| parts.next_back());
    let last = last.unwrap_or_default().as_bytes();
    let mut plain = Vec::with_capacity(last.len());
    let mut rest = last;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match escaped {
            Some(byte) => {
                plain.push(byte);
                rest = &behind[2..];
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    display_name(&String::from_utf8_lossy(&plain))
}

/// A key of the store below the folder of its namespace, and nothing that could lead out of it.
fn check_key(key: &str, namespace: &str) -> ApiResult<()> {
    let prefix = format!("imports/{namespace}/");
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.chars().any(|c| c.is_control() || c == '\\')
    };
    let fits = key.len() <= LONGEST_KEY_BYTES
        && key
            .strip_prefix(&prefix)
            .is_some_and(|rest| rest.split('/').all(plain));
    match fits {
        true => Ok(()),
        false => Err(source_invalid(format!(
            "an object must be a key below {prefix}, without empty parts, `.` or `..`"
        ))),
    }
}

fn source_not_found(id: &str) -> ApiError {
    let detail = not_found(&id.chars().take(64).collect::<String>());
    ApiError::new(Code::SourceNotFound, detail).field("/source/transcription", "cannot be used")
}

/// Whether the row whose recording is wanted is there, and may be used.
pub(super) async fn check_source_row(state: &AppState, request: &Request) -> ApiResult<()> {
    let Source::Transcription(id) = &request.asked.source else {
        return Ok(());
    };
    match state.db.get(id).await? {
        Some(row) if may_use(&row, &request.origin) => Ok(()),
        _ => Err(source_not_found(id)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(body: Value) -> &'static str {
        let models = Models::parse("basic-pitch=default+gpu,other=slow").unwrap();
        let decided = read(body).and_then(|request| decide(&models, &Policy::default(), &request));
        decided.map_or_else(|error| error.code.as_str(), |_| "")
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body =
            json!({"source": {"url": "https://example.org/a.wav"}, "origin": "wtt/music"});
        body[name] = value;
        body
    }

    #[test]
    fn every_mistake_has_its_code() {
        assert_eq!(code(with("priority", json!(5))), "");
        for (name, value, wanted) in [
            ("source", json!(null), "source_invalid"),
            ("source", json!({}), "source_invalid"),
            (
                "source",
                json!({"url": "https://a.org/", "object": "imports/music/a"}),
                "source_invalid",
            ),
            (
                "source",
                json!({"url": "file:///etc/passwd"}),
                "source_invalid",
            ),
            (
                "source",
                json!({"url": "http://127.0.0.1/"}),
                "source_forbidden_address",
            ),
            (
                "source",
                json!({"uri": "https://a.org/"}),
                "parameter_invalid",
            ),
            ("source", json!("https://a.org/"), "parameter_invalid"),
            ("source", json!({"object": "imports/music/a/b.flac"}), ""),
            (
                "source",
                json!({"object": "imports/music2/a"}),
                "source_invalid",
            ),
            (
                "source",
                json!({"object": "imports/music/"}),
                "source_invalid",
            ),
            (
                "source",
                json!({"object": "imports/music/../other/a"}),
                "source_invalid",
            ),
            (
                "source",
                json!({"object": "imports/music/./a"}),
                "source_invalid",
            ),
            (
                "source",
                json!({"object": "imports/music//a"}),
                "source_invalid",
            ),
            (
                "source",
                json!({"object": "/imports/music/a"}),
                "source_invalid",
            ),
            ("source", json!({"object": "audio/a"}), "source_invalid"),
            (
                "source",
                json!({"object": "imports/music/a\u{0}b"}),
                "source_invalid",
            ),
            (
                "source",
                json!({"object": "imports/music/..\\..\\a"}),
                "source_invalid",
            ),
            (
                "source",
                json!({"transcription": "../a"}),
                "source_not_found",
            ),
            ("model", json!("nope"), "model_unknown"),
            ("model", json!(1), "parameter_invalid"),
            ("queue", json!("gpu"), ""),
            ("queue", json!("slow"), "queue_not_for_model"),
            ("queue", json!("nope"), "queue_unknown"),
            ("queue", json!("HIGH!"), "queue_unknown"),
            ("options", json!({"onsetThresholdPercent": 50}), ""),
            (
                "options",
                json!({"onsetThresholdPercent": 150}),
                "options_invalid",
            ),
            ("options", json!({"speed": 1}), "options_invalid"),
            ("options", json!([1]), "parameter_invalid"),
            ("priority", json!(1001), "parameter_invalid"),
            ("priority", json!(1.5), "parameter_invalid"),
            ("limits", json!({"backoffLimit": -1}), "parameter_invalid"),
            (
                "limits",
                json!({"activeDeadlineSeconds": 0}),
                "parameter_invalid",
            ),
            (
                "limits",
                json!({"queueDeadlineSeconds": -5}),
                "parameter_invalid",
            ),
            (
                "limits",
                json!({"ttlSecondsAfterFinished": 99_999_999_999_i64}),
                "parameter_invalid",
            ),
            ("limits", json!({"backoff_limit": 1}), "parameter_invalid"),
            ("origin", json!("music"), "parameter_invalid"),
            ("origin", json!("a/b/c"), "parameter_invalid"),
            ("origin", json!("A/b"), "parameter_invalid"),
            ("origin", json!("../.."), "parameter_invalid"),
            ("origin", json!("a/-b"), "parameter_invalid"),
            ("origin", json!("a/"), "parameter_invalid"),
            ("colour", json!("red"), "parameter_invalid"),
        ] {
            assert_eq!(code(with(name, value.clone())), wanted, "{name}: {value}");
        }
        assert_eq!(code(json!([])), "parameter_invalid");
    }

    #[test]
    fn what_may_not_change_is_named() {
        let first = read(with("priority", json!(1))).unwrap().asked;
        let mut again = first.clone();
        assert!(differences(&first, &again).is_empty());
        again.priority = 2;
        again.source = Source::Object("imports/music/a".to_owned());
        assert_eq!(differences(&first, &again), ["/source", "/priority"]);
    }

    #[test]
    fn names_of_files_are_read_from_addresses() {
        let name = |text: &str| last_segment(&url::Url::parse(text).unwrap());
        assert_eq!(
            name("https://example.org/a/take%203.flac?sig=x"),
            "take 3.flac"
        );
        assert_eq!(name("https://example.org/%2e%2e%2fpasswd"), "passwd");
        assert_eq!(name("https://example.org/a%zz%"), "a%zz%");
        assert_eq!(name("https://example.org"), "recording");
    }
}
