//! Transcriptions in every state, whose ids the inputs may name; what an input has used up is made anew before the next one. It speaks
//! to the service as clients and workers do.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use queue::{
    ClaimAnswer, ClaimRequest, Failure, QueueName, TaskError, TaskId, Token, Verdict, WorkerId,
};
use serde_json::Value;

use crate::good;
use crate::service::{Answer, Client, request};

/// Opens the operator's routes.
pub const OPERATOR: &str = "operator-of-the-targets-0123";
/// The files of a transcription.
const NAMES: [&str; 5] = ["midi", "notes.json", "notes.csv", "roll.svg", "source"];
/// Claims before a task that was just queued must have come: those that the inputs queued come first.
const MOST_CLAIMS: usize = 1_000;

static NEXT_JOB: AtomicU64 = AtomicU64::new(0);

/// What a known transcription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Uploaded the first version's way and never started.
    Created,
    /// Running, and its claim is live.
    Live,
    Succeeded,
    Failed,
    /// After those that claim: a claim takes what waits longest.
    Queued,
    Cancelled,
    Deleted,
    /// An operator's, suspended.
    Job,
}

pub const ROLES: [Role; 8] = [
    Role::Created,
    Role::Live,
    Role::Succeeded,
    Role::Failed,
    Role::Queued,
    Role::Cancelled,
    Role::Deleted,
    Role::Job,
];

#[derive(Debug, Clone)]
pub struct Known {
    id: String,
    /// What the first version's routes call it.
    pub number: i64,
    /// Of its claim, where there was one.
    token: Option<Token>,
    /// The signed address of each of its files.
    signed: Vec<String>,
}

pub struct Ground {
    /// One for each role, in their order.
    known: Vec<Known>,
}

impl Ground {
    pub async fn lay(client: &Client) -> Self {
        let mut known = Vec::new();
        for role in ROLES {
            known.push(make(client, role).await);
        }
        let ground = Ground { known };
        ground.check(client).await;
        ground
    }

    pub fn of(&self, role: Role) -> &Known {
        &self.known[role as usize]
    }

    /// Makes anew what is not any more what it should be.
    pub async fn mend(&mut self, client: &Client) {
        client.drain().await;
        let mut claimed = false;
        for role in ROLES {
            // What waited was claimed on the way to the one that was to be.
            let taken = role == Role::Queued && claimed;
            if taken || !holds(client, role, self.of(role)).await {
                self.known[role as usize] = make(client, role).await;
                claimed |= matches!(role, Role::Live | Role::Succeeded | Role::Failed);
            }
        }
        if claimed {
            self.check(client).await;
        }
    }

    async fn check(&self, client: &Client) {
        for role in ROLES {
            let known = self.of(role);
            assert!(
                holds(client, role, known).await,
                "{known:?} is not {role:?} any more"
            );
        }
    }

    /// Deletes what the inputs have made.
    pub async fn tidy(&self, client: &Client) {
        client.drain().await;
        let page = client.state().db.list(None, None, 1_000).await;
        for row in page.expect("the database can be read").rows {
            if self.known.iter().all(|known| known.id != row.id) {
                let path = format!("/api/v1/transcriptions/{}", row.id);
                call(client, Method::DELETE, &path, "", None).await;
            }
        }
    }
}

impl Known {
    /// A path of the router with this one's ids in it, and the name of one of its files. `odd`: a text instead of the placeholder of that
    /// number.
    pub fn path(&self, template: &str, name: u8, odd: Option<(u8, &str)>) -> String {
        let name = usize::from(name) % NAMES.len();
        if template.starts_with("/api/v1/results/") && odd.is_none() {
            return self.signed[name].clone();
        }
        let placeholders = template.matches('{').count().max(1);
        let mut seen = 0;
        let mut segments = Vec::new();
        for segment in template.split('/') {
            if !segment.starts_with('{') {
                segments.push(segment.to_owned());
                continue;
            }
            let text = match (odd, segment) {
                (Some((which, text)), _) if usize::from(which) % placeholders == seen => {
                    escaped(text)
                }
                (_, "{id}") if template.starts_with("/transcribe") => self.number.to_string(),
                (_, "{id}") => self.id.clone(),
                (_, "{name}") => NAMES[name].to_owned(),
                (_, "{*path}") => format!("audios/{}.wav", self.number),
                _ => "internal".to_owned(),
            };
            segments.push(text);
            seen += 1;
        }
        segments.join("/")
    }

    /// What opens a path that needs more than nothing.
    pub fn credential(&self, path: &str) -> Option<&str> {
        let begins = |start: &str| path.starts_with(start);
        if begins("/internal/v1/transcriptions") {
            return Some(OPERATOR);
        }
        let of_workers = begins("/internal/") || begins("/media/") || begins("/transcribe/_result");
        self.token
            .as_ref()
            .filter(|_| of_workers)
            .map(Token::as_str)
    }
}

/// A text as one segment of a path, or what follows `?`.
pub fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'=' | b'&' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02x}"),
        })
        .collect()
}

