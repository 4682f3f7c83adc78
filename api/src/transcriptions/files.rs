//! The files of a transcription: stored ones streamed (whole or a range), others rendered from the notes JSON by `music`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::conditional::{etag_of, is_known, put, tag};
use super::disposition;
pub(crate) use super::disposition::Disposition;
use super::range::{Wanted, wanted};
use super::row::find;
use crate::db::{Row, State as JobState};
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Json, Path};
use crate::objects::{ByteStream, ObjectKey, once};
use crate::state::AppState;

/// Every file that a transcription can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileName {
    Midi,
    NotesJson,
    NotesCsv,
    RollSvg,
    Source,
}

impl FileName {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    const ALL: [FileName; 5] = [
        FileName::Midi,
        FileName::NotesJson,
        FileName::NotesCsv,
        FileName::RollSvg,
        FileName::Source,
    ];

    fn as_str(self) -> &'static str {
        match self {
            FileName::Midi => "midi",
            FileName::NotesJson => "notes.json",
            FileName::NotesCsv => "notes.csv",
            FileName::RollSvg => "roll.svg",
            FileName::Source => "source",
        }
    }

    fn media_type(self, row: &Row) -> &str {
        match self {
            FileName::Midi => "audio/midi",
            FileName::NotesJson => "application/json",
            FileName::NotesCsv => "text/csv; charset=utf-8",
            FileName::RollSvg => "image/svg+xml",
            FileName::Source => &row.media_type,
        }
    }

    /// The name on the client's disk: the recording's own, with another ending.
    fn download_name(self, row: &Row) -> String {
        let stem = row
            .filename
            .rsplit_once('.')
            .map_or(row.filename.as_str(), |(stem, _)| stem);
        match self {
            FileName::Midi => format!("{stem}.mid"),
            FileName::NotesJson => format!("{stem}.notes.json"),
            FileName::NotesCsv => format!("{stem}.notes.csv"),
            FileName::RollSvg => format!("{stem}.svg"),
            FileName::Source => row.filename.clone(),
        }
    }
}

/// What a row offers, by name: the `outputs` of the job object.
pub(crate) fn outputs(row: &Row) -> Value {
    let mut outputs = Map::new();
    for name in FileName::ALL {
        let Some(result) = &row.result else { continue };
        let mut output = json!({
            "href": format!("/api/v1/transcriptions/{}/files/{}", row.id, name.as_str()),
            "media_type": name.media_type(row),
        });
        let stored = match name {
            FileName::Midi => Some((result.midi_bytes, &result.midi_sha256)),
            FileName::NotesJson => Some((result.notes_bytes, &result.notes_sha256)),
            FileName::Source if row.source_stored => Some((row.bytes, &row.sha256)),
            FileName::Source => continue,
            FileName::NotesCsv | FileName::RollSvg => None,
        };
        if let Some((bytes, sha256)) = stored {
            output["bytes"] = bytes.into();
            output["sha256"] = sha256.as_str().into();
        }
        outputs.insert(name.as_str().to_owned(), output);
    }
    Value::Object(outputs)
}

