//! The models on offer: names, options with their ranges, licence, and the queue of each, from configuration.
//! Configured, not announced: a pool that is scaled to zero announces nothing. It runs no network and knows no weights.

mod translate;

use std::sync::Arc;

use axum::extract::State;
use axum::{Json, Router, routing::get};
use queue::QueueName;
use serde_json::{Map, Value, json};

use crate::config::ConfigError;
use crate::error::{ApiError, ApiResult, Code};
use crate::problems;
use crate::state::AppState;

/// What is known about a network apart from its weights.
struct Known {
    name: &'static str,
    description: &'static str,
    licence: &'static str,
    options: &'static [Setting],
}

struct Setting {
    name: &'static str,
    kind: Kind,
    about: &'static str,
}

enum Kind {
    Number {
        least: f64,
        most: f64,
        default: Option<f64>,
    },
    Boolean {
        default: bool,
    },
    /// A list of words with commas; what they mean, the network says.
    Words,
}

/// The longest list of words.
const MOST_WORDS_BYTES: usize = 1_000;

const fn number(
    name: &'static str,
    least: f64,
    most: f64,
    default: Option<f64>,
    about: &'static str,
) -> Setting {
    Setting {
        name,
        kind: Kind::Number {
            least,
            most,
            default,
        },
        about,
    }
}

const fn boolean(name: &'static str, default: bool, about: &'static str) -> Setting {
    Setting {
        name,
        kind: Kind::Boolean { default },
        about,
    }
}

/// A size of Harmonica: the same options, with the thresholds that came with its weights as defaults.
macro_rules! harmonica {
    ($name:literal, $description:literal, $onset:literal, $frame:literal) => {
        Known {
            name: $name,
            description: $description,
            licence: "none stated by the package harmonica-amt 0.3.0",
            options: &[
                number(
                    "onset_threshold",
                    0.0,
                    1.0,
                    Some($onset),
                    "How sure the network must be that a note starts.",
                ),
                number(
                    "frame_threshold",
                    0.0,
                    1.0,
                    Some($frame),
                    "How sure the network must be that a note sounds.",
                ),
                number(
                    "midi_tempo",
                    4.0,
                    1_000.0,
                    Some(120.0),
                    "Tempo written into the MIDI file (BPM).",
                ),
            ],
        }
    };
}

/// Short names that users may write, and what they mean.
const SHORT: &[(&str, &str)] = &[("harmonica", "harmonica:medium")];

const BASIC_PITCH: Known = Known {
    name: "basic-pitch",
    description: "Light, any instrument, several notes at once, with pitch bends.",
    licence: "Apache-2.0",
    options: &[
        number(
            "onset_threshold",
            0.0,
            1.0,
            Some(0.5),
            "How sure the network must be that a note starts.",
        ),
        number(
            "frame_threshold",
            0.0,
            1.0,
            Some(0.3),
            "How sure the network must be that a note sounds.",
        ),
        number(
            "minimum_note_length",
            0.0,
            10_000.0,
            Some(127.7),
            "Shorter notes are dropped (milliseconds).",
        ),
        number(
            "minimum_frequency",
            1.0,
            20_000.0,
            None,
            "Lower notes are dropped (Hz).",
        ),
        number(
            "maximum_frequency",
            1.0,
            20_000.0,
            None,
            "Higher notes are dropped (Hz).",
        ),
        boolean(
            "melodia",
            true,
            "Look for notes without a clear start, too.",
        ),
        boolean(
            "inferred_onsets",
            true,
            "Infer starts from jumps in loudness, too.",
        ),
        boolean(
            "multiple_pitch_bends",
            false,
            "Bend overlapping notes one by one.",
        ),
        number(
            "midi_tempo",
            4.0,
            1_000.0,
            Some(120.0),
            "Tempo written into the MIDI file (BPM).",
        ),
    ],
};

const KNOWN: &[Known] = &[
    BASIC_PITCH,
    harmonica!(
        "harmonica:nano",
        "One pitched instrument, velocities; the lightest size.",
        0.2,
        0.45
    ),
    harmonica!(
        "harmonica:small",
        "One pitched instrument, velocities; light.",
        0.2,
        0.45
    ),
    harmonica!(
        "harmonica:medium",
        "One pitched instrument, velocities; `harmonica` alone means this size.",
        0.2,
        0.45
    ),
    harmonica!(
        "harmonica:large",
        "One pitched instrument, velocities; slow without a GPU.",
        0.25,
        0.45
    ),
    harmonica!(
        "harmonica:x-large",
        "One pitched instrument, velocities; for a GPU.",
        0.2,
        0.4
    ),
    Known {
        name: "transkun",
        description: "Piano, with velocities and both pedals.",
        licence: "MIT",
        options: &[number(
            "midi_tempo",
            4.0,
            1_000.0,
            Some(120.0),
            "Tempo written into the MIDI file (BPM).",
        )],
    },
    Known {
        name: "mt3",
        description: "Several instruments at once, with programs and drums; its weights are brought by whoever runs it.",
        licence: "that of the weights; those of Magenta are Apache-2.0",
        options: &[
            Setting {
                name: "instruments",
                kind: Kind::Words,
                about: "What may be heard: programs from 0, ranges such as 24-31, families such as bass, drums; with commas.",
            },
            boolean(
                "stable_programs",
                false,
                "One program for each family of instruments, the one that sounds longest.",
            ),
            number(
                "minimum_note_length",
                0.0,
                10_000.0,
                Some(0.0),
                "Shorter notes are dropped (milliseconds).",
            ),
            number(
                "midi_tempo",
                4.0,
                1_000.0,
                Some(120.0),
                "Tempo written into the MIDI file (BPM).",
            ),
        ],
    },
];

