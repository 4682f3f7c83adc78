//! Waiting for conditions, never for time. Knows neither clusters nor clients.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);

/// Looks until `look` gives a value, and says at the end what it saw last. An error of `look` is what it saw.
pub(crate) async fn until<T, F>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Seen<T>>>,
{
    let end = Instant::now() + limit;
    loop {
        let seen = match look().await {
            Ok(Seen::Yes(value)) => return Ok(value),
            Ok(Seen::NotYet(state)) => state,
            Ok(Seen::Never(reason)) => bail!("{what}: {reason}"),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= end {
            bail!(
                "{what}: not within {} s; last seen: {seen}",
                limit.as_secs()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What one look saw.
pub(crate) enum Seen<T> {
    Yes(T),
    NotYet(String),
    /// It cannot come any more.
    Never(String),
}

/// For conditions that have no value.
pub(crate) fn when(holds: bool, otherwise: impl Into<String>) -> Seen<()> {
    if holds {
        Seen::Yes(())
    } else {
        Seen::NotYet(otherwise.into())
    }
}

/// Holds `look` to its answer for the whole of `span`: for what must not happen.
pub(crate) async fn all_along<F>(
    what: &str,
    span: Duration,
    mut look: impl FnMut() -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<bool>>,
{
    let end = Instant::now() + span;
    while Instant::now() < end {
        // Who cannot be asked for a moment has not broken anything.
        if let Ok(false) = look().await {
            bail!("{what}: no longer");
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_what_it_saw_last_when_time_is_up() {
        let error = until::<(), _>("rain", Duration::from_millis(1), || async {
            Ok(Seen::NotYet("clouds".to_owned()))
        })
        .await
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("rain") && error.contains("clouds"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn gives_up_at_once_on_what_cannot_come() {
        let began = Instant::now();
        let look = || async { Ok(Seen::<()>::Never("it failed".to_owned())) };
        let error = until("notes", Duration::from_secs(60), look).await;
        assert!(error.unwrap_err().to_string().contains("it failed"));
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn what_ends_too_early_is_noticed() {
        let span = Duration::from_millis(20);
        let broken = all_along("peace", span, || async { Ok(false) }).await;
        assert!(broken.is_err());
        assert!(
            all_along("peace", span, || async { Ok(true) })
                .await
                .is_ok()
        );
    }
}
