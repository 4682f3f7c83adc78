//! Least privilege, looked up in the API server's audit log after everything else has run.

use anyhow::ensure;
use k8s_openapi::api::rbac::v1::Role;
use kube::Api;
use kube::api::ListParams;

use crate::audit;
use crate::release;
use crate::world::World;

/// Every right of the operator's roles was used by the cases before, and nothing that it asked for was refused.
pub(super) async fn every_right_is_used_and_none_is_missing(world: &World) -> anyhow::Result<()> {
    let Some(path) = &world.args.audit_log else {
        println!("        left out: no audit log of this cluster (E2E_AUDIT_LOG)");
        return Ok(());
    };
    let account = format!(
        "system:serviceaccount:{}:{}",
        world.namespace,
        release::named("operator")
    );
    let loading = world.loading.lock().await.clone();
    let audit = audit::read(&fs_err::read_to_string(path)?, &account, &loading);
    if audit.refused_while_loading > 0 {
        println!(
            "        {} refusals are not counted: the API server answered them after its start, before it was ready and knew its roles",
            audit.refused_while_loading
        );
    }
    ensure!(
        audit.refused.is_empty(),
        "refused:\n{}",
        audit.refused.join("\n")
    );
    ensure!(
        !audit.used.is_empty(),
        "the log has nothing of {account}: is it the right log?"
    );
    let roles: Api<Role> = Api::namespaced(world.client.clone(), world.namespace);
    let chosen = ListParams::default().labels("app.kubernetes.io/component=operator");
    let granted = audit::granted(&roles.list(&chosen).await?.items);
    let unused: Vec<String> = granted
        .difference(&audit.used)
        .map(|right| format!("{} {} {}", right.verb, right.group, right.resource))
        .collect();
    ensure!(
        unused.is_empty() || !world.args.only.is_empty(),
        "granted and never used: {}",
        unused.join(", ")
    );
    Ok(())
}