/// What is on offer when nothing else is configured: all that is known, and the first is the default.
pub const DEFAULT: &str = "basic-pitch,harmonica:nano,harmonica:small,harmonica:medium,harmonica:large,harmonica:x-large,transkun";

/// A model on offer.
#[derive(Clone)]
pub struct Model {
    pub name: String,
    /// The one that it goes to unless another is asked for.
    pub queue: QueueName,
    others: Vec<QueueName>,
    known: Option<&'static Known>,
}

/// The catalogue; its first model is the default.
#[derive(Clone)]
pub struct Models(Arc<Vec<Model>>);

impl Models {
    /// Reads `model=queue,...`; a name alone uses the queue `default`, and further queues follow behind a `+`.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let fail = |problem: String| ConfigError::Models {
            value: text.to_owned(),
            problem,
        };
        let mut models: Vec<Model> = Vec::new();
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let (name, queue) = entry.split_once('=').unwrap_or((entry, "default"));
            let name = name.trim();
            if name.is_empty() || models.iter().any(|model| model.name == name) {
                return Err(fail(format!("{name:?} is empty or named twice")));
            }
            let queues: Result<Vec<QueueName>, _> = queue
                .split('+')
                .map(|queue| QueueName::parse(queue.trim()))
                .collect();
            let mut queues = queues.map_err(|error| fail(error.to_string()))?.into_iter();
            let Some(queue) = queues.next() else {
                return Err(fail(format!("{name:?} has no queue")));
            };
            let known = KNOWN.iter().find(|known| known.name == name);
            models.push(Model {
                name: name.to_owned(),
                queue,
                others: queues.collect(),
                known,
            });
        }
        if models.is_empty() {
            return Err(fail("name at least one model".to_owned()));
        }
        Ok(Self(Arc::new(models)))
    }

    pub fn default_model(&self) -> &Model {
        &self.0[0]
    }

    /// The model of this name, or of the name that it is short for.
    pub fn find(&self, name: &str) -> Option<&Model> {
        let named = |name: &str| self.0.iter().find(|model| model.name == name);
        named(name).or_else(|| {
            let (_, long) = SHORT.iter().find(|(short, _)| *short == name)?;
            named(long)
        })
    }

    /// The model of this name, or the error that lists the names on offer.
    pub fn require(&self, name: &str) -> ApiResult<&Model> {
        self.find(name).ok_or_else(|| {
            let names: Vec<&str> = self.0.iter().map(|model| model.name.as_str()).collect();
            ApiError::new(
                Code::ModelUnknown,
                format!("no model `{name}` here; on offer: {}", names.join(", ")),
            )
            .field("/model", "unknown model")
        })
    }

    /// The queues that the models use, each once.
    pub fn queues(&self) -> std::collections::BTreeSet<QueueName> {
        self.0.iter().flat_map(Model::all_queues).cloned().collect()
    }

    fn to_json(&self) -> Value {
        let models: Vec<Value> = self
            .0
            .iter()
            .enumerate()
            .map(|(at, model)| model.to_json(at == 0))
            .collect();
        json!({ "object": "list", "data": models })
    }
}

impl Model {
    pub fn all_queues(&self) -> impl Iterator<Item = &QueueName> {
        std::iter::once(&self.queue).chain(&self.others)
    }

    pub fn takes_queue(&self, queue: &QueueName) -> bool {
        self.all_queues().any(|known| known == queue)
    }

    /// Checks every option against the model's schema and names each that is wrong. A model without a schema takes any.
    pub fn check_options(&self, options: &Map<String, Value>) -> ApiResult<()> {
        let Some(known) = self.known else {
            return Ok(());
        };
        let mut error = ApiError::new(Code::OptionsInvalid, "");
        for (name, value) in options {
            match known.options.iter().find(|setting| setting.name == name) {
                None => {
                    error = error.field(
                        format!("/options/{}", problems::escaped(name)),
                        "unknown option",
                    )
                }
                Some(setting) => {
                    if let Some(problem) = setting.kind.problem(value) {
                        error =
                            error.field(format!("/options/{}", problems::escaped(name)), problem);
                    }
                }
            }
        }
        let frequency = |name: &str| options.get(name).and_then(Value::as_f64);
        if let (Some(least), Some(most)) = (
            frequency("minimum_frequency"),
            frequency("maximum_frequency"),
        ) && least >= most
        {
            error = error.field(
                "/options/maximum_frequency",
                "must be above minimum_frequency",
            );
        }
        if error.errors.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = error
            .errors
            .iter()
            .map(|field| {
                format!(
                    "{}: {}",
                    field.pointer.trim_start_matches("/options/"),
                    field.detail
                )
            })
            .collect();
        error.detail = format!(
            "options of {} are not valid: {}",
            self.name,
            named.join("; ")
        );
        Err(error)
    }

