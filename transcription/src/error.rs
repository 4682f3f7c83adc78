//! What can go wrong between a recording and its notes, with the stable code that users see and the kind that the queue counts.

/// A failed transcription, or an engine that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recording could not be read.
    #[error(transparent)]
    Audio(#[from] audio::Error),
    /// An option that the network does not have, or a value that it cannot take.
    #[error("option `{option}` of model `{model}`: {reason}")]
    Options {
        model: String,
        option: String,
        reason: String,
    },
    /// A name that this build does not know.
    #[error("unknown model `{name}`; this build knows: {}", crate::MODELS.join(", "))]
    ModelUnknown { name: String },
    /// A network that is known here, but whose weights are not installed.
    #[error("model `{name}` is not installed in `{dir}`; run `wtt models pull {name}`")]
    ModelMissing { name: String, dir: String },
    /// Weights that are not the ones that were converted.
    #[error("model `{name}` is damaged: {reason}; run `wtt models pull {name} --force`")]
    ModelDamaged { name: String, reason: String },
    /// A device that is not there.
    #[error("device `{device}` cannot be used: {reason}")]
    DeviceUnavailable { device: String, reason: String },
    /// The device's memory ran out.
    #[error("out of memory on the device: {message}")]
    OutOfMemory { message: String },
    /// An exception of libtorch, or a panic in code that called it.
    #[error("the network failed: {message}")]
    Device { message: String, sticky: bool },
    /// The song was cancelled by its owner.
    #[error("cancelled")]
    Cancelled,
    /// The engine's thread has ended.
    #[error("the engine has stopped; restart the worker")]
    Stopped,
    /// A file of the model store could not be read or written.
    #[error("{what}")]
    Store {
        what: String,
        #[source]
        source: std::io::Error,
    },
    /// A download or a conversion of weights failed.
    #[error("cannot install model `{name}`: {reason}")]
    Pull { name: String, reason: String },
    /// A file of weights that its user brought and that is not what the network needs.
    #[error("the weights for `{name}` cannot be used: {reason}")]
    Weights { name: String, reason: String },
}

impl Error {
    /// The stable code, as the API shows it.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Audio(error) => error.code(),
            Error::Options { .. } => "options_invalid",
            Error::ModelUnknown { .. }
            | Error::ModelMissing { .. }
            | Error::ModelDamaged { .. }
            | Error::Weights { .. }
            | Error::Pull { .. } => "model_unavailable",
            Error::OutOfMemory { .. } => "out_of_memory",
            Error::Cancelled => "cancelled",
            Error::DeviceUnavailable { .. }
            | Error::Device { .. }
            | Error::Stopped
            | Error::Store { .. } => "internal",
        }
    }

    /// The kind under which the queue counts the failure.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Audio(_) => "decode",
            Error::Options { .. } => "input",
            Error::ModelUnknown { .. }
            | Error::ModelMissing { .. }
            | Error::ModelDamaged { .. }
            | Error::Weights { .. }
            | Error::Pull { .. } => "model_unavailable",
            Error::OutOfMemory { .. } => "oom_gpu",
            Error::Cancelled => "cancelled",
            Error::Store { .. } => "storage",
            Error::Device { .. } => "model",
            Error::DeviceUnavailable { .. } | Error::Stopped => "internal",
        }
    }

    /// Whether the same song may succeed when it is run again.
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            Error::OutOfMemory { .. }
                | Error::Device { .. }
                | Error::Stopped
                | Error::Store { .. }
                | Error::DeviceUnavailable { .. }
        ) || matches!(self, Error::Audio(error) if error.code() == "audio_unreadable")
    }

    /// Whether nothing on this device can succeed until the process is started again (CUDA's sticky errors).
    pub fn poisons_device(&self) -> bool {
        matches!(self, Error::Device { sticky: true, .. } | Error::Stopped)
    }
}

impl Error {
    /// The same failure for another song of the same batch.
    pub(crate) fn share(&self) -> Self {
        match self {
            Error::OutOfMemory { message } => Error::OutOfMemory {
                message: message.clone(),
            },
            Error::Device { message, sticky } => Error::Device {
                message: message.clone(),
                sticky: *sticky,
            },
            Error::ModelMissing { name, dir } => Error::ModelMissing {
                name: name.clone(),
                dir: dir.clone(),
            },
            Error::ModelDamaged { name, reason } => Error::ModelDamaged {
                name: name.clone(),
                reason: reason.clone(),
            },
            Error::Weights { name, reason } => Error::Weights {
                name: name.clone(),
                reason: reason.clone(),
            },
            Error::Stopped => Error::Stopped,
            other => Error::Device {
                message: other.to_string(),
                sticky: false,
            },
        }
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Error::from_message(error.to_string())
    }
}

impl Error {
    /// Sorts an exception's text: the first line is what libtorch says, the rest is its C++ stack.
    pub(crate) fn from_message(text: String) -> Self {
        let message = text
            .lines()
            .next()
            .unwrap_or("no message")
            .trim()
            .to_owned();
        if text.contains("out of memory")
            || text.contains("bad_alloc")
            || text.contains("can't allocate memory")
        {
            return Error::OutOfMemory { message };
        }
        let sticky = [
            "CUDA error",
            "cuDNN error",
            "CUBLAS_STATUS",
            "device-side assert",
        ]
        .iter()
        .any(|sign| text.contains(sign));
        Error::Device { message, sticky }
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn exceptions_are_sorted_by_what_can_be_done() {
        for (text, code, retryable, poisons) in [
            (
                "CUDA out of memory. Tried to allocate 2 GiB",
                "out_of_memory",
                true,
                false,
            ),
            (
                "DefaultCPUAllocator: can't allocate memory: you tried",
                "out_of_memory",
                true,
                false,
            ),
            (
                "CUDA error: an illegal memory access was encountered\nException raised from",
                "internal",
                true,
                true,
            ),
            (
                "The size of tensor a (3) must match",
                "internal",
                true,
                false,
            ),
        ] {
            let error = Error::from_message(text.to_owned());
            assert_eq!(
                (error.code(), error.retryable(), error.poisons_device()),
                (code, retryable, poisons),
                "{text}"
            );
        }
    }
}
