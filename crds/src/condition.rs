//! Looking at lists of conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The condition of that type, if it was ever set.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition is there and `True`; unknown and absent are neither true nor false.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}
