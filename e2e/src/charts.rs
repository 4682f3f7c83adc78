//! The charts without a cluster: lint, many ways to set them, and rules that hold for whatever is rendered. With one: what its API server says.

mod rules;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::command::{refusal, run, run_with};

const CHARTS: [&str; 2] = ["charts/whats-the-tab-crds", "charts/whats-the-tab"];

/// What people set, one `--set` each line. The rules have to hold for all of them.
const WAYS: &[&[&str]] = &[
    &[],
    &["operator.scope=Cluster", "networkPolicy.enabled=true"],
    &["operator.enabled=false", "workers.replicas=3"],
    &[
        "workerPool.gpu.enabled=true",
        "workerPool.gpu.runtimeClassName=nvidia",
        "workerPool.modelsClaim=models",
    ],
    &[
        "api.replicas=3",
        "api.objects.url=s3://bucket/prefix",
        "api.objects.existingSecret=bucket",
        "api.models=basic-pitch=default",
    ],
    &[
        "redis.enabled=false",
        "redis.external.url=rediss://redis.example.org:6379",
        "networkPolicy.enabled=true",
    ],
    &[
        "redis.enabled=false",
        "redis.external.existingSecret=mine",
        "postgres.enabled=false",
        "postgres.external.existingSecret=mine",
    ],
    &["api.key.existingSecret=mine", "api.key.secretKey=key"],
    &[
        "redis.persistence.enabled=false",
        "postgres.persistence.enabled=false",
        "api.persistence.enabled=false",
    ],
    &[
        "api.ingress.enabled=true",
        "api.ingress.host=tab.example.org",
        "api.ingress.tlsSecret=tab-tls",
    ],
    &[
        "image.registry=registry.example.org:5000/mirror",
        "image.pullSecrets[0].name=pull",
        "commonLabels.team=music",
    ],
    &[
        "api.allowSourceCidrs={10.0.0.0/8,fd00::/8}",
        "api.publicUrl=https://tab.example.org",
    ],
    &[
        "nameOverride=n",
        "fullnameOverride=a-name-that-is-longer-than-anybody-would-choose-for-it",
    ],
    &[
        "workerPool.enabled=false",
        "tests.enabled=false",
        "operator.replicas=1",
    ],
];

/// What must be refused, and a word of the reason.
const REFUSED: &[(&str, &str)] = &[
    ("api.replicas=2", "objects.url"),
    ("api.replicas=0", "minimum"),
    ("redis.enabled=false", "redis.external"),
    ("postgres.enabled=false", "postgres.external"),
    ("api.repliccas=3", "repliccas"),
    ("operatr.enabled=true", "operatr"),
    ("workerPool.queue=high", "queue"),
    ("workerPool.queue=Upper", "queue"),
    ("api.objects.url=ftp://x", "url"),
    ("image.registry=https://registry.example.org", "registry"),
    ("operator.scope=Everything", "scope"),
    ("api.ingress.enabled=true", "api.ingress.host"),
    ("api.allowSourceCidrs={10.0.0.1}", "allowSourceCidrs"),
];

/// Runs all checks; `server` adds a dry run at the API server that KUBECONFIG names.
pub(crate) async fn check(server: bool) -> anyhow::Result<()> {
    for chart in CHARTS {
        run("helm", &["lint", "--strict", "--quiet", chart]).await?;
    }
    println!("ok      helm lint --strict: {} charts", CHARTS.len());
    let mut objects = 0;
    for way in WAYS {
        let rendered = render(CHARTS[1], way).await?;
        objects += rendered.len();
        let broken = rules::broken(&rendered);
        ensure!(broken.is_empty(), "with {way:?}:\n{}", broken.join("\n"));
    }
    println!(
        "ok      {} ways to set it give {objects} objects that keep the rules",
        WAYS.len()
    );
    for &(set, word) in REFUSED {
        let said = refusal("helm", &["template", "tab", CHARTS[1], "--set", set], "").await?;
        ensure!(
            said.contains(word),
            "--set {set} is refused without the word {word}: {said}"
        );
    }
    println!(
        "ok      {} mistakes are refused with a word about them",
        REFUSED.len()
    );
    if server {
        dry_run().await?;
    }
    Ok(())
}

async fn render(chart: &str, sets: &[&str]) -> anyhow::Result<Vec<Value>> {
    let text = run("helm", &arguments(chart, sets)).await?;
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let value: Value = serde::Deserialize::deserialize(document)?;
        if !value.is_null() {
            objects.push(value);
        }
    }
    ensure!(!objects.is_empty(), "{chart} with {sets:?} renders nothing");
    Ok(objects)
}

fn arguments<'a>(chart: &'a str, sets: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["template", "tab", chart, "--namespace", "charts"];
    for &set in sets {
        arguments.extend(["--set", set]);
    }
    arguments
}

/// Every way once more, at a real API server that changes nothing: fields that do not exist, values that it refuses.
async fn dry_run() -> anyhow::Result<()> {
    let definitions = run("helm", &["template", "tab-crds", CHARTS[0]]).await?;
    // Without the definitions it could not judge a WorkerPool.
    run_with(
        "kubectl",
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--filename",
            "-",
        ],
        &definitions,
    )
    .await
    .context("the definitions")?;
    let made = run("kubectl", &["create", "namespace", "charts"]).await;
    for way in WAYS {
        let text = run("helm", &arguments(CHARTS[1], way)).await?;
        let words = [
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            "--filename",
            "-",
        ];
        let said = run_with("kubectl", &words, &text)
            .await
            .with_context(|| format!("with {way:?}"))?;
        if said.contains("Warning") {
            bail!("with {way:?}: {said}");
        }
    }
    if made.is_ok() {
        run(
            "kubectl",
            &["delete", "namespace", "charts", "--wait=false"],
        )
        .await?;
    }
    println!(
        "ok      {} ways pass a dry run at the API server",
        WAYS.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn files(folder: &Path) -> BTreeMap<String, String> {
        fs_err::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs_err::read_to_string(path).unwrap())
            })
            .collect()
    }

    #[test]
    fn the_chart_has_the_definitions_of_manifests() {
        let chart = files(&root().join("charts/whats-the-tab-crds/files"));
        let manifests = files(&root().join("manifests/crds"));
        assert!(
            chart == manifests,
            "charts/whats-the-tab-crds/files is not manifests/crds: run make manifests"
        );
    }

    #[test]
    fn charts_and_workspace_have_one_version() {
        let workspace = env!("CARGO_PKG_VERSION");
        for chart in super::CHARTS {
            let text = fs_err::read_to_string(root().join(chart).join("Chart.yaml")).unwrap();
            assert!(
                text.contains(&format!("\nappVersion: \"{workspace}\"")),
                "{chart}/Chart.yaml: appVersion is not {workspace}"
            );
        }
    }
}
