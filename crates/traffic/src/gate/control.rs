//! Once a window: was it slow, and what is the limit now.

use std::time::Duration;

use super::{
    baseline::{Bounds, Verdict},
    config::{GateConfig, GateMode},
    sync::{AtomicU64, Relaxed},
};
use crate::{Nanos, Priority};

/// A window with fewer judged requests stays open.
const ENOUGH: u64 = 10;
/// So does one that looks slow, but on fewer slow requests than this.
const ENOUGH_SLOW: u64 = 5;
/// The limit loses this part of itself if all work was slow, half of that if half was.
const SHRINK: f64 = 0.3;
/// So many more slow windows than others around the least limit, and the service has become slower: no limit helps.
const RESIGNED: u32 = 50;
/// The level that is shown falls by one after so much time below it.
const HOLD: Duration = Duration::from_secs(1);

/// What was seen since the last verdict. Four numbers that are read one after another: a request between two reads is
/// counted half in this window and half in the next, which changes nothing.
#[repr(align(64))]
pub(super) struct Judged {
    requests: AtomicU64,
    slow_requests: AtomicU64,
    work: AtomicU64,
    slow_work: AtomicU64,
}

impl Judged {
    pub(super) fn new() -> Self {
        let [requests, slow_requests, work, slow_work] = [0; 4].map(AtomicU64::new);
        Self { requests, slow_requests, work, slow_work }
    }

    pub(super) fn add(&self, verdict: &Verdict) {
        self.requests.fetch_add(1, Relaxed);
        self.work.fetch_add(verdict.work, Relaxed);
        if verdict.slow {
            self.slow_requests.fetch_add(1, Relaxed);
            self.slow_work.fetch_add(verdict.work, Relaxed);
        }
    }

    /// The part of the work that was slow, 0 to 1, and a new beginning; nothing while that would be a guess.
    pub(super) fn take(&self) -> Option<f64> {
        if self.requests.load(Relaxed) < ENOUGH {
            return None;
        }
        let slow = share(self.slow_work.load(Relaxed), self.work.load(Relaxed));
        if is_slow(slow) && self.slow_requests.load(Relaxed) < ENOUGH_SLOW {
            return None;
        }
        for number in [&self.requests, &self.slow_requests, &self.work, &self.slow_work] {
            number.store(0, Relaxed);
        }
        Some(slow)
    }
}

/// More than half of the work: then the median of the ratio to the unloaded latency, weighted by work, is above the
/// tolerance.
fn is_slow(share: f64) -> bool {
    share > 0.5
}

#[allow(clippy::cast_precision_loss, reason = "sums of microseconds of a window")]
fn share(part: u64, whole: u64) -> f64 {
    (part as f64 / whole.max(1) as f64).min(1.0)
}

/// What one thread at a time decides with.
pub(super) struct Control {
    pub(super) config: GateConfig,
    /// The fraction counts between windows.
    limit: f64,
    /// Windows in a row in which it grew.
    streak: u32,
    /// Slow windows around the least limit, less those that were not.
    stuck: u32,
    /// The most that were in since the last verdict.
    peak: u32,
    /// And whether anybody found no place.
    turned_away: bool,
    level: u8,
    level_since: Nanos,
}

impl Control {
    pub(super) fn new(config: GateConfig) -> Self {
        let limit = config.initial.into();
        Self {
            config,
            limit,
            streak: 0,
            stuck: 0,
            peak: 0,
            turned_away: false,
            level: 0,
            level_since: Nanos::default(),
        }
    }

    /// Other settings; the limit that was found stays, as far as they allow.
    pub(super) fn set_config(&mut self, config: GateConfig) {
        self.limit = self.limit.clamp(config.min_limit.into(), config.max_limit.max(config.min_limit).into());
        self.config = config;
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { tolerance: self.config.tolerance, floor: self.config.floor() }
    }

    /// How many may be in for another one of each priority to enter.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between two u32")]
    pub(super) fn ceilings(&self) -> [u32; Priority::COUNT] {
        self.config.ceilings(self.limit as u32)
    }

    /// A request that found fewer in was not slowed down by them, so that it shows what its route takes unloaded. Two
    /// fifths of the least limit: a gate that is full even at the least limit shows nothing, or an overload that lasts
    /// would be learnt as the normal state. Only when small limits have not helped for seconds does every request count.
    pub(super) fn quiet_below(&self) -> u32 {
        let resigned = self.stuck >= RESIGNED && self.config.mode == GateMode::Enforce;
        if resigned { u32::MAX } else { (2 * self.config.min_limit).div_ceil(5) }
    }

    /// The end of a window in which at most `peak` were in, somebody was `turned_away` or not, and `slow` of the work was
    /// slow. True: the limit was shrunk.
    pub(super) fn step(&mut self, peak: u32, turned_away: bool, slow: Option<f64>) -> bool {
        self.peak = self.peak.max(peak);
        self.turned_away |= turned_away;
        let Some(slow) = slow else { return false };
        let (peak, turned_away) = (std::mem::take(&mut self.peak), std::mem::take(&mut self.turned_away));
        if is_slow(slow) {
            self.streak = 0;
            // With fewer than the least limit in, no limit is the cause.
            let shrinks = peak >= self.config.min_limit;
            if shrinks {
                let least = self.config.min_limit.into();
                if self.limit <= 2.0 * least {
                    self.stuck = (self.stuck + 1).min(2 * RESIGNED);
                }
                self.limit = (self.limit * (1.0 - SHRINK * slow)).max(least);
            }
            return shrinks;
        }
        self.stuck = self.stuck.saturating_sub(1);
        if turned_away || f64::from(peak) * 2.0 >= self.limit {
            // Slowly after a shrinking, faster the longer it goes well.
            let step = f64::from(1 + self.streak / 2).min(self.limit.sqrt());
            self.limit = (self.limit + step).min(self.config.max_limit.into());
            self.streak = self.streak.saturating_add(1);
        }
        false
    }

    /// The level to show when `level` was the highest of the window: up at once, down one a second.
    pub(super) fn hold(&mut self, level: u8, now: Nanos) -> u8 {
        if level >= self.level {
            (self.level, self.level_since) = (level, now);
        } else if now.0.saturating_sub(self.level_since.0) >= HOLD.as_nanos() as u64 {
            (self.level, self.level_since) = (self.level - 1, now);
        }
        self.level
    }
}
