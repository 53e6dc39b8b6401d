//! What a route's requests take when nothing slows them down.
//!
//! An estimate a little below the median. It moves by a few per cent a window, so that neither an outlier nor a bad
//! second changes it, and it never depends on how large a latency was, only on which side of the estimate it fell.
//!
//! It falls whenever most requests were faster. It rises only when most of those that entered while hardly anybody was in
//! were slower, and they were not few: slowness that a smaller limit could not have prevented is the route's own. Without
//! that rule an overload that lasts would be learnt as the normal state, and the limit would rise with it without bound.

use std::time::Duration;

use super::sync::{AtomicU64, Relaxed};

/// So many requests make the estimate move; fewer wait for more.
const ENOUGH: u64 = 8;
const RISE: f64 = 1.05;
const FALL: f64 = 0.9;
/// A request of a slower route weighs no more than this in a window's verdict, in microseconds.
const HEAVIEST_US: u64 = 100_000;
/// A request that took more than so many times what it may counts as if it had taken that.
const SLOWEST: u64 = 64;
/// There is no estimate yet.
const UNKNOWN: u64 = 0;

/// One route's estimate and what was seen since it last moved. Times are nanoseconds.
pub(super) struct Baseline {
    unloaded: AtomicU64,
    /// Above this a request counts as slow.
    slow_over: AtomicU64,
    /// The fastest request while there is no estimate.
    fastest: AtomicU64,
    seen: AtomicU64,
}

/// What one request says about the load.
pub(super) struct Verdict {
    /// What the request is worth: its route's unloaded latency in microseconds, so that a window is judged by the work
    /// done in it and a hundred quick look-ups do not outvote the one write that is stuck.
    pub(super) work: u64,
    /// Nothing when it was not slow. Otherwise its work times what it took above the bound, in bounds: 0 just above it,
    /// the work itself at twice the bound.
    pub(super) excess: Option<u64>,
}

/// When a request is slow.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) tolerance: f64,
    pub(super) floor: Duration,
}

impl Baseline {
    pub(super) fn new() -> Self {
        Self {
            unloaded: AtomicU64::new(UNKNOWN),
            slow_over: AtomicU64::new(u64::MAX),
            fastest: AtomicU64::new(u64::MAX),
            seen: AtomicU64::new(0),
        }
    }

    /// Takes note of one request; says nothing about it while the route is unknown. `quiet`: hardly anybody was
    /// in when it entered.
    pub(super) fn record(&self, latency: u64, quiet: bool) -> Option<Verdict> {
        let unloaded = self.unloaded.load(Relaxed);
        if unloaded == UNKNOWN {
            self.fastest.fetch_min(latency.max(1), Relaxed);
        }
        self.seen.fetch_add(Seen::one(latency > unloaded, quiet), Relaxed);
        (unloaded != UNKNOWN).then(|| {
            let work = (unloaded / 1000).clamp(1, HEAVIEST_US);
            let bound = self.slow_over.load(Relaxed).max(1);
            let over = || latency.min(bound.saturating_mul(SLOWEST)) - bound;
            Verdict { work, excess: (latency > bound).then(|| work.saturating_mul(over()) / bound) }
        })
    }

    /// Moves the estimate by what was seen. Only one thread at a time may.
    pub(super) fn learn(&self, bounds: Bounds) {
        let seen = Seen(self.seen.load(Relaxed));
        if seen.all() < ENOUGH {
            return;
        }
        let seen = Seen(self.seen.swap(0, Relaxed));
        let unloaded = self.unloaded.load(Relaxed);
        if unloaded == UNKNOWN {
            self.set(self.fastest.load(Relaxed), bounds);
        } else if 4 * seen.quiet() > seen.all() && 2 * seen.quiet_above() > seen.quiet() {
            self.set(scaled(unloaded, RISE), bounds);
        } else if 2 * seen.below() > seen.all() {
            self.set(scaled(unloaded, FALL), bounds);
        }
    }

    /// Other bounds are in force.
    pub(super) fn rebound(&self, bounds: Bounds) {
        let unloaded = self.unloaded.load(Relaxed);
        if unloaded != UNKNOWN {
            self.set(unloaded, bounds);
        }
    }

    pub(super) fn unloaded(&self) -> Option<Duration> {
        let unloaded = self.unloaded.load(Relaxed);
        (unloaded != UNKNOWN).then_some(Duration::from_nanos(unloaded))
    }

    fn set(&self, unloaded: u64, bounds: Bounds) {
        // Never so small that a few per cent of it are nothing.
        let unloaded = unloaded.max(100);
        let floor = u64::try_from(bounds.floor.as_nanos()).unwrap_or(u64::MAX);
        self.slow_over.store(scaled(unloaded, bounds.tolerance).max(floor), Relaxed);
        self.unloaded.store(unloaded, Relaxed);
    }
}

/// Four counters in one number, 16 bits each: quiet and above the estimate, quiet and not, busy and above, busy and not.
/// Should one overflow, one step of the estimate is wrong by a few per cent.
struct Seen(u64);

impl Seen {
    fn one(above: bool, quiet: bool) -> u64 {
        1 << (16 * (u32::from(above) + 2 * u32::from(quiet)))
    }

    fn part(&self, above: bool, quiet: bool) -> u64 {
        (self.0 / Self::one(above, quiet)) & 0xffff
    }

    fn all(&self) -> u64 {
        self.below() + self.part(true, false) + self.quiet_above()
    }

    fn below(&self) -> u64 {
        self.part(false, false) + self.part(false, true)
    }

    fn quiet(&self) -> u64 {
        self.quiet_above() + self.part(false, true)
    }

    fn quiet_above(&self) -> u64 {
        self.part(true, true)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "latencies are far below 2^53 ns, and a cast of a float saturates"
)]
fn scaled(nanos: u64, factor: f64) -> u64 {
    (nanos as f64 * factor) as u64
}
