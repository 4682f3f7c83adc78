//! Kubernetes events: what happened to an object, said once when it happens. They are for people; losing one loses nothing.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::within;

/// The API server takes no longer note.
const MOST_BYTES: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Warning,
}

#[derive(Clone)]
pub struct Notices {
    recorder: Arc<Recorder>,
}

impl Notices {
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter {
            controller: "wtt-operator".to_owned(),
            instance: Some(instance.to_owned()),
        };
        Notices {
            recorder: Arc::new(Recorder::new(client, reporter)),
        }
    }

    /// `reason` and `action` are CamelCase words; live numbers belong into the note.
    pub async fn tell(
        &self,
        about: &ObjectReference,
        kind: Kind,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let event = Event {
            type_: match kind {
                Kind::Normal => EventType::Normal,
                Kind::Warning => EventType::Warning,
            },
            reason: reason.to_owned(),
            action: action.to_owned(),
            note: Some(cut(note, MOST_BYTES).to_owned()),
            secondary: None,
        };
        if let Err(error) = within(self.recorder.publish(&event, about)).await {
            tracing::warn!(%error, reason, "an event could not be written");
        }
    }
}

/// At most so many bytes, cut between characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut("aßc", 2), "a");
    }
}
