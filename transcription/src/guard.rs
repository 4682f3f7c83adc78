//! Turns a panic below a call into an error: plain `tch` operations panic where a C++ exception was thrown.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Error;

/// Runs `work`; a panic inside becomes the failure of this call alone.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => {
            let text = payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| {
                    payload
                        .downcast_ref::<&str>()
                        .map(|text| (*text).to_owned())
                })
                .unwrap_or_else(|| "a panic without a message".to_owned());
            Err(Error::from_message(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::guarded;
    use crate::Error;

    #[test]
    fn a_panic_of_a_plain_operation_is_an_error() {
        let result = guarded(|| {
            let a = tch::Tensor::from_slice(&[1f32, 2.0]);
            let b = tch::Tensor::from_slice(&[1f32, 2.0, 3.0]);
            let _ = &a + &b;
            Ok(())
        });
        assert!(
            matches!(result, Err(Error::Device { sticky: false, .. })),
            "{result:?}"
        );
    }
}
