//! What the operator makes and shows, held to what it says: Deployments, definitions, rights.

#![expect(clippy::unwrap_used, reason = "in a test a broken helper may panic")]

use operator::pools::{WorkerEnv, build, validate};
use serde_json::{Value, json};

fn pool(template: Value) -> crds::WorkerPool {
    serde_json::from_value(json!({
        "apiVersion": "whatsthetab.dev/v1alpha1", "kind": "WorkerPool",
        "metadata": { "name": "gpu", "namespace": "music", "uid": "u" },
        "spec": { "queue": "fast", "slotsPerWorker": 4, "scaling": { "maxReplicas": 3 }, "template": template },
    }))
    .unwrap()
}

#[test]
fn the_template_passes_through_and_workers_are_told_what_they_need() {
    let pool = pool(json!({
        "metadata": { "labels": { "team": "x" } },
        "spec": {
            "terminationGracePeriodSeconds": 600,
            "somethingNew": { "kept": true },
            "containers": [{ "name": "w", "image": "i", "env": [{ "name": "WTT_SLOTS", "value": "9" }],
                "resources": { "limits": { "nvidia.com/gpu": 1 } } }],
        },
    }));
    let env = WorkerEnv {
        api_url: Some("http://api".to_owned()),
        redis_secret: Some(("s".to_owned(), "k".to_owned())),
        redis_url: None,
    };
    let built = build(&validate(&pool).unwrap(), &env);
    let body = built.with_replicas(0);
    assert_eq!(
        body["spec"]["replicas"], 0,
        "always there, or somebody else would own it"
    );
    let template = &body["spec"]["template"];
    assert_eq!(template["spec"]["somethingNew"]["kept"], true);
    assert_eq!(template["metadata"]["labels"]["team"], "x");
    assert_eq!(
        template["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"],
        "true"
    );
    let container = &template["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], 1);
    let value = |name: &str| -> Vec<Value> {
        let all = container["env"].as_array().unwrap();
        all.iter()
            .filter(|env| env["name"] == name)
            .cloned()
            .collect()
    };
    assert_eq!(
        value("WTT_SLOTS"),
        [json!({ "name": "WTT_SLOTS", "value": "9" })],
        "the user's word stands"
    );
    assert_eq!(value("WTT_QUEUES")[0]["value"], "fast");
    assert_eq!(value("WTT_DRAIN_TIMEOUT")[0]["value"], "590s");
    assert_eq!(
        value("WTT_POD_UID")[0]["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.uid"
    );
    assert_eq!(
        value("WTT_REDIS_URL")[0]["valueFrom"]["secretKeyRef"],
        json!({ "name": "s", "key": "k" })
    );
    assert_eq!(body["spec"]["strategy"]["rollingUpdate"]["maxSurge"], 0);
}

#[test]
fn the_hash_follows_the_template_and_not_the_number() {
    let one = build(
        &validate(&pool(
            json!({ "spec": { "containers": [{ "name": "a" }] } }),
        ))
        .unwrap(),
        &WorkerEnv::default(),
    );
    let two = build(
        &validate(&pool(
            json!({ "spec": { "containers": [{ "name": "b" }] } }),
        ))
        .unwrap(),
        &WorkerEnv::default(),
    );
    assert_ne!(one.hash, two.hash);
    let annotation = |replicas| one.with_replicas(replicas)["metadata"]["annotations"].clone();
    assert_eq!(annotation(1), annotation(5));
}

#[test]
fn a_pool_without_containers_or_with_crossed_bounds_is_refused() {
    for template in [
        json!({}),
        json!({ "spec": { "containers": [] } }),
        json!({ "spec": 7 }),
    ] {
        assert_eq!(
            validate(&pool(template)).unwrap_err().reason,
            "TemplateInvalid"
        );
    }
    let mut crossed = pool(json!({ "spec": { "containers": [{ "name": "a" }] } }));
    crossed.spec.scaling.min_replicas = 9;
    assert_eq!(validate(&crossed).unwrap_err().reason, "BoundsInvalid");
}

#[test]
fn crd_prints_the_definitions_as_they_are_in_the_code() {
    let printed = std::process::Command::new(env!("CARGO_BIN_EXE_wtt-operator"))
        .arg("crd")
        .output()
        .unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    let printed: Vec<Value> = text
        .split("\n---")
        .map(|part| serde_yaml_ng::from_str(part.trim_start_matches("---")).unwrap())
        .collect();
    let expected: Vec<Value> = crds::definitions()
        .iter()
        .map(|crd| serde_json::to_value(crd).unwrap())
        .collect();
    assert_eq!(printed, expected);
}

#[test]
fn the_rights_are_few_and_never_all() {
    let text = include_str!("../../manifests/install/rbac.yaml");
    assert!(!text.contains("\"*\""), "no star");
    assert!(!text.contains("secrets"), "it reads no Secrets");
    for part in text.split("\n---") {
        let _: Value = serde_yaml_ng::from_str(part).unwrap();
    }
    for part in include_str!("../../manifests/install/operator.yaml").split("\n---") {
        let _: Value = serde_yaml_ng::from_str(part).unwrap();
    }
}

/// A variable that the chart or the plain install sets and the program does not know would be without effect, and nobody would say so.
#[test]
fn what_is_installed_sets_variables_that_the_program_has() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_wtt-operator"))
        .args(["run", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for text in [
        include_str!("../../charts/whats-the-tab/templates/operator/deployment.yaml"),
        include_str!("../../manifests/install/operator.yaml"),
    ] {
        let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        let names: Vec<&str> = words.filter(|word| word.starts_with("WTT_")).collect();
        assert!(names.len() >= 6, "{names:?}");
        for name in names {
            assert!(
                help.contains(&format!("[env: {name}="))
                    || help.contains(&format!("[env: {name}]")),
                "{name} is no variable of wtt-operator run"
            );
        }
    }
}
