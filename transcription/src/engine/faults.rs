//! Failures that a test plans: the n-th step on the device fails as it would if the device did. A worker of people has none.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

/// How a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OutOfMemory,
    /// An exception that says nothing about the device.
    Exception,
    /// After it nothing on the device succeeds.
    Sticky,
}

/// The steps that fail, counted from 1 over the whole life of the engine. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    planned: Arc<Vec<(u64, Kind)>>,
    steps: Arc<AtomicU64>,
}

impl Faults {
    /// Counts a step, and fails it if that was planned.
    pub(super) fn step(&self) -> Result<(), Error> {
        if self.planned.is_empty() {
            return Ok(());
        }
        let step = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let Some((_, kind)) = self.planned.iter().find(|(at, _)| *at == step) else {
            return Ok(());
        };
        tracing::warn!(step, ?kind, "a planned failure");
        // As libtorch says it, so that these take the same way as its own.
        let message = match kind {
            Kind::OutOfMemory => "CUDA out of memory (planned)",
            Kind::Exception => "an exception (planned)",
            Kind::Sticky => "CUDA error: an illegal memory access was encountered (planned)",
        };
        Err(Error::from_message(message.into()))
    }
}

/// `oom@3,oom@4,error@7,sticky@9`
impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let planned = text
            .split(',')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (kind, step) = part.split_once('@')?;
                let kind = match kind {
                    "oom" => Kind::OutOfMemory,
                    "error" => Kind::Exception,
                    "sticky" => Kind::Sticky,
                    _ => return None,
                };
                Some((step.parse().ok().filter(|step| *step > 0)?, kind))
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| {
                format!("`{text}` plans no failures; write oom@3,error@7,sticky@9 (at which step of the device)")
            })?;
        Ok(Faults {
            planned: Arc::new(planned),
            steps: Arc::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Faults;

    #[test]
    fn planned_steps_fail_as_the_device_would_and_no_others() {
        let faults: Faults = "oom@2,error@4,sticky@5".parse().unwrap();
        let seen: Vec<_> = (0..6)
            .map(|_| match faults.step() {
                Ok(()) => "",
                Err(error) if error.poisons_device() => "sticky",
                Err(error) => error.code(),
            })
            .collect();
        assert_eq!(seen, ["", "out_of_memory", "", "internal", "sticky", ""]);
        for wrong in ["oom", "oom@0", "oom@x", "flood@1"] {
            assert!(wrong.parse::<Faults>().is_err(), "{wrong}");
        }
        assert!(Faults::default().step().is_ok());
    }
}