    fn to_json(&self, default: bool) -> Value {
        let mut model = json!({
            "name": self.name,
            "object": "model",
            "default": default,
            "queue": self.queue.as_str(),
        });
        if let Some(known) = self.known {
            model["description"] = known.description.into();
            model["licence"] = known.licence.into();
            let properties: Map<String, Value> = known
                .options
                .iter()
                .map(|setting| (setting.name.to_owned(), setting.schema()))
                .collect();
            model["options"] = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": properties,
                "additionalProperties": false,
            });
        }
        model
    }
}

impl Setting {
    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Number {
                least,
                most,
                default,
            } => {
                let mut schema = json!({"type": "number", "minimum": least, "maximum": most});
                if let Some(default) = default {
                    schema["default"] = default.into();
                }
                schema
            }
            Kind::Boolean { default } => json!({"type": "boolean", "default": default}),
            Kind::Words => json!({"type": "string", "maxLength": MOST_WORDS_BYTES}),
        };
        schema["description"] = self.about.into();
        schema
    }
}

impl Kind {
    fn problem(&self, value: &Value) -> Option<String> {
        match (self, value) {
            (Kind::Boolean { .. }, Value::Bool(_)) => None,
            (Kind::Boolean { .. }, _) => Some("must be true or false".to_owned()),
            (Kind::Words, Value::String(text)) if text.len() <= MOST_WORDS_BYTES => None,
            (Kind::Words, _) => Some(format!(
                "must be a text of at most {MOST_WORDS_BYTES} bytes"
            )),
            (Kind::Number { least, most, .. }, value) => match value.as_f64() {
                Some(number) if (*least..=*most).contains(&number) => None,
                Some(_) => Some(format!("must lie between {least} and {most}")),
                None => Some("must be a number".to_owned()),
            },
        }
    }
}

pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/api/v1/models", get(list_models))
}

async fn list_models(State(state): State<AppState>) -> Json<Value> {
    Json(state.models.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: Value) -> Result<(), String> {
        let models = Models::parse("basic-pitch=default").unwrap();
        let options = options.as_object().unwrap();
        models
            .default_model()
            .check_options(options)
            .map_err(|error| error.detail)
    }

    #[test]
    fn options_in_range_pass_and_others_are_named() {
        assert_eq!(
            check(json!({"onset_threshold": 0.4, "melodia": false})),
            Ok(())
        );
        assert!(
            check(json!({"onset_threshold": 1.5}))
                .unwrap_err()
                .contains("onset_threshold")
        );
        assert!(
            check(json!({"melodia": "yes"}))
                .unwrap_err()
                .contains("melodia")
        );
        assert!(check(json!({"speed": 1})).unwrap_err().contains("speed"));
        let swapped = json!({"minimum_frequency": 500, "maximum_frequency": 100});
        assert!(check(swapped).unwrap_err().contains("maximum_frequency"));
    }

    #[test]
    fn a_family_alone_means_its_default_size_and_other_sizes_are_refused_with_what_there_is() {
        let models = Models::parse(DEFAULT).unwrap();
        assert_eq!(models.find("harmonica").unwrap().name, "harmonica:medium");
        assert_eq!(models.default_model().name, "basic-pitch");
        let error = models.require("harmonica:huge").err().unwrap();
        assert_eq!(error.code, Code::ModelUnknown);
        assert!(
            error.detail.contains("harmonica:x-large"),
            "{}",
            error.detail
        );
        assert!(
            Models::parse("basic-pitch")
                .unwrap()
                .find("harmonica")
                .is_none()
        );
    }

    #[test]
    fn the_mapping_is_read_and_nonsense_is_refused() {
        let models = Models::parse("basic-pitch, other=slow").unwrap();
        assert_eq!(models.find("other").unwrap().queue.as_str(), "slow");
        assert_eq!(models.default_model().queue.as_str(), "default");
        let models = Models::parse("a=x+y,b=y").unwrap();
        let queue = |name: &str| QueueName::parse(name).unwrap();
        assert!(models.default_model().takes_queue(&queue("y")));
        assert!(!models.find("b").unwrap().takes_queue(&queue("x")));
        assert_eq!(models.queues().len(), 2);
        for bad in ["", "a=b=c", "a=UPPER", "a,a", "=x", "a=", "a=x+", "a=+x"] {
            assert!(Models::parse(bad).is_err(), "{bad}");
        }
    }
}
