//! A transcription as the server describes it, read leniently: what a newer server adds is ignored, what an older one
//! leaves out is empty. It must not know how it was fetched.

use serde::Deserialize;

use crate::failure::Problem;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Created,
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
    /// A state of a newer server.
    #[default]
    #[serde(other)]
    #[value(skip)]
    Unknown,
}

impl State {
    pub(crate) fn is_final(self) -> bool {
        matches!(
            self,
            State::Succeeded | State::Failed | State::Cancelled | State::Expired
        )
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Created => "created",
            State::Queued => "queued",
            State::Running => "running",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Expired => "expired",
            State::Unknown => "unknown",
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) state: State,
    pub(crate) created_at: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) source: Option<Source>,
    pub(crate) model: Option<String>,
    pub(crate) progress: Option<Progress>,
    pub(crate) attempt: Option<u64>,
    pub(crate) worker: Option<String>,
    pub(crate) error: Option<Problem>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Source {
    pub(crate) filename: Option<String>,
    pub(crate) bytes: Option<u64>,
    pub(crate) duration_seconds: Option<f64>,
    pub(crate) sample_rate: Option<u32>,
    pub(crate) channels: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    pub(crate) stage: Option<String>,
    pub(crate) current: Option<u64>,
    pub(crate) total: Option<u64>,
    pub(crate) eta_seconds: Option<f64>,
    pub(crate) queue_position: Option<u64>,
}

impl Progress {
    /// How much of the stage is done, where that is known.
    pub(crate) fn percent(&self) -> Option<u64> {
        let (current, total) = (self.current?, self.total.filter(|total| *total > 0)?);
        Some(current.min(total) * 100 / total)
    }
}

impl Job {
    pub(crate) fn filename(&self) -> &str {
        self.source
            .as_ref()
            .and_then(|source| source.filename.as_deref())
            .unwrap_or("")
    }

    /// How it ended, in one line, for the states that have an end.
    pub(crate) fn outcome(&self) -> String {
        match (&self.error, self.state) {
            (Some(problem), State::Failed | State::Cancelled) => {
                format!("{}: {problem}", self.state.as_str())
            }
            _ => self.state.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_new_fields_and_new_states_are_no_errors() {
        let job: Job = serde_json::from_str(
            r#"{"id":"a","state":"hibernating","source":null,"progress":{"stage":null,"future":1},"error":null,"x":[]}"#,
        )
        .unwrap();
        assert_eq!(job.state, State::Unknown);
        assert!(!job.state.is_final());
    }

    #[test]
    fn progress_is_never_more_than_all_of_it() {
        let progress = |current, total| {
            Progress {
                current,
                total,
                ..Progress::default()
            }
            .percent()
        };
        assert_eq!(progress(Some(1), Some(3)), Some(33));
        assert_eq!(progress(Some(9), Some(3)), Some(100));
        assert_eq!(progress(Some(9), Some(0)), None);
        assert_eq!(progress(None, Some(3)), None);
    }
}
