//! The API server's audit log: who wrote what, and when each pod was deleted by whom. Reads lines of JSON, nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// Deletes the pods that are too many.
pub(crate) const REPLICASET_CONTROLLER: &str =
    "system:serviceaccount:kube-system:replicaset-controller";

/// One request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) user: String,
    pub(crate) verb: String,
    /// With its subresource: `workerpools/status`.
    pub(crate) resource: String,
    pub(crate) name: String,
    pub(crate) code: i64,
    /// When the API server got it, and when it had answered; milliseconds since 1970.
    pub(crate) received_ms: i64,
    pub(crate) answered_ms: i64,
}

impl Entry {
    fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete")
    }
}

/// The log, read as far as it was written.
#[derive(Debug)]
pub(crate) struct Audit {
    path: PathBuf,
    offset: u64,
    entries: Vec<Entry>,
}

impl Audit {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut audit = Self {
            path: path.to_owned(),
            offset: 0,
            entries: Vec::new(),
        };
        audit.catch_up()?;
        Ok(audit)
    }

    /// Reads what was added.
    pub(crate) fn catch_up(&mut self) -> Result<()> {
        let mut file = File::open(&self.path)
            .with_context(|| format!("cannot read the audit log {}", self.path.display()))?;
        let length = file.metadata()?.len();
        ensure!(
            length >= self.offset,
            "the audit log began anew; what it held is not counted, so nothing can be said"
        );
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(length - self.offset).read_to_end(&mut bytes)?;
        // The last line may be half written.
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        bytes.truncate(end.map_or(0, |end| end + 1));
        let text = String::from_utf8_lossy(&bytes);
        self.entries.extend(text.lines().filter_map(entry));
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Writes that this user was granted within the time, by what they were; the Lease is not among them.
    pub(crate) fn writes(&self, user: &str, from_ms: i64, to_ms: i64) -> BTreeMap<String, u64> {
        let mut writes = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| {
            entry.user == user
                && entry.is_write()
                && entry.resource != "leases"
                && (from_ms..=to_ms).contains(&entry.received_ms)
        }) {
            *writes
                .entry(format!("{} {}", entry.verb, entry.resource))
                .or_default() += 1;
        }
        writes
    }

    /// Pods that the ReplicaSet controller deleted within the time.
    pub(crate) fn deleted_pods(&self, from_ms: i64, to_ms: i64) -> Vec<&Entry> {
        self.entries
            .iter()
            .filter(|entry| {
                entry.user == REPLICASET_CONTROLLER
                    && entry.verb == "delete"
                    && entry.resource == "pods"
                    && entry.code == 200
                    && (from_ms..=to_ms).contains(&entry.received_ms)
            })
            .collect()
    }
}

fn entry(line: &str) -> Option<Entry> {
    let event: Value = serde_json::from_str(line).ok()?;
    if event["stage"] != "ResponseComplete" {
        return None;
    }
    let object = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let moment = |value: &Value| {
        let moment: Timestamp = value.as_str()?.parse().ok()?;
        Some(moment.as_millisecond())
    };
    let mut resource = text(&object["resource"]);
    if let Some(sub) = object["subresource"].as_str() {
        resource = format!("{resource}/{sub}");
    }
    Some(Entry {
        user: text(&event["user"]["username"]),
        verb: text(&event["verb"]),
        resource,
        name: text(&object["name"]),
        code: event["responseStatus"]["code"].as_i64().unwrap_or(0),
        received_ms: moment(&event["requestReceivedTimestamp"])?,
        answered_ms: moment(&event["stageTimestamp"])?,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(user: &str, verb: &str, resource: &str, second: u32) -> String {
        format!(
            r#"{{"stage":"ResponseComplete","verb":"{verb}","user":{{"username":"{user}"}},"objectRef":{{"resource":"{resource}","name":"x"}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"1970-01-01T00:00:{second:02}.250000Z","stageTimestamp":"1970-01-01T00:00:{second:02}.260000Z"}}"#
        )
    }

    #[test]
    fn writes_in_a_time_are_counted_and_half_a_line_waits() {
        let path = std::env::temp_dir().join(format!("audit-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        let lines = [
            line("op", "patch", "deployments", 1),
            line("op", "update", "leases", 2),
            line("op", "list", "pods", 3),
            line("other", "patch", "deployments", 4),
            line(REPLICASET_CONTROLLER, "delete", "pods", 5),
        ];
        let (half, rest) = lines[4].split_at(40);
        write!(file, "{}\n{half}", lines[..4].join("\n")).unwrap();
        let mut audit = Audit::open(&path).unwrap();
        assert_eq!(
            audit.writes("op", 0, 9_000),
            BTreeMap::from([("patch deployments".to_owned(), 1)])
        );
        assert!(audit.writes("op", 2_000, 9_000).is_empty());
        assert!(audit.deleted_pods(0, 9_000).is_empty());
        writeln!(file, "{rest}").unwrap();
        audit.catch_up().unwrap();
        let deleted = audit.deleted_pods(0, 9_000);
        assert_eq!(deleted.len(), 1);
        assert_eq!(deleted[0].received_ms, 5_250);
        assert_eq!(deleted[0].answered_ms, 5_260);
        std::fs::remove_file(&path).unwrap();
    }
}
