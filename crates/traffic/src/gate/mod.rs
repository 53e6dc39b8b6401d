//! The gate: a limit of work in progress that finds itself, and a share of it for each priority.
//!
//! A request of priority *p* enters while fewer than `share[p] × limit` are in. Nobody waits: there is a place or there is
//! none. The more there is in progress, the more priorities are shut, the least important first. Rides under way always
//! have the places of a calm server, however small the limit is for the others:
//!
//! | level | shut | what a passenger notices |
//! |---|---|---|
//! | 0 | nothing | |
//! | 1 | catalogue and whatever is no route | places, products, documents do not load |
//! | 2 | + history, profile | past rides, receipts, the own profile do not load |
//! | 3 | + sign-in, quotes | nobody new gets in, no new prices |
//! | 4 | + requests of a ride | only rides under way: following, changing, cancelling, and staying signed in |
//!
//! Once a window one thread looks at how long requests took, each against its own route's unloaded latency, and moves
//! the limit: docs/decisions/0013-a-limit-of-work-in-progress.md says by which rules and why.

mod baseline;
mod config;
mod control;
mod metrics;
mod places;
mod state;
mod sync;

#[cfg(test)]
#[cfg(feature = "model")]
mod model;
#[cfg(test)]
#[cfg(not(feature = "model"))]
mod simulation;
#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests;

use std::{
    sync::{Arc, PoisonError, TryLockError},
    time::Duration,
};

use prometheus::Registry;

pub use config::{GateConfig, GateMode};
pub use state::{GateState, PriorityState};

use crate::{Nanos, Priority};
use baseline::Baseline;
use control::{Control, Judged};
use metrics::{Decisions, Gauges};
use places::Places;
use sync::{AtomicU8, AtomicU32, AtomicU64, Mutex, Relaxed};

/// Routes that have an unloaded latency of their own; whatever has a higher index shares the last.
const ROUTES: usize = if cfg!(feature = "model") { 2 } else { 128 };

/// Lets requests in, or not. Cheap to clone: all clones are one gate.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

/// A place in the gate, given back when it is dropped, in whatever way.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct Permit {
    /// Nothing when the gate was off.
    place: Option<Place>,
}

/// There was no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// The priority that the request had.
    pub priority: Priority,
    /// How many priorities were shut at that moment, 0 to 4, as in the module's table. Priority 0 is not counted.
    pub level: u8,
    /// When to try again: whole seconds, more for what is served last. HTTP adds jitter.
    pub retry_after: Duration,
}

struct Place {
    shared: Arc<Shared>,
    entered: Nanos,
    /// How many were in before.
    before: u32,
}

struct Shared {
    mode: AtomicU8,
    places: Places,
    judged: Judged,
    /// Requests that entered earlier say nothing about the limit that is in force now.
    judged_since: AtomicU64,
    window_ends: AtomicU64,
    /// A request that found fewer in was not slowed down by them.
    quiet_below: AtomicU32,
    level: AtomicU8,
    routes: Vec<Baseline>,
    /// Taken once a window by whoever notices its end, and never waited for on the way of a request.
    control: Mutex<Control>,
    decisions: [Decisions; Priority::COUNT],
}

impl Gate {
    /// A gate with `config`, which must be without mistakes, that reports to `registry`.
    ///
    /// # Errors
    /// The metrics are already registered there.
    pub fn new(config: GateConfig, registry: &Registry) -> Result<Self, prometheus::Error> {
        let control = Control::new(config);
        let shared = Arc::new(Shared {
            mode: AtomicU8::new(control.config.mode as u8),
            places: Places::new(control.limit(), control.ceilings()),
            judged: Judged::new(),
            judged_since: AtomicU64::new(0),
            window_ends: AtomicU64::new(0),
            quiet_below: AtomicU32::new(control.quiet_below()),
            level: AtomicU8::new(0),
            routes: (0..ROUTES).map(|_| Baseline::new()).collect(),
            control: Mutex::new(control),
            decisions: metrics::decisions(registry)?,
        });
        Gauges::register(Arc::clone(&shared), registry)?;
        Ok(Self { shared })
    }

