//! What somebody wants to see when an outcome did not come. Knows kubectl and the folder with the logs.

use std::path::Path;

use tokio::process::Command;

/// Lines of each log.
const TAIL: usize = 40;

/// Prints pods, nodes, Karpenter's claims, events, the pool, and the last lines of every log; what cannot be had is skipped.
pub(crate) async fn print(logs: &Path) {
    for words in [
        "get pods,deployments --all-namespaces --output=wide",
        "get nodes,nodeclaims,nodepools --output=wide",
        "describe workerpools",
        "describe nodeclaims",
        "get events --all-namespaces --sort-by=.metadata.creationTimestamp",
    ] {
        let output = Command::new("kubectl")
            .args(words.split(' '))
            .output()
            .await;
        match output {
            Ok(output) => println!(
                "--- kubectl {words}\n{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => println!("--- kubectl {words}: {error}"),
        }
    }
    for part in [
        "operator",
        "karpenter",
        "kwok",
        "scheduler",
        "controllers",
        "apiserver",
        "etcd",
    ] {
        let Ok(text) = fs_err::read_to_string(logs.join(format!("{part}.log"))) else {
            continue;
        };
        let lines: Vec<&str> = text.lines().collect();
        println!("--- {part}.log");
        for line in &lines[lines.len().saturating_sub(TAIL)..] {
            println!("{line}");
        }
    }
}
