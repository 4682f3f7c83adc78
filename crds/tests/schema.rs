//! What the API server will hold objects against, tried without one: sizes, structure, rules and columns.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: what it cannot unwrap fails the test"
)]

use crds::{CustomResourceDefinition, TranscriptionJob, WorkerPool, definitions};
use serde_json::{Value, json};

fn as_json(definition: &CustomResourceDefinition) -> Value {
    serde_json::to_value(definition).unwrap()
}

fn schema(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Every object of a JSON document, with its path.
fn walk<'a>(value: &'a Value, path: String, visit: &mut dyn FnMut(&str, &'a Value)) {
    visit(&path, value);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                walk(field, format!("{path}/{name}"), visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, format!("{path}/{index}"), visit);
            }
        }
        _ => {}
    }
}

/// `kubectl apply` keeps a copy of what it applied in an annotation of at most 256 KiB.
#[test]
fn definitions_are_small() {
    for definition in definitions() {
        let bytes = serde_json::to_vec(&definition).unwrap().len();
        assert!(
            bytes < 64 * 1024,
            "{:?}: {bytes} bytes",
            definition.metadata.name
        );
    }
}

#[test]
fn schemas_are_structural_and_hold_no_floats() {
    for definition in definitions().iter().map(as_json) {
        walk(schema(&definition), String::new(), &mut |path, value| {
            assert!(value.get("$ref").is_none(), "{path} refers elsewhere");
            assert_ne!(
                value.get("type"),
                Some(&json!("number")),
                "{path} is a float"
            );
            let format = value
                .get("format")
                .and_then(Value::as_str)
                .unwrap_or_default();
            assert!(
                !format.starts_with("uint") && format != "double",
                "{path} has format {format}"
            );
        });
    }
}

/// The API server refuses negative seconds and absurd numbers by these; no rule has to.
#[test]
fn every_number_of_a_spec_has_bounds_and_none_is_negative_but_the_priority() {
    for definition in definitions().iter().map(as_json) {
        let spec = &schema(&definition)["properties"]["spec"];
        let mut numbers = 0;
        walk(spec, String::new(), &mut |path, value| {
            if value.get("type") != Some(&json!("integer")) {
                return;
            }
            numbers += 1;
            let (least, most) = (value["minimum"].as_f64(), value["maximum"].as_f64());
            assert!(most.is_some(), "{path} has no maximum");
            let may_be_negative = path.ends_with("/priority");
            assert!(
                least.is_some_and(|least| least >= 0.0 || may_be_negative),
                "{path}: minimum {least:?}"
            );
        });
        assert!(numbers >= 5, "{numbers} numbers");
    }
}

/// Names of models hold colons, and those of queues do not.
#[test]
fn models_and_queues_are_named_as_the_api_names_them() {
    for (model, queue) in [
        ("harmonica:small", "default"),
        ("transkun", "gpu-2"),
        ("mt3", "x"),
    ] {
        let job = job(|job| {
            job["spec"]["model"] = model.into();
            job["spec"]["queue"] = queue.into();
            job["spec"]["options"] =
                json!({"onsetThresholdPercent": 50, "instruments": "bass,drums"});
        });
        job.validate_cel().unwrap();
        let options = job.spec.options.unwrap();
        assert_eq!(
            options["onsetThresholdPercent"],
            crds::OptionValue::Number(50)
        );
        assert_eq!(
            options["instruments"],
            crds::OptionValue::Word("bass,drums".to_owned())
        );
    }
    let definition = as_json(&definitions()[0]);
    let spec = &schema(&definition)["properties"]["spec"]["properties"];
    assert!(
        spec["model"]["pattern"].is_null(),
        "a pattern would have to know every name"
    );
    assert_eq!(spec["model"]["maxLength"], 63);
    assert_eq!(spec["queue"]["pattern"], "^[a-z0-9-]{1,40}$");
}

#[test]
fn every_column_shows_a_field_that_exists() {
    for definition in definitions().iter().map(as_json) {
        let columns = definition["spec"]["versions"][0]["additionalPrinterColumns"]
            .as_array()
            .unwrap()
            .clone();
        assert!(columns.len() >= 6);
        for column in columns {
            let path = column["jsonPath"].as_str().unwrap();
            if path.starts_with(".metadata") {
                continue;
            }
            let mut at = schema(&definition);
            for field in path.trim_start_matches('.').split('.') {
                at = &at["properties"][field];
                assert!(at.is_object(), "{path} ends at {field}");
            }
        }
    }
}

fn job(change: impl FnOnce(&mut Value)) -> TranscriptionJob {
    let mut job = json!({
        "apiVersion": "whatsthetab.dev/v1alpha1",
        "kind": "TranscriptionJob",
        "metadata": {"name": "take3", "namespace": "music"},
        "spec": {"source": {"url": "https://example.org/take3.flac"}}
    });
    change(&mut job);
    serde_json::from_value(job).unwrap()
}

fn pool(change: impl FnOnce(&mut Value)) -> WorkerPool {
    let mut pool = json!({
        "apiVersion": "whatsthetab.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": "gpu", "namespace": "music"},
        "spec": {"scaling": {"maxReplicas": 8}, "template": {"spec": {"containers": []}}}
    });
    change(&mut pool);
    serde_json::from_value(pool).unwrap()
}