    /// Takes a place for a request of `priority`. Waits for nothing.
    ///
    /// # Errors
    /// There is none: answer at once.
    pub fn enter(&self, priority: Priority, now: Nanos) -> Result<Permit, Shed> {
        let shared = &self.shared;
        let mode = shared.mode.load(Relaxed);
        if mode == GateMode::Off as u8 {
            return Ok(Permit { place: None });
        }
        let decisions = &shared.decisions[priority.index()];
        let (before, fits) = if mode == GateMode::Enforce as u8 {
            let entered = shared.places.enter(priority).map_err(|in_flight| {
                decisions.shed.inc();
                Shed { priority, level: shared.places.level(in_flight), retry_after: retry_after(priority) }
            });
            (entered?, true)
        } else {
            shared.places.enter_anyway(priority)
        };
        let decided = if fits { &decisions.admitted } else { &decisions.shadow_shed };
        decided.inc();
        Ok(Permit { place: Some(Place { shared: Arc::clone(shared), entered: now, before }) })
    }

    /// Puts other settings in force, which must be without mistakes. The limit and everything learnt stay; whoever is in
    /// stays in.
    pub fn set_config(&self, config: GateConfig) {
        let shared = &self.shared;
        let mut control = shared.control.lock().unwrap_or_else(PoisonError::into_inner);
        shared.mode.store(config.mode as u8, Relaxed);
        control.set_config(config);
        shared.publish(&control);
        for route in &shared.routes {
            route.rebound(control.bounds());
        }
    }

    /// Ends the window if it is over. Requests that finish do it too; call it some times a second, for the limit and the
    /// level of a gate through which nobody comes any more.
    pub fn tick(&self, now: Nanos) {
        self.shared.end_window(now);
    }

    /// What the requests of a route take when nothing slows them down; nothing before enough of them have finished.
    #[must_use]
    pub fn unloaded(&self, route: usize) -> Option<Duration> {
        self.shared.route(route).unloaded()
    }
}

impl Permit {
    /// The answer is there: gives the place back and takes note of how long that was. `route` is a small number of the
    /// caller's; each has an unloaded latency of its own. A request that waited by design, or did no work, is dropped
    /// instead: it says nothing about the load.
    pub fn finish(mut self, route: usize, now: Nanos) {
        let Some(place) = &self.place else { return };
        place.shared.sample(route, place.entered, place.before, now);
        drop(self.place.take());
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("entered", &self.entered).field("before", &self.before).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.places.leave();
    }
}

impl Shared {
    fn sample(&self, route: usize, entered: Nanos, before: u32, now: Nanos) {
        let latency = now.0.saturating_sub(entered.0);
        let verdict = self.route(route).record(latency, before < self.quiet_below.load(Relaxed));
        if let Some(verdict) = verdict.filter(|_| entered.0 >= self.judged_since.load(Relaxed)) {
            self.judged.add(&verdict);
        }
        self.end_window(now);
    }

    fn end_window(&self, now: Nanos) {
        let is_over = || now.0 >= self.window_ends.load(Relaxed);
        if !is_over() {
            return;
        }
        let mut control = match self.control.try_lock() {
            Ok(control) => control,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody else is at it.
            Err(TryLockError::WouldBlock) => return,
        };
        if !is_over() {
            return;
        }
        self.window_ends.store(now.0.saturating_add(control.config.window().as_nanos() as u64), Relaxed);
        for route in &self.routes {
            route.learn(control.bounds());
        }
        let peak = self.places.take_peak();
        self.level.store(control.hold(self.places.level(peak), now), Relaxed);
        if control.step(now, peak, self.places.take_turned_away(), self.judged.take()) {
            self.judged_since.store(now.0, Relaxed);
        }
        self.publish(&control);
    }

    /// Tells those who enter what was decided.
    fn publish(&self, control: &Control) {
        self.places.set_limit(control.limit(), control.ceilings());
        self.quiet_below.store(control.quiet_below(), Relaxed);
    }

    fn route(&self, route: usize) -> &Baseline {
        &self.routes[route.min(ROUTES - 1)]
    }

    fn level(&self) -> u8 {
        self.level.load(Relaxed)
    }
}

/// Those who are served last come back last: 1, 1, 2, 2, 3 seconds.
fn retry_after(priority: Priority) -> Duration {
    Duration::from_secs(1 + priority.index() as u64 / 2)
}
