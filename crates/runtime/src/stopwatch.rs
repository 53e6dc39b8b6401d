//! The only place that reads the monotonic clock, for durations in metrics and logs.

use std::time::{Duration, Instant};

/// Measures how long something took. Not a time of day: for that there is [`crate::Clock`].
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the stopwatch that everything else is given")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
