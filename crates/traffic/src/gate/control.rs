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
/// So many overloaded windows in a row, and it is not a burst.
const LASTING: u32 = 3;
/// The limit grows by this factor a second while it is calm, until it is `initial` again.
const CALM_GROWTH: f64 = 10.0;
/// So many more slow windows than others around the least limit, and the service has become slower: no limit helps.
const RESIGNED: u32 = 50;
/// The level that is shown falls by one after so much time below it.
const HOLD: Duration = Duration::from_secs(1);

/// What was seen since the last verdict: all of it, the slow part, and how slow that was. Three numbers, read one after
/// another: a request between the reads is lost or counted by half, which changes nothing.
#[repr(align(64))]
pub(super) struct Judged {
    all: AtomicU64,
    slow: AtomicU64,
    excess: AtomicU64,
}

/// How loaded a window was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// The part of the work that was slow, 0 to 1.
    pub(super) slow: f64,
    /// How many times what it may take a request took, weighted by work; what was not slow counts as 1.
    pub(super) times: f64,
}

/// Requests and their work in one number, so that a request pays for one addition: 20 bits and 44 bits. A million
/// requests in one window would count as none.
const REQUEST: u64 = 1 << 44;

impl Judged {
    pub(super) fn new() -> Self {
        let [all, slow, excess] = [0; 3].map(AtomicU64::new);
        Self { all, slow, excess }
    }

    pub(super) fn add(&self, verdict: &Verdict) {
        let one = REQUEST + verdict.work;
        self.all.fetch_add(one, Relaxed);
        if let Some(excess) = verdict.excess {
            self.slow.fetch_add(one, Relaxed);
            self.excess.fetch_add(excess, Relaxed);
        }
    }

    /// The verdict, and a new beginning; nothing while that would be a guess.
    pub(super) fn take(&self) -> Option<Load> {
        let (all, slow) = (self.all.load(Relaxed), self.slow.load(Relaxed));
        if all / REQUEST < ENOUGH {
            return None;
        }
        let work = all % REQUEST;
        let times = 1.0 + ratio(self.excess.load(Relaxed), work);
        let load = Load { slow: ratio(slow % REQUEST, work).min(1.0), times };
        if load.is_slow() && slow / REQUEST < ENOUGH_SLOW {
            return None;
        }
        for sum in [&self.all, &self.slow, &self.excess] {
            sum.store(0, Relaxed);
        }
        Some(load)
    }
}

impl Load {
    /// More than half of the work: then the median of the ratio to the unloaded latency, weighted by work, is above the
    /// tolerance.
    fn is_slow(self) -> bool {
        self.slow > 0.5
    }
}

#[allow(clippy::cast_precision_loss, reason = "sums of microseconds of a window")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
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
    /// Overloaded windows in a row.
    lasting: u32,
    /// When the last window ended.
    looked: Nanos,
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
            lasting: 0,
            looked: Nanos::default(),
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

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between two u32")]
    pub(super) fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// How many may be in for another one of each priority to enter.
    pub(super) fn ceilings(&self) -> [u32; Priority::COUNT] {
        self.config.ceilings(self.limit())
    }

    /// A request that found fewer in was not slowed down by them, so that it shows what its route takes unloaded. Two
    /// fifths of the least limit: a gate that is full even at the least limit shows nothing, or an overload that lasts
    /// would be learnt as the normal state. Only when small limits have not helped for seconds does every request count.
    pub(super) fn quiet_below(&self) -> u32 {
        let resigned = self.stuck >= RESIGNED && self.config.mode == GateMode::Enforce;
        if resigned { u32::MAX } else { (2 * self.config.min_limit).div_ceil(5) }
    }

    /// The end of a window in which at most `peak` were in and somebody was `turned_away` or not. True: the limit was
    /// shrunk.
    pub(super) fn step(&mut self, now: Nanos, peak: u32, turned_away: bool, load: Option<Load>) -> bool {
        let passed = Duration::from_nanos(now.0.saturating_sub(self.looked.0)).as_secs_f64();
        self.looked = now;
        let Some(load) = load else {
            // Nobody comes, which is calm as well, or nobody gets done, which is not.
            if !turned_away && f64::from(peak) * 2.0 < self.limit {
                self.calm_down(passed);
                (self.peak, self.turned_away, self.lasting) = (0, false, 0);
            }
            self.peak = self.peak.max(peak);
            self.turned_away |= turned_away;
            return false;
        };
        self.peak = self.peak.max(peak);
        self.turned_away |= turned_away;
        let (peak, turned_away) = (std::mem::take(&mut self.peak), std::mem::take(&mut self.turned_away));
        if load.is_slow() {
            self.streak = 0;
            // While everybody finds a place, slow answers are better than none. And with fewer than the least limit in,
            // no limit is the cause.
            let overloaded = turned_away && peak >= self.config.min_limit;
            self.lasting = if overloaded { self.lasting.saturating_add(1) } else { 0 };
            let is_burst = self.lasting < LASTING && self.limit >= self.config.initial.into();
            let shrinks = overloaded && !is_burst;
            if shrinks {
                self.shrink(load);
            }
            return shrinks;
        }
        self.lasting = 0;
        self.stuck = self.stuck.saturating_sub(1);
        if !turned_away && self.limit < self.config.initial.into() {
            self.calm_down(passed);
        } else if turned_away || f64::from(peak) * 2.0 >= self.limit {
            // Slowly after a shrinking, faster the longer it goes well.
            let step = f64::from(1 + self.streak / 2).min(self.limit / 4.0);
            self.limit = (self.limit + step).min(self.config.max_limit.into());
            self.streak = self.streak.saturating_add(1);
        }
        false
    }

    /// What waits in a line takes in proportion to its length (Little), so the limit is divided by how many times too long
    /// it took: at once, however far above.
    fn shrink(&mut self, load: Load) {
        let least = self.config.min_limit.into();
        if self.limit <= 2.0 * least {
            self.stuck = (self.stuck + 1).min(2 * RESIGNED);
        }
        self.limit = (self.limit / load.times).max(least);
    }

    /// Back to where bursts find a place, used or not.
    fn calm_down(&mut self, seconds: f64) {
        let initial = self.config.initial.into();
        if self.limit < initial {
            self.limit = (self.limit * CALM_GROWTH.powf(seconds)).min(initial);
        }
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
