//! Setting one condition among others. The time of a transition moves only when the status does, so that writing the same
//! twice is the same.

use crds::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// The API server takes no longer message.
const MOST_BYTES: usize = 32_000;
const MOST_SAID: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    pub fn as_str(self) -> &'static str {
        match self {
            Truth::True => "True",
            Truth::False => "False",
            Truth::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(is: bool) -> Self {
        if is { Truth::True } else { Truth::False }
    }
}

/// The list under construction, and what is the same for all of it.
#[derive(Debug)]
pub struct Conditions {
    list: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

impl Conditions {
    pub fn from(list: &[Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Conditions {
            list: list.to_vec(),
            generation,
            now,
        }
    }

    pub fn set(&mut self, type_: &str, truth: Truth, reason: &str, message: &str) {
        let message = if message.len() > MOST_BYTES.min(MOST_SAID) {
            message.chars().take(MOST_SAID / 4).collect()
        } else {
            message.to_owned()
        };
        let mut condition = Condition {
            type_: type_.to_owned(),
            status: truth.as_str().to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: self.generation,
            last_transition_time: Time(to_seconds(self.now)),
        };
        match self.list.iter_mut().find(|known| known.type_ == type_) {
            Some(known) => {
                if known.status == condition.status {
                    condition.last_transition_time = known.last_transition_time.clone();
                }
                *known = condition;
            }
            None => self.list.push(condition),
        }
    }

    pub fn has(&self, type_: &str) -> bool {
        self.list.iter().any(|known| known.type_ == type_)
    }

    pub fn list(&self) -> &[Condition] {
        &self.list
    }

    pub fn into_list(self) -> Vec<Condition> {
        self.list
    }
}

/// Times in objects have whole seconds; one with a fraction would never equal what comes back.
pub fn to_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A time from milliseconds since 1970.
pub fn at_ms(ms: i64) -> Option<Time> {
    Timestamp::from_second(ms.div_euclid(1000)).ok().map(Time)
}
