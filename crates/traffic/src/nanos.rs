//! The limiter's time.

use runtime::Stopwatch;

/// Nanoseconds on a clock that only goes forward, since some moment of this process. Limits are about durations: a wall
/// clock that is set must neither forgive nor punish anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The present, by the stopwatch that was started with the process.
    #[must_use]
    pub fn since_start_of(stopwatch: &Stopwatch) -> Self {
        Self(u64::try_from(stopwatch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
