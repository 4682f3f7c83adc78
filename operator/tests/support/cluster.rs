//! An API server of a few kinds: lists, watches with history, get, create, replace, merge and apply patches, status, delete.
//! It keeps a list of all writes, since how many there are is what tests ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream;
use hyper::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::NAMESPACE;
use super::http::{Body, Call, json, lines, plain, serve};

#[derive(Default)]
struct State {
    /// By resource, then `namespace/name`.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    version: u64,
    /// (version, resource, type, object)
    history: Vec<(u64, String, &'static str, Value)>,
    /// `METHOD resource/name[/sub]` of every write that came.
    writes: Vec<String>,
    /// Answered with 503.
    down: bool,
    /// The kinds of our own are not known.
    bare: bool,
    /// What applies to Deployments are refused with.
    refuse_deployments: Option<String>,
    uids: u32,
}

#[derive(Clone)]
pub(crate) struct Cluster {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    url: String,
}

struct Place {
    version: String,
    resource: String,
    name: Option<String>,
    sub: Option<String>,
}

fn place(path: &str) -> Place {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let version = if parts[0] == "api" {
        parts.drain(..2).skip(1).collect::<String>()
    } else {
        parts.drain(..3).skip(1).collect::<Vec<_>>().join("/")
    };
    if parts.len() > 2 && parts[0] == "namespaces" {
        parts.drain(..2);
    }
    let part = |place: usize| parts.get(place).map(|part| (*part).to_owned());
    Place {
        version,
        resource: part(0).unwrap(),
        name: part(1),
        sub: part(2),
    }
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let changed = watch::Sender::new(0);
        let mut cluster = Cluster {
            state,
            changed,
            url: String::new(),
        };
        let serving = cluster.clone();
        cluster.url = serve(move |call| {
            let cluster = serving.clone();
            async move { cluster.answer(&call) }
        })
        .await;
        cluster
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn down(&self, down: bool) {
        self.state.lock().down = down;
    }

    /// As before the definitions were installed, and after.
    pub(crate) fn bare(&self, bare: bool) {
        self.state.lock().bare = bare;
    }

    pub(crate) fn refuse_deployments(&self, message: Option<&str>) {
        self.state.lock().refuse_deployments = message.map(str::to_owned);
    }

    /// Every write but those of the Lease.
    pub(crate) fn writes(&self) -> Vec<String> {
        let state = self.state.lock();
        state
            .writes
            .iter()
            .filter(|write| !write.contains("leases"))
            .cloned()
            .collect()
    }

    pub(crate) fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.state
            .lock()
            .objects
            .get(resource)?
            .get(&format!("{NAMESPACE}/{name}"))
            .cloned()
    }

    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        let state = self.state.lock();
        state
            .objects
            .get(resource)
            .map(|all| all.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Events as `REASON object`.
    pub(crate) fn events(&self) -> Vec<String> {
        let told = |event: &Value| {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            format!(
                "{} {}",
                word(&event["reason"]),
                word(&event["regarding"]["name"])
            )
        };
        self.all("events").iter().map(told).collect()
    }

    /// As a user would; the uid.
    pub(crate) fn create(
        &self,
        version: &str,
        resource: &str,
        kind: &str,
        name: &str,
        spec: Value,
    ) -> String {
        let object = json!({
            "apiVersion": version, "kind": kind, "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec,
        });
        self.put(resource, object)
    }

    pub(crate) fn put(&self, resource: &str, object: Value) -> String {
        let stored = self.store(&mut self.state.lock(), resource, object);
        stored["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    /// Changes an object from outside.
    pub(crate) fn change(&self, resource: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.state.lock();
        let mut object = state.objects[resource][&format!("{NAMESPACE}/{name}")].clone();
        change(&mut object);
        self.store(&mut state, resource, object);
    }

    pub(crate) fn delete(&self, resource: &str, name: &str) {
        let mut state = self.state.lock();
        let gone = state
            .objects
            .get_mut(resource)
            .and_then(|all| all.remove(&format!("{NAMESPACE}/{name}")));
        if let Some(gone) = gone {
            self.record(&mut state, resource, "DELETED", gone);
        }
    }

    /// Stores it under a new version if it is another one than before; the generation counts changes of the spec.
    fn store(&self, state: &mut State, resource: &str, mut object: Value) -> Value {
        let key = format!(
            "{}/{}",
            object["metadata"]["namespace"]
                .as_str()
                .unwrap_or(NAMESPACE),
            object["metadata"]["name"].as_str().unwrap()
        );
        let old = state
            .objects
            .entry(resource.to_owned())
            .or_default()
            .get(&key)
            .cloned();
        let meta = &mut object["metadata"];
        match &old {
            Some(old) => {
                for kept in ["uid", "creationTimestamp", "generation", "resourceVersion"] {
                    meta[kept] = old["metadata"][kept].clone();
                }
                if *old == object {
                    return object;
                }
                if old["spec"] != object["spec"] {
                    object["metadata"]["generation"] =
                        (old["metadata"]["generation"].as_i64().unwrap() + 1).into();
                }
            }
            None => {
                state.uids += 1;
                meta["uid"] = format!("00000000-0000-4000-8000-{:012x}", state.uids).into();
                meta["creationTimestamp"] = k8s_openapi::jiff::Timestamp::now().to_string().into();
                meta["generation"] = 1.into();
            }
        }
        let type_ = if old.is_some() { "MODIFIED" } else { "ADDED" };
        self.record(state, resource, type_, object)
    }

    fn record(
        &self,
        state: &mut State,
        resource: &str,
        type_: &'static str,
        mut object: Value,
    ) -> Value {
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        if type_ != "DELETED" {
            let key = format!(
                "{}/{}",
                object["metadata"]["namespace"]
                    .as_str()
                    .unwrap_or(NAMESPACE),
                object["metadata"]["name"].as_str().unwrap()
            );
            state
                .objects
                .entry(resource.to_owned())
                .or_default()
                .insert(key, object.clone());
        }
        state
            .history
            .push((state.version, resource.to_owned(), type_, object.clone()));
        self.changed.send_replace(state.version);
        object
    }

    fn answer(&self, call: &Call) -> Response<Body> {
        if self.state.lock().down {
            return failure(503, "ServiceUnavailable", "down for a test");
        }
        if call.path.starts_with("/apis/whatsthetab.dev/") && self.state.lock().bare {
            // Not a Status: whoever does not know a path says so in plain text.
            return plain(404, "404 page not found\n");
        }
        let place = place(&call.path);
        if call.method == "GET" {
            return match &place.name {
                _ if call.param("watch").as_deref() == Some("true") => {
                    self.watch(call, place.resource)
                }
                None => self.list(call, &place),
                Some(name) => match self.get(&place.resource, name) {
                    Some(object) => json(200, &object),
                    None => failure(404, "NotFound", "there is none"),
                },
            };
        }
        self.write(call, &place)
    }

    fn write(&self, call: &Call, place: &Place) -> Response<Body> {
        let mut state = self.state.lock();
        let name = place
            .name
            .clone()
            .or_else(|| call.body["metadata"]["name"].as_str().map(str::to_owned))
            .unwrap_or_default();
        let sub = place
            .sub
            .as_ref()
            .map(|sub| format!("/{sub}"))
            .unwrap_or_default();
        state
            .writes
            .push(format!("{} {}/{name}{sub}", call.method, place.resource));
        let key = format!("{NAMESPACE}/{name}");
        let old = state
            .objects
            .get(&place.resource)
            .and_then(|all| all.get(&key))
            .cloned();
        let uid = &call.body["metadata"]["uid"];
        match call.method.as_str() {
            "POST" => {
                if old.is_some() {
                    return failure(409, "AlreadyExists", "it exists");
                }
                let mut object = call.body.clone();
                object["metadata"]["namespace"] = NAMESPACE.into();
                json(201, &self.store(&mut state, &place.resource, object))
            }
            "PUT" => match old {
                None => failure(404, "NotFound", "there is none"),
                Some(old)
                    if old["metadata"]["resourceVersion"]
                        != call.body["metadata"]["resourceVersion"] =>
                {
                    failure(409, "Conflict", "it was changed meanwhile")
                }
                Some(_) => json(
                    200,
                    &self.store(&mut state, &place.resource, call.body.clone()),
                ),
            },
            "DELETE" => {
                drop(state);
                match old {
                    None => failure(404, "NotFound", "there is none"),
                    Some(old) => {
                        self.delete(&place.resource, &name);
                        json(200, &old)
                    }
                }
            }
            "PATCH" => {
                if place.resource == "deployments"
                    && let Some(words) = &state.refuse_deployments
                {
                    return failure(422, "Invalid", words);
                }
                let mut object = match (old, place.sub.is_some() || place.resource == "pods") {
                    (None, true) => return failure(404, "NotFound", "there is none"),
                    (Some(old), _) if uid.is_string() && old["metadata"]["uid"] != *uid => {
                        return failure(409, "Conflict", "another uid");
                    }
                    (Some(old), _) => old,
                    (None, false) => {
                        json!({ "metadata": { "namespace": NAMESPACE, "name": name } })
                    }
                };
                if place.sub.as_deref() == Some("status") {
                    object["status"] = call.body["status"].clone();
                } else {
                    merge(&mut object, &call.body);
                    if call.body["spec"].is_object() {
                        object["spec"] = call.body["spec"].clone();
                    }
                }
                json(200, &self.store(&mut state, &place.resource, object))
            }
            other => failure(405, "MethodNotAllowed", other),
        }
    }

    fn list(&self, call: &Call, place: &Place) -> Response<Body> {
        let items: Vec<Value> = self
            .all(&place.resource)
            .into_iter()
            .filter(|object| selected(call, object))
            .collect();
        let version = self.state.lock().version.to_string();
        json(
            200,
            &json!({ "apiVersion": place.version, "kind": "List", "metadata": { "resourceVersion": version }, "items": items }),
        )
    }

    fn watch(&self, call: &Call, resource: String) -> Response<Body> {
        let after: u64 = call
            .param("resourceVersion")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let cluster = self.clone();
        let query = Call {
            method: String::new(),
            path: String::new(),
            query: call.query.clone(),
            body: Value::Null,
        };
        let changed = self.changed.subscribe();
        let events = stream::unfold(
            (after, changed, query, resource),
            move |(mut after, mut changed, query, resource)| {
                let cluster = cluster.clone();
                async move {
                    loop {
                        let next = {
                            let state = cluster.state.lock();
                            let ours = ["transcriptionjobs", "workerpools"];
                            if state.down || state.bare && ours.contains(&&*resource) {
                                return None;
                            }
                            let found = state.history.iter().find(|(version, of, _, object)| {
                                *version > after && *of == resource && selected(&query, object)
                            });
                            found.map(|(version, _, type_, object)| {
                                (*version, json!({ "type": type_, "object": object }))
                            })
                        };
                        if let Some((version, event)) = next {
                            after = version;
                            return Some((event, (after, changed, query, resource)));
                        }
                        let _ = tokio::time::timeout(
                            std::time::Duration::from_millis(200),
                            changed.changed(),
                        )
                        .await;
                    }
                }
            },
        );
        lines(events)
    }
}

fn selected(call: &Call, object: &Value) -> bool {
    let label = call
        .param("labelSelector")
        .is_none_or(|label| object["metadata"]["labels"].get(&label).is_some());
    let field = call.param("fieldSelector").is_none_or(|field| {
        field
            .strip_prefix("metadata.name=")
            .is_none_or(|name| object["metadata"]["name"] == name)
    });
    label && field
}

/// As a JSON merge patch.
fn merge(object: &mut Value, patch: &Value) {
    let (Some(fields), true) = (patch.as_object(), object.is_object()) else {
        *object = patch.clone();
        return;
    };
    for (name, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else if value.is_object() && object.get(name).is_some_and(Value::is_object) {
            merge(&mut object[name], value);
        } else {
            object[name] = value.clone();
        }
    }
}

fn failure(code: u16, reason: &str, message: &str) -> Response<Body> {
    json(
        code,
        &json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message }),
    )
}
