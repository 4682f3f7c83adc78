//! What the API server's audit log says of the operator: which rights it used, and which it was refused. Reads lines of JSON, nothing else.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use serde_json::Value;

/// One use of a right, as the rules of RBAC name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub(crate) group: String,
    /// With its subresource: `transcriptionjobs/status`.
    pub(crate) resource: String,
    pub(crate) verb: String,
}

#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) used: BTreeSet<Right>,
    /// Requests answered with 403, in words.
    pub(crate) refused: Vec<String>,
}

/// Reads what `user` did.
pub(crate) fn read(log: &str, user: &str) -> Audit {
    let mut audit = Audit::default();
    for line in log.lines() {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if event["user"]["username"] != user {
            continue;
        }
        let object = &event["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut resource = text(&object["resource"]);
        if let Some(sub) = object["subresource"].as_str() {
            resource = format!("{resource}/{sub}");
        }
        let right = Right {
            group: text(&object["apiGroup"]),
            resource,
            verb: text(&event["verb"]),
        };
        if event["responseStatus"]["code"] == 403 {
            audit.refused.push(format!(
                "{} {} {}: {}",
                right.verb,
                right.group,
                right.resource,
                text(&event["responseStatus"]["message"])
            ));
        } else if !right.resource.is_empty() {
            // An apply that makes the object needs both rights; the log has one verb.
            if right.verb == "patch" && event["responseStatus"]["code"] == 201 {
                audit.used.insert(Right {
                    verb: "create".to_owned(),
                    ..right.clone()
                });
            }
            audit.used.insert(right);
        }
    }
    audit
}

/// What roles grant, one right a verb.
pub(crate) fn granted(roles: &[Role]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in roles.iter().flat_map(|role| role.rules.iter().flatten()) {
        rights.extend(rights_of(rule));
    }
    rights
}

fn rights_of(rule: &PolicyRule) -> Vec<Right> {
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                rights.push(Right {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                });
            }
        }
    }
    rights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apply_that_makes_an_object_uses_the_right_to_create() {
        let line = |code: u16| {
            format!(
                r#"{{"user":{{"username":"op"}},"verb":"patch","objectRef":{{"resource":"deployments","apiGroup":"apps"}},"responseStatus":{{"code":{code}}}}}"#
            )
        };
        let verbs = |code| {
            let used = read(&line(code), "op").used;
            used.into_iter().map(|right| right.verb).collect::<Vec<_>>()
        };
        assert_eq!(verbs(200), ["patch"]);
        assert_eq!(verbs(201), ["create", "patch"]);
    }

    #[test]
    fn uses_and_refusals_are_told_apart() {
        let log = [
            r#"{"user":{"username":"op"},"verb":"patch","objectRef":{"resource":"transcriptionjobs","subresource":"status","apiGroup":"whatsthetab.dev"},"responseStatus":{"code":200}}"#,
            r#"{"user":{"username":"op"},"verb":"list","objectRef":{"resource":"secrets"},"responseStatus":{"code":403,"message":"no"}}"#,
            r#"{"user":{"username":"other"},"verb":"get","objectRef":{"resource":"pods"},"responseStatus":{"code":200}}"#,
            r#"{"user":{"usern"#,
        ]
        .join("\n");
        let audit = read(&log, "op");
        let right = Right {
            group: "whatsthetab.dev".to_owned(),
            resource: "transcriptionjobs/status".to_owned(),
            verb: "patch".to_owned(),
        };
        assert_eq!(audit.used.iter().collect::<Vec<_>>(), [&right]);
        assert_eq!(audit.refused.len(), 1);
        assert!(audit.refused[0].contains("secrets"), "{:?}", audit.refused);
    }
}