/// Sends what must succeed. An empty credential is none.
async fn call(
    client: &Client,
    method: Method,
    path: &str,
    credential: &str,
    content: Option<(&str, Vec<u8>)>,
) -> Answer {
    let credential = Some(credential).filter(|credential| !credential.is_empty());
    let what = format!("{method} {path}");
    let request = request(method, path, credential, content).expect("a request of ours");
    let answer = client.send(request).await;
    assert!(answer.status.is_success(), "{what}: {}", answer.text());
    answer
}

/// A well-formed upload to the route of this path.
async fn upload(client: &Client, path: &str) -> Value {
    let content = good::content(&Method::POST, path, 0);
    let answer = call(client, Method::POST, path, "", content).await;
    serde_json::from_slice(&answer.body).expect("the answer is JSON")
}

async fn make(client: &Client, role: Role) -> Known {
    const UPLOADS: &str = "/api/v1/transcriptions";
    let db = &client.state().db;
    let row = match role {
        Role::Created => {
            let said = upload(client, "/transcribe/upload/").await;
            let number = said["audio_midi_id"].as_i64().expect("it has a number");
            db.get_by_seed_id(number).await
        }
        Role::Job => {
            let id = format!("job-{}", NEXT_JOB.fetch_add(1, Ordering::Relaxed));
            let template = "/internal/v1/transcriptions/{id}";
            let content = good::content(&Method::PUT, template, 0);
            let path = template.replace("{id}", &id);
            call(client, Method::PUT, &path, OPERATOR, content).await;
            db.get(&id).await
        }
        _ => {
            let said = upload(client, UPLOADS).await;
            db.get(said["id"].as_str().expect("it has an id")).await
        }
    };
    let row = row.expect("the database can be read");
    let row = row.expect("what was accepted has a row");
    let signed = NAMES.map(|name| client.signed(&row.id, name)).to_vec();
    let mut known = Known {
        id: row.id,
        number: row.seed_id,
        token: None,
        signed,
    };
    let path = format!("{UPLOADS}/{}", known.id);
    match role {
        Role::Created | Role::Job | Role::Queued => {}
        Role::Live => known.token = Some(claim(client, &known.id).await),
        Role::Succeeded => {
            let token = claim(client, &known.id).await;
            let template = "/internal/v1/tasks/{id}/result";
            let content = good::content(&Method::PUT, template, known.number);
            let result = known.path(template, 0, None);
            call(client, Method::PUT, &result, token.as_str(), content).await;
            known.token = Some(token);
        }
        Role::Failed => {
            let token = claim(client, &known.id).await;
            fail(client, &known.id, token.clone()).await;
            known.token = Some(token);
        }
        Role::Cancelled => {
            call(client, Method::POST, &format!("{path}/cancel"), "", None).await;
        }
        Role::Deleted => {
            call(client, Method::DELETE, &path, "", None).await;
        }
    }
    client.drain().await;
    assert!(
        holds(client, role, &known).await,
        "{known:?} did not become {role:?}"
    );
    known
}

/// Whether it still is what its role says.
async fn holds(client: &Client, role: Role, known: &Known) -> bool {
    let word = match role {
        // For ever.
        Role::Deleted => return true,
        Role::Created | Role::Job => "created",
        Role::Queued => "queued",
        Role::Live => "running",
        Role::Succeeded => "succeeded",
        Role::Failed => "failed",
        Role::Cancelled => "cancelled",
    };
    if let (Role::Live, Some(token)) = (role, &known.token) {
        let verdict = client.state().queue.verify(&task(&known.id), token).await;
        if verdict.expect("Redis answers") != Verdict::Live {
            return false;
        }
    }
    let path = format!("/api/v1/transcriptions/{}", known.id);
    let request = request(Method::GET, &path, None, None).expect("a request of ours");
    let answer = client.send(request).await;
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    said["state"] == word && said["cancel_requested"].is_null()
}

fn task(id: &str) -> TaskId {
    TaskId::parse(id).expect("an id of ours")
}

async fn claim(client: &Client, id: &str) -> Token {
    for _ in 0..MOST_CLAIMS {
        let request = ClaimRequest {
            worker: WorkerId::parse("fuzz-1").expect("a worker's name"),
            queues: vec![QueueName::default()],
            nonce: ClaimRequest::nonce(),
            held: 0,
            slots: 1,
        };
        match client.state().queue.claim(&request).await {
            Ok(ClaimAnswer::Claimed(claim)) if claim.id.as_str() == id => {
                return claim.token.clone();
            }
            // Of an input: it stays claimed until it is tidied away.
            Ok(ClaimAnswer::Claimed(_) | ClaimAnswer::Again) => {}
            other => panic!("{id} cannot be claimed: {other:?}"),
        }
    }
    panic!("{id} did not come within {MOST_CLAIMS} claims");
}

async fn fail(client: &Client, id: &str, token: Token) {
    let error = TaskError {
        code: "audio_undecodable".to_owned(),
        kind: "decode".to_owned(),
        message: "the stream is broken".to_owned(),
    };
    let failure = Failure {
        id: task(id),
        token,
        error,
        retryable: false,
        backoff_ms: 0,
    };
    let failed = client.state().queue.fail(&failure).await;
    failed.expect("Redis answers");
}
