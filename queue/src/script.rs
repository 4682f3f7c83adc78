//! The Lua files, each with the shared part before it, and the reading of their answers.

use std::sync::LazyLock;

use redis::{Script, Value};

use crate::Error;

/// One transition.
pub(crate) struct Transition {
    pub(crate) name: &'static str,
    pub(crate) script: LazyLock<Script>,
    /// Name and text of each file that the script is made of, in order.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

/// Around ending.lua and places.lua where a script seldom needs them: a function that makes their functions, called where they are.
const AT_NEED_BEGINS: &str = "local function places()";
const AT_NEED_ENDS: &str = "return {make_ready = make_ready, finish_cancelled = finish_cancelled, promote = promote, next_due = next_due} end";

macro_rules! transitions {
    ($($constant:ident = $file:literal $(after $($shared:literal)+)? $(at_need $($later:literal)+)?;)*) => {
        $(pub(crate) static $constant: Transition = Transition {
            name: $file,
            script: LazyLock::new(|| assemble($constant.files.iter().map(|(_, text)| *text))),
            files: &[
                ("lib", include_str!("scripts/lib.lua")),
                $($(($shared, include_str!(concat!("scripts/", $shared, ".lua"))),)+)?
                $(
                    ("", AT_NEED_BEGINS),
                    $(($later, include_str!(concat!("scripts/", $later, ".lua"))),)+
                    ("", AT_NEED_ENDS),
                )?
                ($file, include_str!(concat!("scripts/", $file, ".lua"))),
            ],
        };)*

        pub(crate) static ALL: &[&Transition] = &[$(&$constant),*];
    };
}

/// One script of the texts of its files.
pub(crate) fn assemble<'a>(texts: impl Iterator<Item = &'a str>) -> Script {
    Script::new(&texts.collect::<Vec<_>>().join("\n"))
}

transitions! {
    ENQUEUE = "enqueue";
    CLAIM = "claim" after "records" at_need "ending" "places";
    HEARTBEAT = "heartbeat" after "records";
    PROGRESS = "progress" after "records";
    COMPLETE = "complete" after "ending";
    FAIL = "fail" after "records" "ending" "places";
    RELEASE = "release" after "records" "ending" "places";
    CANCEL = "cancel" after "records" "ending" "places";
    REPLAY = "replay" after "records" "ending" "places";
    FORGET = "forget" after "records";
    PARK = "park" after "records" "ending" "places";
    UNPARK = "unpark" after "records" "ending" "places";
    REAP = "reap" after "records" "ending" "places" "reaping";
    EXPIRE_WORKER = "expire_worker" after "records" "ending" "places" "epochs" "reaping";
    DRAIN = "drain" after "epochs";
    OBSERVE = "observe" after "records";
    ACK_RESULTS = "ack_results";
    DROP_RESULTS = "drop_results";
    HEAL = "heal" after "records" "ending" "places";
    RECOUNT = "recount" after "records" "ending" "places";
}

/// The answer of a script, read field by field; anything unexpected becomes `Error::Protocol`.
pub(crate) struct Answer {
    script: &'static str,
    value: Value,
}

impl Answer {
    pub(crate) fn new(script: &'static str, value: Value) -> Self {
        Self { script, value }
    }

    /// For a value that no arm of the caller knows.
    pub(crate) fn unexpected(&self) -> Error {
        Error::Protocol {
            script: self.script,
            answer: format!("{:.200}", format!("{:?}", self.value)),
        }
    }

    pub(crate) fn is_number(&self, wanted: i64) -> bool {
        self.number().is_ok_and(|number| number == wanted)
    }

    /// An integer, also one that came as text.
    pub(crate) fn number(&self) -> Result<i64, Error> {
        match &self.value {
            Value::Int(n) => Ok(*n),
            _ => self
                .text()
                .parse::<f64>()
                .map(|n| n as i64)
                .map_err(|_| self.unexpected()),
        }
    }

    pub(crate) fn unsigned(&self) -> Result<u64, Error> {
        self.number().map(|n| u64::try_from(n).unwrap_or(0))
    }

    /// -1 means none.
    pub(crate) fn optional(&self) -> Result<Option<u64>, Error> {
        self.number().map(|n| u64::try_from(n).ok())
    }

    /// Text; bytes that are no UTF-8 are replaced, for a task of another era must not stop a claim.
    pub(crate) fn text(&self) -> String {
        match &self.value {
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::SimpleString(text) => text.clone(),
            Value::Int(n) => n.to_string(),
            _ => String::new(),
        }
    }

    pub(crate) fn list(self) -> Result<Vec<Answer>, Error> {
        match self.value {
            Value::Array(values) => Ok(values
                .into_iter()
                .map(|value| Answer {
                    script: self.script,
                    value,
                })
                .collect()),
            _ => Err(self.unexpected()),
        }
    }

    /// A list of exactly `N` entries.
    pub(crate) fn fields<const N: usize>(self) -> Result<[Answer; N], Error> {
        let script = self.script;
        let list = self.list()?;
        let found = list.len();
        list.try_into().map_err(|_| Error::Protocol {
            script,
            answer: format!("{found} fields instead of {N}"),
        })
    }
}
