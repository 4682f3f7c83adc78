//! Rules for rendered objects: what holds for every pod, and what must fit together. Pure: objects in, complaints out.

use std::collections::BTreeSet;

use serde_json::Value;

/// Complaints, in words; none is right.
pub(super) fn broken(objects: &[Value]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for object in objects {
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        let who = format!("{kind} {name}");
        if !seen.insert(who.clone()) {
            complaints.push(format!("{who}: twice"));
        }
        if name.len() > 63 {
            complaints.push(format!("{who}: a name of {} characters", name.len()));
        }
        let wide = kind.starts_with("Cluster");
        if !wide && object["metadata"]["namespace"].is_null() {
            complaints.push(format!("{who}: no namespace"));
        }
        if object["metadata"]["labels"]["app.kubernetes.io/instance"] != "tab" {
            complaints.push(format!("{who}: no label of the release"));
        }
        if let Some(pod) = pod_of(object) {
            complaints.extend(
                pod_rules(&kind, pod)
                    .into_iter()
                    .map(|one| format!("{who}: {one}")),
            );
            complaints.extend(
                secrets(pod, objects)
                    .into_iter()
                    .map(|one| format!("{who}: {one}")),
            );
        }
        if kind == "Service" && !selects(object, objects) {
            complaints.push(format!("{who}: selects no pod of the release"));
        }
        if kind.ends_with("Role") {
            complaints.extend(
                wildcards(object)
                    .into_iter()
                    .map(|one| format!("{who}: {one}")),
            );
        }
    }
    complaints
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The pod that an object makes: its template, or itself.
fn pod_of(object: &Value) -> Option<&Value> {
    match object["kind"].as_str()? {
        "Pod" => Some(object),
        "Deployment" | "StatefulSet" | "WorkerPool" => Some(&object["spec"]["template"]),
        _ => None,
    }
}

fn pod_rules(kind: &str, pod: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut rule = |holds: bool, complaint: &str| {
        if !holds {
            complaints.push(complaint.to_owned());
        }
    };
    let spec = &pod["spec"];
    let security = &spec["securityContext"];
    rule(security["runAsNonRoot"] == true, "may run as root");
    rule(
        security["runAsUser"].as_u64().is_some_and(|user| user > 0),
        "has no user of its own",
    );
    rule(
        security["seccompProfile"]["type"] == "RuntimeDefault",
        "no seccomp profile",
    );
    let operator = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "operator";
    rule(
        spec["automountServiceAccountToken"] == Value::Bool(operator),
        "a token of the API server for whom needs none, or none for the operator",
    );
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        rule(spec[forbidden].is_null(), forbidden);
    }
    rule(!list(&spec["containers"]).is_empty(), "no container");
    for container in list(&spec["containers"])
        .iter()
        .chain(list(&spec["initContainers"]))
    {
        let security = &container["securityContext"];
        rule(
            security["allowPrivilegeEscalation"] == false,
            "may gain privileges",
        );
        rule(
            security["readOnlyRootFilesystem"] == true,
            "may write to its image",
        );
        rule(
            security["capabilities"]["drop"] == serde_json::json!(["ALL"]),
            "keeps capabilities",
        );
        let image = text(&container["image"]);
        rule(
            image.contains("@sha256:")
                || image
                    .rsplit('/')
                    .next()
                    .is_some_and(|last| last.contains(':')),
            "an image without a tag",
        );
        rule(
            !image.ends_with(":latest"),
            "an image that changes by itself",
        );
        let resources = &container["resources"];
        rule(
            !resources["limits"]["memory"].is_null(),
            "no limit of memory",
        );
        rule(!resources["requests"]["cpu"].is_null(), "asks for no CPU");
        let mut names = BTreeSet::new();
        for variable in list(&container["env"]) {
            let name = text(&variable["name"]);
            rule(names.insert(name.clone()), &format!("{name} twice"));
        }
        let worker = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "worker";
        if kind != "Pod" && !worker && !container["ports"].is_null() {
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                rule(!container[probe].is_null(), &format!("no {probe}"));
            }
        }
        let volumes: BTreeSet<String> = list(&spec["volumes"])
            .iter()
            .map(|volume| text(&volume["name"]))
            .collect();
        for mount in list(&container["volumeMounts"]) {
            let name = text(&mount["name"]);
            // Those of a StatefulSet's claims are named in its templates.
            rule(
                volumes.contains(&name) || (kind == "StatefulSet" && name == "data"),
                &format!("mounts {name}, which is no volume"),
            );
        }
    }
    complaints
}

