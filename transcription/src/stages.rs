//! Where a network's time goes on its device: marks between its parts. They cost nothing until somebody measures on the same thread; then
//! the device comes to rest at each of them, so that the parts' times are true and their sum is longer than without. It knows no networks.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use tch::Device;

use crate::Error;
use crate::device::synchronise;
use crate::guard::guarded;

/// A part's name and all the time that was spent in it, in the order in which parts first came.
pub type Spent = Vec<(&'static str, Duration)>;

struct Watch {
    device: Device,
    since: Instant,
    spent: Spent,
    failure: Option<Error>,
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// What was done since the last mark belongs to `part`.
pub(crate) fn mark(part: &'static str) {
    WATCH.with_borrow_mut(|watch| {
        let Some(watch) = watch else {
            return;
        };
        if let Err(error) = synchronise(watch.device) {
            watch.failure.get_or_insert(error);
        }
        let now = Instant::now();
        let took = now - watch.since;
        watch.since = now;
        match watch.spent.iter_mut().find(|(name, _)| *name == part) {
            Some((_, all)) => *all += took,
            None => watch.spent.push((part, took)),
        }
    });
}

/// Runs `work` on this thread and tells what went where.
pub fn measured<T>(
    device: Device,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<(T, Spent), Error> {
    synchronise(device)?;
    let watch = Watch {
        device,
        since: Instant::now(),
        spent: Spent::new(),
        failure: None,
    };
    WATCH.set(Some(watch));
    let worked = guarded(work);
    mark("the rest");
    let watch = WATCH.take();
    let result = worked?;
    match watch {
        Some(Watch {
            failure: Some(error),
            ..
        }) => Err(error),
        Some(watch) => Ok((result, watch.spent)),
        None => Ok((result, Spent::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_nothing_is_kept_outside() {
        mark("before");
        let begun = Instant::now();
        let ((), spent) = measured(Device::Cpu, || {
            for part in ["one", "two", "one"] {
                let until = Instant::now() + Duration::from_millis(2);
                while Instant::now() < until {}
                mark(part);
            }
            Ok(())
        })
        .unwrap();
        let whole = begun.elapsed();
        let names: Vec<&str> = spent.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["one", "two", "the rest"]);
        assert!(spent[0].1 >= Duration::from_millis(4), "{spent:?}");
        let sum: Duration = spent.iter().map(|(_, took)| *took).sum();
        assert!(sum <= whole && sum >= Duration::from_millis(6), "{spent:?}");
    }

    #[test]
    fn a_failure_ends_the_measurement() {
        let failed = measured(Device::Cpu, || {
            mark("one");
            Err::<(), _>(Error::Stopped)
        });
        assert!(failed.is_err());
        assert!(WATCH.with_borrow(Option::is_none));
    }
}
