//! What somebody wants to see of a cluster on which a case failed.

use kube::ResourceExt;

use crate::world::World;

/// Prints pods, resources, events and the last lines of every pod; what cannot be had is skipped.
pub(crate) async fn print(world: &World) {
    for words in [
        &["get", "pods,deployments,pvc", "--output=wide"][..],
        &["get", "transcriptionjobs,workerpools", "--output=wide"],
        &["describe", "transcriptionjobs,workerpools"],
        &["events"],
    ] {
        show(world, words).await;
    }
    let Ok(pods) = world.pods().list(&kube::api::ListParams::default()).await else {
        return;
    };
    for pod in pods {
        let name = pod.name_any();
        show(world, &["logs", &name, "--all-containers", "--tail=40"]).await;
        let restarted = pod
            .status
            .and_then(|status| status.container_statuses)
            .is_some_and(|containers| containers.iter().any(|one| one.restart_count > 0));
        if restarted {
            show(world, &["logs", &name, "--previous", "--tail=40"]).await;
        }
    }
}

async fn show(world: &World, words: &[&str]) {
    match world.kubectl(words).await {
        Ok(text) => println!("--- kubectl {}\n{}", words.join(" "), text.trim_end()),
        Err(error) => println!("--- {error:#}"),
    }
}