/// Secrets of the chart's own names have to be made by the chart, with the keys that are read.
fn secrets(pod: &Value, objects: &[Value]) -> Vec<String> {
    let mut wanted = BTreeSet::new();
    for container in list(&pod["spec"]["containers"]) {
        for variable in list(&container["env"]) {
            let reference = &variable["valueFrom"]["secretKeyRef"];
            if !reference.is_null() {
                wanted.insert((text(&reference["name"]), text(&reference["key"])));
            }
        }
    }
    for volume in list(&pod["spec"]["volumes"]) {
        let parts = list(&volume["projected"]["sources"])
            .iter()
            .map(|source| (&source["secret"]["name"], &source["secret"]["items"]));
        for (name, items) in
            parts.chain([(&volume["secret"]["secretName"], &volume["secret"]["items"])])
        {
            for item in list(items) {
                wanted.insert((text(name), text(&item["key"])));
            }
        }
    }
    wanted
        .into_iter()
        .filter(|(name, _)| name.ends_with("-secrets"))
        .filter(|(name, key)| {
            !objects.iter().any(|object| {
                object["kind"] == "Secret"
                    && object["metadata"]["name"] == name.as_str()
                    && !object["stringData"][key].is_null()
            })
        })
        .map(|(name, key)| format!("reads {key} of Secret {name}, which is not made"))
        .collect()
}

fn selects(service: &Value, objects: &[Value]) -> bool {
    let Some(selector) = service["spec"]["selector"].as_object() else {
        return false;
    };
    objects.iter().filter_map(pod_of).any(|pod| {
        selector
            .iter()
            .all(|(label, value)| pod["metadata"]["labels"][label] == *value)
    })
}

fn wildcards(role: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for rule in list(&role["rules"]) {
        for field in ["apiGroups", "resources", "verbs"] {
            if list(&rule[field]).iter().any(|one| one == "*") {
                complaints.push(format!("{field}: *"));
            }
        }
        if list(&rule["resources"]).iter().any(|one| one == "secrets") {
            complaints.push("reads Secrets".to_owned());
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment() -> Value {
        json!({"kind": "Deployment", "metadata": {"name": "d", "namespace": "n", "labels": {"app.kubernetes.io/instance": "tab"}},
            "spec": {"template": {"metadata": {"labels": {"app.kubernetes.io/component": "api"}}, "spec": {
                "automountServiceAccountToken": false,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "c", "image": "a:1", "ports": [], "startupProbe": {}, "readinessProbe": {}, "livenessProbe": {},
                    "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"limits": {"memory": "1Mi"}, "requests": {"cpu": "1m"}}}]}}}})
    }

    #[test]
    fn a_right_one_has_no_complaint() {
        assert_eq!(broken(&[deployment()]), Vec::<String>::new());
    }

    #[test]
    fn each_rule_is_able_to_complain() {
        let container = "/spec/template/spec/containers/0";
        let changes = [
            ("/metadata/name", json!("n".repeat(64)), "64 characters"),
            ("/metadata/namespace", Value::Null, "no namespace"),
            (
                "/spec/template/spec/securityContext/runAsNonRoot",
                json!(false),
                "root",
            ),
            (
                "/spec/template/spec/automountServiceAccountToken",
                json!(true),
                "token",
            ),
            (
                "/spec/template/spec/containers/0/image",
                json!("a"),
                "without a tag",
            ),
            (
                "/spec/template/spec/containers/0/image",
                json!("a:latest"),
                "by itself",
            ),
            (
                "/spec/template/spec/containers/0/readinessProbe",
                Value::Null,
                "readinessProbe",
            ),
            (
                "/spec/template/spec/containers/0/resources",
                json!({}),
                "memory",
            ),
            (
                "/spec/template/spec/containers/0/securityContext",
                json!({}),
                "image",
            ),
        ];
        for (pointer, value, word) in changes {
            let mut object = deployment();
            *object.pointer_mut(pointer).expect(pointer) = value;
            let complaints = broken(&[object]);
            assert!(
                complaints.iter().any(|one| one.contains(word)),
                "{pointer}: {complaints:?}"
            );
        }
        let mut object = deployment();
        let more = json!({"env": [{"name": "A"}, {"name": "A"},
            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "tab-secrets", "key": "k"}}}],
            "volumeMounts": [{"name": "nowhere"}]});
        let target = object
            .pointer_mut(container)
            .and_then(Value::as_object_mut)
            .unwrap();
        target.extend(more.as_object().unwrap().clone());
        let complaints = broken(&[object.clone(), object]).join("; ");
        for word in ["A twice", "nowhere", "is not made", "d: twice"] {
            assert!(complaints.contains(word), "{word}: {complaints}");
        }
    }

    #[test]
    fn services_without_pods_and_roles_for_everything_are_noticed() {
        let labels = json!({"app.kubernetes.io/instance": "tab"});
        let service = json!({"kind": "Service", "metadata": {"name": "s", "namespace": "n", "labels": labels}, "spec": {"selector": {"a": "b"}}});
        let role = json!({"kind": "Role", "metadata": {"name": "r", "namespace": "n", "labels": labels},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]});
        let complaints = broken(&[service, role]).join("; ");
        for word in ["selects no pod", "verbs: *", "reads Secrets"] {
            assert!(complaints.contains(word), "{word}: {complaints}");
        }
    }
}
