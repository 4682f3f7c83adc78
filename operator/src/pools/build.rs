//! A pool's Deployment: the user's pod template, and what a worker has to be told. Pure.

use serde_json::{Map, Value, json};

use super::validate::Valid;

/// On Deployments and pods: the pool's name. What is watched is chosen by it.
pub const POOL_LABEL: &str = "whatsthetab.dev/pool";
/// On Deployments: what was applied last, without the number.
pub const HASH: &str = "whatsthetab.dev/applied";
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Neither Karpenter nor the cluster autoscaler empties a node under a worker.
pub const PROTECTIONS: [(&str, &str); 2] = [
    ("karpenter.sh/do-not-disrupt", "true"),
    ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
];
/// Time to finish what runs when a pod is told to end, unless the template says otherwise.
const GRACE_SECONDS: i64 = 300;
/// What a worker keeps of it for handing back.
const HAND_BACK_SECONDS: i64 = 10;

/// What workers are told beside what their template says.
#[derive(Clone, Debug, Default)]
pub struct WorkerEnv {
    pub api_url: Option<String>,
    /// Secret and key in the pool's namespace that hold the address of Redis.
    pub redis_secret: Option<(String, String)>,
    pub redis_url: Option<String>,
}

/// The Deployment without its number of replicas, and its hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    pub body: Value,
    pub hash: String,
}

impl Built {
    /// As it is applied: with the number, always.
    pub fn with_replicas(&self, replicas: i32) -> Value {
        let mut body = self.body.clone();
        body["spec"]["replicas"] = replicas.into();
        body["metadata"]["annotations"] = json!({ HASH: self.hash });
        body
    }
}

pub fn build(valid: &Valid, env: &WorkerEnv) -> Built {
    let mut template = valid.template.clone();
    let labels = object(&mut template, &["metadata", "labels"]);
    labels.insert(POOL_LABEL.to_owned(), valid.name.clone().into());
    labels.insert(
        "app.kubernetes.io/managed-by".to_owned(),
        crate::MANAGER.into(),
    );
    labels
        .entry("app.kubernetes.io/name")
        .or_insert_with(|| "wtt-worker".into());
    let annotations = object(&mut template, &["metadata", "annotations"]);
    for (name, value) in PROTECTIONS {
        annotations.entry(name).or_insert_with(|| value.into());
    }
    let spec = object(&mut template, &["spec"]);
    let grace = spec
        .entry("terminationGracePeriodSeconds")
        .or_insert_with(|| GRACE_SECONDS.into())
        .as_i64()
        .unwrap_or(GRACE_SECONDS);
    tell(&mut template, valid, env, grace);
    let body = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": valid.name,
            "namespace": valid.namespace,
            "labels": { POOL_LABEL: valid.name, "app.kubernetes.io/managed-by": crate::MANAGER },
            "ownerReferences": [{
                "apiVersion": "whatsthetab.dev/v1alpha1",
                "kind": "WorkerPool",
                "name": valid.name,
                "uid": valid.uid,
                "controller": true,
                // True would need a right of its own where that is enforced.
                "blockOwnerDeletion": false,
            }],
        },
        "spec": {
            "selector": { "matchLabels": { POOL_LABEL: valid.name } },
            // No surge: where all GPUs are taken, the new pod would wait for the old one for ever.
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } },
            "revisionHistoryLimit": 3,
            "template": template,
        },
    });
    let hash = fingerprint(&body.to_string());
    Built { body, hash }
}

/// Environment for the first container; what the template says itself stays.
fn tell(template: &mut Value, valid: &Valid, env: &WorkerEnv, grace: i64) {
    let Some(worker) = template
        .pointer_mut("/spec/containers/0")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let list = worker.entry("env").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else {
        // Not a list: the API server says so better than we could.
        return;
    };
    let field = |path: &str| json!({ "fieldRef": { "fieldPath": path } });
    let drain = (grace - HAND_BACK_SECONDS).max(0);
    let mut told = vec![
        json!({ "name": "WTT_POD", "valueFrom": field("metadata.name") }),
        json!({ "name": "WTT_POD_UID", "valueFrom": field("metadata.uid") }),
        json!({ "name": "WTT_POOL", "value": format!("{}/{}", valid.namespace, valid.name) }),
        json!({ "name": "WTT_QUEUES", "value": valid.queue.as_str() }),
        json!({ "name": "WTT_SLOTS", "value": valid.slots.to_string() }),
        json!({ "name": "WTT_DRAIN_TIMEOUT", "value": format!("{drain}s") }),
    ];
    if let Some(url) = &env.api_url {
        told.push(json!({ "name": "WTT_API_URL", "value": url }));
    }
    if let Some((name, key)) = &env.redis_secret {
        told.push(json!({ "name": "WTT_REDIS_URL", "valueFrom": { "secretKeyRef": { "name": name, "key": key } } }));
    } else if let Some(url) = &env.redis_url {
        told.push(json!({ "name": "WTT_REDIS_URL", "value": url }));
    }
    told.retain(|new| !list.iter().any(|old| old["name"] == new["name"]));
    list.extend(told);
}

/// The object at this path, made where it is missing.
fn object<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut at = value;
    for step in path {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[*step];
    }
    if !at.is_object() {
        *at = json!({});
    }
    match at {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object on the line above"),
    }
}

/// FNV-1a: the same for ever, which the standard library does not promise of its hasher. It tells versions apart; it guards nothing.
fn fingerprint(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
