//! The operator as a process of ours, and what it counts. Knows its command line and its metrics.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};

use crate::wait::{self, when};

pub(crate) struct Operator {
    child: Child,
    metrics: SocketAddr,
}

impl Operator {
    /// Starts it and waits until it leads. Pools need no API, so there is none; it says so in its log, now and then.
    pub(crate) async fn start(
        program: &Path,
        redis_url: &str,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let metrics = free_address()?;
        let log = fs_err::File::create(logs.join("operator.log"))?
            .into_parts()
            .0;
        let child = Command::new(program)
            .arg("run")
            .args(["--api-url", "http://127.0.0.1:9", "--release", "nodepools"])
            .args(["--redis-url", redis_url])
            .args(["--metrics-address", &metrics.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}; was it built?", program.display()))?;
        let operator = Operator { child, metrics };
        wait::until("the operator's lead", Duration::from_secs(30), || async {
            let leads = operator.metric("wtt_is_leader").await?;
            Ok(when(leads == 1.0, format!("wtt_is_leader {leads}")))
        })
        .await?;
        Ok(operator)
    }

    /// The sum of a metric over its labels; 0 before it was first counted.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = reqwest::get(format!("http://{}/metrics", self.metrics))
            .await?
            .error_for_status()?
            .text()
            .await?;
        Ok(sum(&text, name))
    }

    pub(crate) async fn end(&mut self) {
        // It is gone already if this fails.
        let _ = self.child.kill().await;
    }
}

fn sum(text: &str, name: &str) -> f64 {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let named = rest.starts_with(' ') || rest.starts_with('{');
            let value = rest.rsplit(' ').next()?;
            named.then(|| value.parse::<f64>().ok()).flatten()
        })
        .sum()
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is_taken_for_it() {
        let text =
            "# TYPE kills counter\nkills{pool=\"a\"} 2\nkills{pool=\"b\"} 1\nkills_total 7\n";
        assert_eq!(sum(text, "kills"), 3.0);
        assert_eq!(sum(text, "kills_total"), 7.0);
        assert_eq!(sum(text, "none"), 0.0);
    }
}
