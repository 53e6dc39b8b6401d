//! One bucket, as numbers: how fast it refills, how much it holds, and whether a cost fits into it now.

use std::{num::NonZeroU32, time::Duration};

use crate::Nanos;

/// No bucket takes longer than this to fill (146 years), so that sums of two such times and a clock fit 64 bits.
const LONGEST_NS: u64 = 1 << 62;

/// How fast and how much: a bucket holds `burst` units and gets one back every `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval_ns: u64,
    burst: u32,
}

impl Rate {
    /// `quota` units every `window`, `burst` of them at once. The time of one unit is rounded up to whole nanoseconds:
    /// never a unit too many. A burst that would take more than 146 years to come back is made as small as does not.
    #[must_use]
    pub fn new(quota: NonZeroU32, window: Duration, burst: NonZeroU32) -> Self {
        let interval_ns = window.as_nanos().div_ceil(u128::from(quota.get()));
        let interval_ns = u64::try_from(interval_ns).unwrap_or(u64::MAX).clamp(1, LONGEST_NS);
        let longest = u32::try_from(LONGEST_NS / interval_ns).unwrap_or(u32::MAX);
        Self { interval_ns, burst: burst.get().min(longest) }
    }

    /// The time in which one unit comes back.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_nanos(self.interval_ns)
    }

    /// The most units at once.
    #[must_use]
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The time in which an empty bucket fills.
    #[must_use]
    pub fn fill_time(self) -> Duration {
        Duration::from_nanos(self.fill_ns())
    }

    pub(super) fn fill_ns(self) -> u64 {
        self.interval_ns * u64::from(self.burst)
    }

    /// How many whole units are left when what was used takes `used_ns` to come back.
    pub(super) fn remaining(self, used_ns: u64) -> u32 {
        let units = self.fill_ns().saturating_sub(used_ns) / self.interval_ns;
        u32::try_from(units).unwrap_or(self.burst)
    }
}

/// Decides about `cost` units at `now`, by the generic cell rate algorithm (ITU-T I.371) written with the moment at which
/// the bucket is full again, `tat` (the theoretical arrival time of the next cell of a steady stream). Changes nothing:
/// the caller writes the new `tat` down, or does not. A bucket that nobody used has any `tat` up to now.
///
/// # Errors
/// It does not fit now; it will after this long, if nobody else takes anything. [`Duration::MAX`]: it never will,
/// `cost` is more than the burst.
pub fn decide(tat: Nanos, now: Nanos, rate: Rate, cost: u32) -> Result<Nanos, Duration> {
    if cost > rate.burst {
        return Err(Duration::MAX);
    }
    let used_ns = tat.0.saturating_sub(now.0).saturating_add(rate.interval_ns * u64::from(cost));
    match used_ns.checked_sub(rate.fill_ns()) {
        None | Some(0) => Ok(Nanos(now.0.saturating_add(used_ns))),
        Some(excess_ns) => Err(Duration::from_nanos(excess_ns)),
    }
}

/// The `tat` under the rate `to` of a bucket that had `tat` under `from`: as many units are used as before, to the
/// fraction and rounded up, but no more than there now are. Not before `now`: what had come back by then came back at
/// the old rate.
pub(super) fn convert(tat: Nanos, now: Nanos, from: Rate, to: Rate) -> Nanos {
    let used_ns = u128::from(tat.0.saturating_sub(now.0));
    let used_ns = (used_ns * u128::from(to.interval_ns)).div_ceil(u128::from(from.interval_ns));
    let used_ns = u64::try_from(used_ns).unwrap_or(u64::MAX).min(to.fill_ns());
    Nanos(now.0.saturating_add(used_ns))
}
