//! The only place that reads a clock.

use std::time::{Instant, SystemTime};

/// The monotonic clock, for what is measured.
#[inline]
#[allow(clippy::disallowed_methods, reason = "this is the clock that all of this tool measures with")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of day, milliseconds since 1970 UTC, as the product writes it down.
#[allow(clippy::disallowed_methods, reason = "the peer writes what the gateway would write")]
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}
