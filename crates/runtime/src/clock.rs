//! The only place that reads a wall clock. Everything below the edges takes `now` as an argument.

use serde::{Deserialize, Serialize};

/// How far apart clocks may be that count as agreeing, milliseconds: those of two nodes, or one before and after a small
/// correction.
const SLACK_MS: i64 = 10_000;

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// This time plus `seconds`.
    #[must_use]
    pub fn plus_s(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(i64::from(seconds) * 1000))
    }

    /// This time plus `millis` milliseconds (may be negative).
    #[must_use]
    pub fn plus_ms(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this time; negative when this time is the earlier one.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether this time, which somebody noted as the present, is yet to come at `now`: the clock was set back since,
    /// and nobody knows how much time has passed. Not so for a few seconds: clocks differ.
    #[must_use]
    pub fn is_from_the_future(self, now: Self) -> bool {
        self > now.at_the_latest()
    }

    /// What another clock may show at this time: what was noted as the present later than this is from the future
    /// ([`Millis::is_from_the_future`]).
    #[must_use]
    pub fn at_the_latest(self) -> Self {
        self.plus_ms(SLACK_MS)
    }
}

/// Where the edges (handlers, relay, sweeps) get `now` from: the machine's clock, which may be set at any time.
///
/// Outside of release builds it can be moved away from the machine's, for tests; clones move together.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    #[cfg(debug_assertions)]
    offset_ms: std::sync::Arc<std::sync::atomic::AtomicI64>,
}

impl Clock {
    /// The operating system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// The current time.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    pub fn now(&self) -> Millis {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A machine clock before 1970 reads as the epoch: ids refuse it later with a clear message.
        let now = Millis(since_epoch.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)));
        #[cfg(debug_assertions)]
        let now = now.plus_ms(self.offset_ms.load(std::sync::atomic::Ordering::SeqCst));
        now
    }

    /// From now on this clock is `offset_ms` milliseconds ahead of the machine's (behind it when negative), as if
    /// somebody had set the machine's. A release build has no such thing.
    #[cfg(debug_assertions)]
    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, std::sync::atomic::Ordering::SeqCst);
    }
}