#[test]
fn defaults_are_those_that_the_documents_name() {
    let job = job(|_| {}).spec;
    assert_eq!(
        (job.priority, job.suspend, job.backoff_limit),
        (0, false, 2)
    );
    assert_eq!(
        (job.queue_deadline_seconds, job.ttl_seconds_after_finished),
        (86_400, 86_400)
    );
    let pool = pool(|_| {}).spec;
    assert_eq!((pool.queue.as_str(), pool.slots_per_worker), ("default", 1));
    assert_eq!(
        (
            pool.scaling.target_drain_seconds,
            pool.scaling.scale_to_zero_delay_seconds,
            pool.scaling.down.stabilization_seconds
        ),
        (120, 300, 60)
    );
}

#[test]
fn a_job_that_cannot_be_is_refused_in_words() {
    job(|_| {}).validate_cel().unwrap();
    let cases: &[(&str, &str, Value)] = &[
        ("exactly one", "/spec/source", json!({})),
        (
            "exactly one",
            "/spec/source",
            json!({"url": "https://a.example/b", "object": "imports/music/b"}),
        ),
        ("63 characters", "/metadata/name", json!("x".repeat(64))),
    ];
    for (words, at, value) in cases {
        let wrong = job(|job| *job.pointer_mut(at).unwrap() = value.clone());
        let message = format!("{:?}", wrong.validate_cel().unwrap_err());
        assert!(message.contains(words), "{at} = {value}: {message}");
    }
}

#[test]
fn a_pool_that_cannot_be_is_refused_in_words() {
    pool(|_| {}).validate_cel().unwrap();
    pool(|pool| {
        pool["spec"]["scaling"] = json!({"policy": "Manual", "replicas": 2, "maxReplicas": 2})
    })
    .validate_cel()
    .unwrap();
    let cases: &[(&str, &str, Value)] = &[
        (
            "minReplicas",
            "/spec/scaling",
            json!({"minReplicas": 3, "maxReplicas": 2}),
        ),
        (
            "only with policy Manual",
            "/spec/scaling",
            json!({"replicas": 1, "maxReplicas": 2}),
        ),
        (
            "needs scaling.replicas",
            "/spec/scaling",
            json!({"policy": "Manual", "maxReplicas": 2}),
        ),
        ("52 characters", "/metadata/name", json!("x".repeat(53))),
    ];
    for (words, at, value) in cases {
        let wrong = pool(|pool| *pool.pointer_mut(at).unwrap() = value.clone());
        let message = format!("{:?}", wrong.validate_cel().unwrap_err());
        assert!(message.contains(words), "{at} = {value}: {message}");
    }
    let reserved = pool(|pool| pool["spec"]["queue"] = json!("alone"));
    assert!(format!("{:?}", reserved.validate_cel().unwrap_err()).contains("no names of queues"));
}

#[test]
fn of_a_job_only_suspend_and_ttl_can_be_changed() {
    let old = job(|_| {});
    for (at, value) in [
        ("suspend", json!(true)),
        ("ttlSecondsAfterFinished", json!(60)),
    ] {
        job(|job| job["spec"][at] = value)
            .validate_cel_update(&old)
            .unwrap();
    }
    for (at, value) in [
        ("source", json!({"object": "imports/music/a.wav"})),
        ("model", json!("harmonica")),
        ("options", json!({"onsetThresholdPercent": 40})),
        ("queue", json!("gpu")),
        ("priority", json!(5)),
        ("backoffLimit", json!(1)),
        ("activeDeadlineSeconds", json!(5)),
        ("queueDeadlineSeconds", json!(5)),
    ] {
        let changed = job(|job| job["spec"][at] = value);
        let message = format!("{:?}", changed.validate_cel_update(&old).unwrap_err());
        assert!(
            message.contains(&format!("spec.{at} cannot be changed")),
            "{at}: {message}"
        );
    }
}

/// What lies in `manifests/` is what the code says. `make manifests` writes it anew.
#[test]
fn the_manifests_are_up_to_date() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/crds");
    for definition in definitions() {
        let name = definition.metadata.name.clone().unwrap();
        let file = folder.join(format!("{name}.yaml"));
        let now = format!(
            "# Written by `make manifests`.\n{}",
            serde_yaml_ng::to_string(&definition).unwrap()
        );
        if std::env::var_os("WTT_WRITE_MANIFESTS").is_some() {
            fs_err::create_dir_all(&folder).unwrap();
            fs_err::write(&file, &now).unwrap();
        }
        let there = fs_err::read_to_string(&file).unwrap_or_default();
        assert!(
            there == now,
            "{} differs from the code: run make manifests",
            file.display()
        );
    }
}

/// The samples are objects that the schema takes, and that mean what they say.
#[test]
fn the_samples_are_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples");
    let read = |name: &str| fs_err::read_to_string(folder.join(name)).unwrap();
    let job: TranscriptionJob = serde_yaml_ng::from_str(&read("transcriptionjob.yaml")).unwrap();
    job.validate_cel().unwrap();
    let pool: WorkerPool = serde_yaml_ng::from_str(&read("workerpool.yaml")).unwrap();
    pool.validate_cel().unwrap();
}
