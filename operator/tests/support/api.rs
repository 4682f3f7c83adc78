//! The transcription API as the operator knows it: rows with numbers of their changes. Tests say what becomes of a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::http::{Body, Call, json, serve};

#[derive(Default)]
struct State {
    rows: BTreeMap<String, Value>,
    seq: u64,
    calls: Vec<String>,
    refuse: Option<(u16, String)>,
    /// Changes are answered with 503.
    mute: bool,
}

#[derive(Clone)]
pub(crate) struct Api {
    state: Arc<Mutex<State>>,
    url: String,
}

impl Api {
    pub(crate) async fn start() -> Self {
        let mut api = Api {
            state: Arc::default(),
            url: String::new(),
        };
        let serving = api.clone();
        api.url = serve(move |call| {
            let api = serving.clone();
            async move { api.answer(&call) }
        })
        .await;
        api
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Every PUT and DELETE, as `METHOD uid[/suspended][?kind]`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().calls.clone()
    }

    /// From now on PUTs are answered so.
    pub(crate) fn refuse(&self, answer: Option<(u16, &str)>) {
        self.state.lock().refuse = answer.map(|(status, code)| (status, code.to_owned()));
    }

    /// Whether lists of changes are refused.
    pub(crate) fn mute(&self, mute: bool) {
        self.state.lock().mute = mute;
    }

    pub(crate) fn row(&self, uid: &str) -> Option<Value> {
        self.state.lock().rows.get(uid).cloned()
    }

    /// What becomes of a row.
    pub(crate) fn change(&self, uid: &str, fields: Value) {
        let mut state = self.state.lock();
        state.seq += 1;
        let seq = state.seq;
        let row = state.rows.get_mut(uid).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            row[name] = value.clone();
        }
        row["seq"] = seq.into();
    }

    fn answer(&self, call: &Call) -> Response<Body> {
        let rest = call
            .path
            .strip_prefix("/internal/v1/transcriptions")
            .unwrap()
            .trim_matches('/')
            .to_owned();
        if call.method == "GET" && rest.is_empty() {
            return self.changes(call);
        }
        if call.method != "GET" {
            let kind = call
                .param("kind")
                .map(|kind| format!("?{kind}"))
                .unwrap_or_default();
            self.state
                .lock()
                .calls
                .push(format!("{} {rest}{kind}", call.method));
        }
        let uid = rest.split('/').next().unwrap().to_owned();
        match call.method.as_str() {
            "GET" => match self.row(&uid) {
                Some(row) => json(200, &row),
                None => json(404, &json!({ "code": "transcription_unknown" })),
            },
            "PUT" if rest.ends_with("/suspended") => {
                self.change(&uid, call.body.clone());
                json(200, &self.row(&uid).unwrap())
            }
            "PUT" => self.put(&uid, call),
            _ if self.row(&uid).is_none() => json(404, &json!({ "code": "transcription_unknown" })),
            _ => {
                self.change(
                    &uid,
                    json!({ "state": "cancelled", "error": { "code": "cancelled" } }),
                );
                json(202, &self.row(&uid).unwrap())
            }
        }
    }

    fn put(&self, uid: &str, call: &Call) -> Response<Body> {
        if let Some((status, code)) = self.state.lock().refuse.clone() {
            return json(
                status,
                &json!({ "code": code, "detail": "so says the test" }),
            );
        }
        let ttl = &call.body["limits"]["ttlSecondsAfterFinished"];
        if let Some(row) = self.row(uid) {
            if row["ttl_seconds"] != *ttl {
                self.change(uid, json!({ "ttl_seconds": ttl }));
            }
            return json(200, &self.row(uid).unwrap());
        }
        self.state.lock().rows.insert(
            uid.to_owned(),
            json!({ "id": uid, "origin": call.body["origin"] }),
        );
        let model = call.body["model"].as_str().unwrap_or("basic-pitch");
        self.change(uid, json!({ "state": "queued", "model": model, "queue": "default", "suspended": call.body["suspended"], "ttl_seconds": ttl }));
        json(202, &self.row(uid).unwrap())
    }

    fn changes(&self, call: &Call) -> Response<Body> {
        let state = self.state.lock();
        if state.mute {
            return json(503, &json!({ "code": "starting" }));
        }
        let after: u64 = call
            .param("after")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let limit: usize = call
            .param("limit")
            .and_then(|text| text.parse().ok())
            .unwrap_or(500);
        let active = call.param("active").is_some();
        let mut items: Vec<&Value> = state
            .rows
            .values()
            .filter(|row| row["seq"].as_u64().unwrap() > after)
            .filter(|row| {
                !active
                    || ["created", "queued", "running"].contains(&row["state"].as_str().unwrap())
            })
            .collect();
        items.sort_by_key(|row| row["seq"].as_u64());
        items.truncate(limit);
        let next = items
            .last()
            .map_or(state.seq, |row| row["seq"].as_u64().unwrap());
        json(200, &json!({ "items": items, "next": next.max(after) }))
    }
}