pub(crate) async fn list_files(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<Value>> {
    let row = find(&state, &id).await?;
    let mut files = outputs(&row);
    if row.result.is_none() && row.source_stored {
        files[FileName::Source.as_str()] = json!({
            "href": format!("/api/v1/transcriptions/{id}/files/source"),
            "media_type": row.media_type,
            "bytes": row.bytes,
            "sha256": row.sha256,
        });
    }
    Ok(Json(
        json!({"object": "files", "transcription": id, "data": files}),
    ))
}

pub(crate) async fn get_file(
    State(state): State<AppState>,
    Path((id, name)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let row = find(&state, &id).await?;
    let Some(name) = FileName::parse(&name) else {
        return Err(unknown_file(&name));
    };
    // A picture is for looking at; everything else is for keeping.
    let how = if name == FileName::RollSvg {
        Disposition::Inline
    } else {
        Disposition::Attachment
    };
    respond(&state, &row, name, (&method, &headers), how).await
}

pub(crate) fn unknown_file(name: &str) -> ApiError {
    let known: Vec<&str> = FileName::ALL.iter().map(|name| name.as_str()).collect();
    ApiError::new(
        Code::FileUnknown,
        format!("no file {name:?}; there are {}", known.join(", ")),
    )
}

/// A file of a row as an answer, with tags and ranges.
pub(crate) async fn respond(
    state: &AppState,
    row: &Row,
    name: FileName,
    (method, headers): (&Method, &HeaderMap),
    how: Disposition,
) -> ApiResult<Response> {
    let file = open(row, name)?;
    let (etag, bytes, rendered) = match file {
        Stored::Object { bytes, sha256, .. } => (tag(sha256), bytes, None),
        Stored::Render { key, render } => {
            let body = render_notes(state, key, render, &row.filename).await?;
            (etag_of(&body), body.len() as u64, Some(body))
        }
    };
    let range = wanted(method, headers, bytes, &etag);
    let (status, part) = match range {
        _ if is_known(headers, &etag) => (StatusCode::NOT_MODIFIED, None),
        Wanted::Whole => (StatusCode::OK, Some(0..bytes)),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, Some(part)),
        Wanted::Outside => {
            let error = ApiError::new(
                Code::RangeUnsatisfiable,
                format!("the range begins behind the end: the file has {bytes} bytes"),
            );
            let range = axum::http::HeaderValue::from_str(&format!("bytes */{bytes}"))
                .map_err(ApiError::internal)?;
            return Err(error.header(header::CONTENT_RANGE, range));
        }
    };
    let body = match (&part, rendered, &file) {
        (None, _, _) => Body::empty(),
        (Some(part), Some(body), _) => Body::from_stream(slice(body, part.start, part.end)),
        (Some(part), None, Stored::Object { key, .. }) => {
            let asked = (status == StatusCode::PARTIAL_CONTENT).then(|| part.clone());
            Body::from_stream(state.objects.stream(*key, asked).await?)
        }
        (Some(_), None, Stored::Render { .. }) => {
            return Err(ApiError::internal("a rendered file without a body"));
        }
    };
    let mut response = (status, body).into_response();
    let answer = response.headers_mut();
    put(answer, header::ETAG, &etag);
    put(answer, header::ACCEPT_RANGES, "bytes");
    put(
        answer,
        header::CACHE_CONTROL,
        "private, max-age=86400, immutable",
    );
    put(answer, header::CONTENT_TYPE, name.media_type(row));
    put(
        answer,
        header::CONTENT_DISPOSITION,
        &disposition::header(how, &name.download_name(row)),
    );
    if let Some(part) = part {
        put(
            answer,
            header::CONTENT_LENGTH,
            &(part.end - part.start).to_string(),
        );
        if status == StatusCode::PARTIAL_CONTENT {
            put(
                answer,
                header::CONTENT_RANGE,
                &format!("bytes {}-{}/{bytes}", part.start, part.end - 1),
            );
        }
    }
    Ok(response)
}

/// Where the bytes of a file come from.
enum Stored<'a> {
    Object {
        key: ObjectKey<'a>,
        bytes: u64,
        sha256: &'a str,
    },
    Render {
        key: ObjectKey<'a>,
        render: Render,
    },
}

/// Notes and the recording's name to a file.
type Render = fn(&music::Transcript, &str) -> String;

fn open(row: &Row, name: FileName) -> ApiResult<Stored<'_>> {
    if name == FileName::Source {
        if !row.source_stored && row.state == JobState::Created {
            let detail = "the recording has not been fetched";
            return Err(ApiError::new(Code::NotReady, detail).retry_after(2));
        }
        if !row.source_stored {
            return Err(ApiError::new(
                Code::SourceExpired,
                "the recording is no longer kept",
            ));
        }
        return Ok(Stored::Object {
            key: ObjectKey::Audio(&row.id),
            bytes: row.bytes,
            sha256: &row.sha256,
        });
    }
    let Some(result) = &row.result else {
        return Err(match row.state {
            JobState::Created => {
                ApiError::new(Code::NotReady, "the transcription has not been started")
            }
            state if state.is_final() => ApiError::new(
                Code::NoResult,
                format!("the transcription is {}: it has no result", state.as_str()),
            ),
            _ => ApiError::new(Code::NotReady, "the transcription has not finished").retry_after(2),
        });
    };
    let fingerprint = result.fingerprint.as_str();
    let notes = ObjectKey::Notes {
        id: &row.id,
        fingerprint,
    };
    Ok(match name {
        FileName::Midi => Stored::Object {
            key: ObjectKey::Midi {
                id: &row.id,
                fingerprint,
            },
            bytes: result.midi_bytes,
            sha256: &result.midi_sha256,
        },
        FileName::NotesCsv => Stored::Render {
            key: notes,
            render: |transcript, _| music::csv::write(&transcript.notes),
        },
        FileName::RollSvg => Stored::Render {
            key: notes,
            render: |transcript, title| music::roll::svg(&transcript.notes, title),
        },
        FileName::NotesJson | FileName::Source => Stored::Object {
            key: notes,
            bytes: result.notes_bytes,
            sha256: &result.notes_sha256,
        },
    })
}

async fn render_notes(
    state: &AppState,
    key: ObjectKey<'_>,
    render: Render,
    title: &str,
) -> ApiResult<Bytes> {
    let stored = state.objects.read(key).await?;
    let title = title.to_owned();
    let rendered = tokio::task::spawn_blocking(move || {
        let text = std::str::from_utf8(&stored).map_err(ApiError::internal)?;
        let transcript = music::Transcript::from_json(text).map_err(ApiError::internal)?;
        Ok::<_, ApiError>(Bytes::from(render(&transcript, &title)))
    });
    rendered.await.map_err(ApiError::internal)?
}

fn slice(body: Bytes, start: u64, end: u64) -> ByteStream {
    let place = |offset: u64| {
        usize::try_from(offset)
            .unwrap_or(body.len())
            .min(body.len())
    };
    once(body.slice(place(start)..place(end)))
}
