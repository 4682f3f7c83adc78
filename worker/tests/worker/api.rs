//! The API's two worker routes, with the queue's own answers behind them and an outage that can be switched on.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Multipart, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use queue::{Completed, Completion, Queue, ResultPointer, TaskId, Token, Verdict};
use serde_json::json;

pub(crate) struct FakeApi {
    pub(crate) url: String,
    queue: Queue,
    audio: Mutex<HashMap<String, Vec<u8>>>,
    pub(crate) results: Mutex<Vec<StoredResult>>,
    /// Answers 503 to everything.
    pub(crate) away: AtomicBool,
    pub(crate) refused: AtomicUsize,
    pub(crate) downloads: AtomicUsize,
    /// Stores the result, then loses the answer, so many times.
    pub(crate) lose_answers: AtomicUsize,
    pub(crate) hand_ins: AtomicUsize,
    /// What a hand-in is refused with.
    pub(crate) refuse_results: Mutex<Option<(StatusCode, &'static str)>>,
    /// How long a hand-in takes until its answer.
    pub(crate) slowness: Mutex<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) struct StoredResult {
    pub(crate) id: String,
    pub(crate) parts: BTreeMap<String, (String, Bytes)>,
}

impl StoredResult {
    pub(crate) fn json(&self, part: &str) -> serde_json::Value {
        serde_json::from_slice(&self.parts[part].1).unwrap()
    }
}

impl FakeApi {
    pub(crate) async fn start(queue: Queue) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Arc::new(FakeApi {
            url: format!("http://{}", listener.local_addr().unwrap()),
            queue,
            audio: Mutex::default(),
            results: Mutex::default(),
            away: AtomicBool::new(false),
            refused: AtomicUsize::new(0),
            downloads: AtomicUsize::new(0),
            lose_answers: AtomicUsize::new(0),
            hand_ins: AtomicUsize::new(0),
            refuse_results: Mutex::default(),
            slowness: Mutex::default(),
        });
        let routes = Router::new()
            .route("/internal/v1/tasks/{id}/audio", get(audio))
            .route("/internal/v1/tasks/{id}/result", put(result))
            // The notes of an hour.
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&api));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        api
    }

    pub(crate) fn upload(&self, id: &str, audio: Vec<u8>) {
        self.audio.lock().unwrap().insert(id.to_owned(), audio);
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn stored(&self) -> Vec<StoredResult> {
        self.results.lock().unwrap().clone()
    }

    /// The claim's token, if it still is one; else the answer.
    async fn admit(
        &self,
        id: &str,
        headers: &HeaderMap,
    ) -> Result<(TaskId, Token, Verdict), Box<Response>> {
        if self.away.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Box::new(problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "queue_unavailable",
            )));
        }
        let bearer = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let Some(bearer) = bearer else {
            return Err(Box::new(problem(StatusCode::UNAUTHORIZED, "token_missing")));
        };
        let (id, token) = (TaskId::parse(id).unwrap(), Token::new(bearer));
        match self.queue.verify(&id, &token).await {
            Ok(verdict @ (Verdict::Live | Verdict::DoneByThisToken)) => Ok((id, token, verdict)),
            Ok(Verdict::Stale) => Err(Box::new(problem(StatusCode::CONFLICT, "stale_attempt"))),
            Ok(Verdict::Unknown) => Err(Box::new(problem(StatusCode::NOT_FOUND, "task_unknown"))),
            Err(_) => Err(Box::new(problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "queue_unavailable",
            ))),
        }
    }
}

fn problem(status: StatusCode, code: &str) -> Response {
    (
        status,
        Json(json!({ "code": code, "detail": "as the test wants it" })),
    )
        .into_response()
}

async fn audio(
    State(api): State<Arc<FakeApi>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(answer) = api.admit(&id, &headers).await {
        return *answer;
    }
    api.downloads.fetch_add(1, Ordering::SeqCst);
    match api.audio.lock().unwrap().get(&id) {
        Some(audio) => audio.clone().into_response(),
        None => problem(StatusCode::NOT_FOUND, "audio_missing"),
    }
}

async fn result(
    State(api): State<Arc<FakeApi>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    mut body: Multipart,
) -> Response {
    let (id, token, verdict) = match api.admit(&name, &headers).await {
        Ok(admitted) => admitted,
        Err(answer) => return *answer,
    };
    api.hand_ins.fetch_add(1, Ordering::SeqCst);
    let mut parts = BTreeMap::new();
    while let Some(field) = body.next_field().await.unwrap() {
        let (part, media_type) = (
            field.name().unwrap().to_owned(),
            field.content_type().unwrap().to_owned(),
        );
        parts.insert(part, (media_type, field.bytes().await.unwrap()));
    }
    let refusal = *api.refuse_results.lock().unwrap();
    if let Some((status, code)) = refusal {
        return problem(status, code);
    }
    let slowness = *api.slowness.lock().unwrap();
    tokio::time::sleep(slowness).await;
    if verdict == Verdict::Live {
        let completion = Completion {
            id,
            token,
            result: ResultPointer::default(),
            busy_ms: 1,
            ttl_ms: 60_000,
        };
        match api.queue.complete(&completion).await {
            Ok(Completed::Done) => api
                .results
                .lock()
                .unwrap()
                .push(StoredResult { id: name, parts }),
            Ok(_) => return problem(StatusCode::CONFLICT, "stale_attempt"),
            Err(_) => return problem(StatusCode::SERVICE_UNAVAILABLE, "queue_unavailable"),
        }
    }
    let lost = api
        .lose_answers
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
    if lost.is_ok() {
        return problem(StatusCode::BAD_GATEWAY, "");
    }
    Json(json!({ "outcome": if verdict == Verdict::Live { "stored" } else { "already" } }))
        .into_response()
}
