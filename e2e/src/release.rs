//! Installing and uninstalling the two charts, as docs/operations.md says.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::command::run;
use crate::wait::{self, Seen};
use crate::world::{RELEASE, World};

/// Namespace of the definitions' release: it outlives the one under test.
const DEFINITIONS: &str = "tab-crds";

/// Name of an object of the release.
pub(crate) fn named(part: &str) -> String {
    format!("{RELEASE}-whats-the-tab-{part}")
}

pub(crate) async fn install(world: &World) -> anyhow::Result<()> {
    make_namespace(world).await?;
    if !world.makes_volumes {
        make_volumes(world).await?;
    }
    let definitions = world.chart("whats-the-tab-crds");
    let mut arguments = [
        "upgrade",
        "--install",
        DEFINITIONS,
        "--namespace",
        DEFINITIONS,
        "--create-namespace",
        "--wait",
    ]
    .map(OsString::from)
    .to_vec();
    arguments.push(definitions.into());
    run("helm", &arguments)
        .await
        .context("the chart of the definitions")?;
    upgrade(world, &[]).await.context("the chart")
}

/// Installs the release, or changes it; `sets` are further `--set` of the case.
pub(crate) async fn upgrade(world: &World, sets: &[&str]) -> anyhow::Result<()> {
    let mut arguments: Vec<OsString> = [
        "upgrade",
        "--install",
        RELEASE,
        "--namespace",
        world.namespace,
        "--values",
        "e2e/values.yaml",
        "--wait",
        "--timeout",
        "240s",
    ]
    .map(OsString::from)
    .to_vec();
    let host = format!("api.allowSourceCidrs={{{}/32}}", world.args.host);
    let operator = format!("operator.enabled={}", !world.args.without_operator);
    for set in [host.as_str(), operator.as_str()].iter().chain(sets) {
        arguments.push("--set".into());
        arguments.push(set.into());
    }
    arguments.push(world.chart("whats-the-tab").into());
    run("helm", &arguments).await.map(drop)
}

/// The namespace enforces the strictest profile: what the charts promise is refused otherwise.
async fn make_namespace(world: &World) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": world.namespace,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    }});
    let apply = PatchParams::apply("e2e").force();
    namespaces
        .patch(world.namespace, &apply, &Patch::Apply(body))
        .await?;
    Ok(())
}

/// Folders of the node, one for each claim that the chart makes.
async fn make_volumes(world: &World) -> anyhow::Result<()> {
    let folder = world.args.volumes.as_ref().context(
        "the cluster has no default storage class; name a folder of the node with E2E_VOLUMES",
    )?;
    let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
    for claim in claims() {
        let path = folder.join(&claim);
        fs_err::create_dir_all(&path)?;
        // Volumes of the node keep their owner; the pods run as users of their own.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs_err::set_permissions(&path, mode)?;
        let name = format!("{RELEASE}-{claim}");
        let body = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
            "capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": path, "type": "Directory"},
            "claimRef": {"namespace": world.namespace, "name": claim},
        }});
        let apply = PatchParams::apply("e2e").force();
        volumes.patch(&name, &apply, &Patch::Apply(body)).await?;
    }
    Ok(())
}

/// A volume of networks for the workers to read, and its claim; both go with the namespace, the folder stays.
pub(crate) async fn models_volume(world: &World, folder: &Path) -> anyhow::Result<&'static str> {
    const CLAIM: &str = "models";
    let spec = json!({"storageClassName": "", "accessModes": ["ReadOnlyMany"]});
    let mut volume = spec.clone();
    volume["capacity"] = json!({"storage": "1Gi"});
    volume["persistentVolumeReclaimPolicy"] = json!("Retain");
    volume["hostPath"] = json!({"path": folder, "type": "Directory"});
    volume["claimRef"] = json!({"namespace": world.namespace, "name": CLAIM});
    let name = format!("{RELEASE}-{CLAIM}");
    let apply = PatchParams::apply("e2e").force();
    let body = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume});
    let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
    volumes.patch(&name, &apply, &Patch::Apply(body)).await?;
    let mut claim = spec;
    claim["resources"] = json!({"requests": {"storage": "1Gi"}});
    claim["volumeName"] = json!(name);
    let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": claim});
    let own: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), world.namespace);
    own.patch(CLAIM, &apply, &Patch::Apply(body)).await?;
    Ok(CLAIM)
}

fn claims() -> [String; 3] {
    [
        named("api"),
        format!("data-{}-0", named("redis")),
        format!("data-{}-0", named("postgres")),
    ]
}

/// Uninstalls and deletes the namespace with whatever still lies in it; it must go, with nobody left to help it.
pub(crate) async fn uninstall(world: &World) -> anyhow::Result<()> {
    run(
        "helm",
        &[
            "uninstall",
            RELEASE,
            "--namespace",
            world.namespace,
            "--wait",
            "--timeout",
            "120s",
        ],
    )
    .await?;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces
        .delete(world.namespace, &DeleteParams::default())
        .await?;
    wait::until(
        "the end of the namespace",
        Duration::from_secs(90),
        || async {
            Ok(match namespaces.get_opt(world.namespace).await? {
                None => Seen::Yes(()),
                Some(left) => Seen::NotYet(
                    left.status
                        .and_then(|status| status.conditions)
                        .map(|conditions| {
                            conditions
                                .into_iter()
                                .filter_map(|one| one.message)
                                .collect::<Vec<_>>()
                                .join("; ")
                        })
                        .unwrap_or_default(),
                ),
            })
        },
    )
    .await?;
    let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
    let _ = volumes
        .delete(&format!("{RELEASE}-models"), &DeleteParams::default())
        .await;
    for claim in claims() {
        // Those of a storage class are not ours.
        let _ = volumes
            .delete(&format!("{RELEASE}-{claim}"), &DeleteParams::default())
            .await;
        if let Some(folder) = &world.args.volumes {
            let _ = fs_err::remove_dir_all(folder.join(claim));
        }
    }
    run(
        "helm",
        &[
            "uninstall",
            DEFINITIONS,
            "--namespace",
            DEFINITIONS,
            "--wait",
        ],
    )
    .await
    .map(drop)
}
