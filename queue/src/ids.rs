//! The names that travel through the queue, each checked once at the door, so that no name can forge a key or a JSON body.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the name.
            pub fn parse(name: impl Into<String>) -> Result<Self, Error> {
                let name = name.into();
                let check: fn(&str) -> bool = $check;
                if check(&name) {
                    Ok(Self(name))
                } else {
                    Err(Error::Invalid { what: $what, value: name, rule: $rule })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(name: String) -> Result<Self, Error> {
                Self::parse(name)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self, Error> {
                Self::parse(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

fn made_of(name: &str, longest: usize, allowed: fn(u8) -> bool) -> bool {
    !name.is_empty() && name.len() <= longest && name.bytes().all(allowed)
}

name!(
    /// One unit of work. Ours are UUIDv7, a custom resource's is its UID.
    TaskId, "task id", "1 to 64 of 0-9 A-Z a-z -, and not the name of one of the queue's own keys",
    // `task:{id}` shares its key space with `task:queue` and its brothers.
    |name| made_of(name, 64, |b| b.is_ascii_alphanumeric() || b == b'-') && !crate::keys::RESERVED_IDS.contains(&name)
);
name!(
    /// One life of one worker process, unique per boot.
    WorkerId, "worker id", "1 to 80 of 0-9 a-z . -",
    |name| made_of(name, 80, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
);
name!(
    /// A named queue; `default` is the seed's `task:queue`.
    QueueName, "queue name", "1 to 40 of 0-9 a-z -, not high, low or alone",
    |name| made_of(name, 40, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !matches!(name, "high" | "low" | "alone")
);

impl Default for QueueName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

/// The right to finish one attempt of one task: a secret, so it never prints itself.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}
