//! Options as a custom resource can hold them, in whole numbers and words, as the networks take them. Judging is not done here:
//! what is not understood stays as it is, for the check to refuse by name.

use serde_json::{Map, Value};

use super::{Kind, Known, Model, Setting};
use crate::error::{ApiError, ApiResult, Code};
use crate::problems;

impl Model {
    /// Options as a custom resource says them, in whole numbers and words, as the network takes them: `onsetThresholdPercent: 50`
    /// is `onset_threshold: 0.5`, and `"true"` is `true`. What is not understood stays as it is, for the check to refuse.
    pub fn translated(&self, options: &Map<String, Value>) -> ApiResult<Map<String, Value>> {
        let Some(known) = self.known else {
            return Ok(options.clone());
        };
        let mut translated = Map::new();
        for (name, value) in options {
            let (own, value) = known.translate(name, value);
            if translated.insert(own.clone(), value).is_some() {
                let detail = format!("the option {own} is given twice, under two names");
                let pointer = format!("/options/{}", problems::escaped(name));
                return Err(
                    ApiError::new(Code::OptionsInvalid, detail).field(pointer, "given twice")
                );
            }
        }
        Ok(translated)
    }
}

impl Known {
    fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.options.iter().find(|setting| setting.name == name)
    }

    fn translate(&self, name: &str, value: &Value) -> (String, Value) {
        let mut own = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                own.push('_');
            }
            own.push(letter.to_ascii_lowercase());
        }
        if let Some(setting) = self.setting(&own) {
            return (own, setting.kind.read_word(value));
        }
        let hundredfold = own
            .strip_suffix("_percent")
            .and_then(|own| self.setting(own));
        match (hundredfold, value.as_f64()) {
            (Some(setting), Some(percent)) if matches!(setting.kind, Kind::Number { .. }) => {
                (setting.name.to_owned(), (percent / 100.0).into())
            }
            _ => (name.to_owned(), value.clone()),
        }
    }
}

impl Kind {
    /// A value that had to be written as a word.
    fn read_word(&self, value: &Value) -> Value {
        let Some(word) = value.as_str() else {
            return value.clone();
        };
        let read = match self {
            Kind::Boolean { .. } => word.parse::<bool>().ok().map(Value::from),
            Kind::Number { .. } => word
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .map(Value::from),
            Kind::Words => None,
        };
        read.unwrap_or_else(|| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Models;
    use super::*;

    #[test]
    fn whole_numbers_and_words_become_what_the_network_takes() {
        let models = Models::parse("basic-pitch,other").unwrap();
        let translated = |options: Value| {
            let options = options.as_object().unwrap().clone();
            models.default_model().translated(&options)
        };
        let options = json!({"onsetThresholdPercent": 50, "melodia": "false", "minimumNoteLength": "127.7", "midi_tempo": 90});
        let wanted = json!({"onset_threshold": 0.5, "melodia": false, "minimum_note_length": 127.7, "midi_tempo": 90});
        assert_eq!(Value::Object(translated(options).unwrap()), wanted);
        // Left as they are, and refused by name.
        for bad in [
            json!({"melodiaPercent": 5}),
            json!({"melodia": "yes"}),
            json!({"midiTempo": "inf"}),
            json!({"Percent": 5}),
        ] {
            let options = translated(bad.clone()).unwrap();
            assert!(
                models.default_model().check_options(&options).is_err(),
                "{bad}"
            );
        }
        assert!(translated(json!({"melodia": true, "Melodia": true})).is_ok());
        assert!(translated(json!({"onset_threshold": 0.1, "onsetThreshold": "0.2"})).is_err());
        let other = models.find("other").unwrap();
        let odd = json!({"anyThing": [1]});
        assert_eq!(
            other.translated(odd.as_object().unwrap()).unwrap(),
            *odd.as_object().unwrap()
        );
    }
}
