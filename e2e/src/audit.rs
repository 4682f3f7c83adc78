//! What the API server's audit log says of the operator: which rights it used, and which it was refused. Reads lines of JSON, nothing else.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use k8s_openapi::jiff::Timestamp;
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
    /// Those that an API server answered before it had loaded the roles.
    pub(crate) refused_while_loading: usize,
}

/// From an API server's start to its readiness.
pub(crate) type Loading = (Timestamp, Timestamp);

/// Reads what `user` did. An API server that starts answers before it has loaded the roles, and refuses whatever they grant: such times are given.
pub(crate) fn read(log: &str, user: &str, loading: &[Loading]) -> Audit {
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
        let received = event["requestReceivedTimestamp"].as_str();
        let received = received.and_then(|text| text.parse::<Timestamp>().ok());
        let early = received.is_some_and(|at| {
            loading
                .iter()
                .any(|(start, ready)| (*start..=*ready).contains(&at))
        });
        if event["responseStatus"]["code"] == 403 && early {
            audit.refused_while_loading += 1;
        } else if event["responseStatus"]["code"] == 403 {
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
            let used = read(&line(code), "op", &[]).used;
            used.into_iter().map(|right| right.verb).collect::<Vec<_>>()
        };
        assert_eq!(verbs(200), ["patch"]);
        assert_eq!(verbs(201), ["create", "patch"]);
    }

    #[test]
    fn uses_and_refusals_are_told_apart() {
        let log = [
            r#"{"user":{"username":"op"},"verb":"patch","objectRef":{"resource":"transcriptionjobs","subresource":"status","apiGroup":"whatsthetab.dev"},"responseStatus":{"code":200}}"#,
            r#"{"user":{"username":"op"},"verb":"list","objectRef":{"resource":"secrets"},"responseStatus":{"code":403,"message":"no"},"requestReceivedTimestamp":"2026-11-30T00:00:09.000001Z"}"#,
            r#"{"user":{"username":"op"},"verb":"list","objectRef":{"resource":"pods"},"responseStatus":{"code":403},"requestReceivedTimestamp":"2026-11-30T00:00:08.999999Z"}"#,
            r#"{"user":{"username":"other"},"verb":"get","objectRef":{"resource":"pods"},"responseStatus":{"code":200}}"#,
            r#"{"user":{"usern"#,
        ]
        .join("\n");
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let loading = (at("2026-11-30T00:00:01Z"), at("2026-11-30T00:00:09Z"));
        let audit = read(&log, "op", &[loading]);
        let right = Right {
            group: "whatsthetab.dev".to_owned(),
            resource: "transcriptionjobs/status".to_owned(),
            verb: "patch".to_owned(),
        };
        assert_eq!(audit.used.iter().collect::<Vec<_>>(), [&right]);
        assert_eq!((audit.refused.len(), audit.refused_while_loading), (1, 1));
        assert!(audit.refused[0].contains("secrets"), "{:?}", audit.refused);
    }
}
