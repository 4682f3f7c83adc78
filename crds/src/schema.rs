//! Schemas that types alone do not give.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A pod template goes through as it is: the API server checks it when the Deployment is applied, and the definition stays small.
pub(crate) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "The workers' pods: a pod template as in a Deployment, passed through.",
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true
    })
}

/// An option of a network: a whole number or a word.
pub(crate) fn options(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "Options of the model: whole numbers and words. Unknown ones are refused by name.",
        "type": "object",
        "nullable": true,
        "maxProperties": 32,
        "additionalProperties": { "x-kubernetes-int-or-string": true }
    })
}

/// Conditions are a map by type, so that two writers do not undo each other.
pub(crate) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let condition =
        generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>();
    json_schema!({
        "description": "What is the case, by type.",
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": condition
    })
}
