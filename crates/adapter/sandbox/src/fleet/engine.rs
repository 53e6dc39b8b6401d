//! The fleet's book-keeping: which rides it knows, what is due when, what to do with an answer. It calls nobody
//! but the location map; it gives out [`Job`]s and is told how they ended.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use entity::{
    Ride,
    value::{Id, Millis},
};
use usecase::{port::FleetSettings, rides::drive_ride};

use super::{
    Shared, driver,
    job::{Done, Job, Page},
    motion,
    plan::{self, Action},
    view::View,
};

/// Real milliseconds between the end of a sweep of the open rides and the next.
const SWEEP_MS: i64 = 5_000;
/// Real milliseconds before a sweep that failed starts again.
const SWEEP_RETRY_MS: i64 = 1_000;
/// Longest sleep: the wall clock that due times are read from may be set.
const LONGEST_SLEEP_MS: i64 = 1_000;
/// Delay after a step that failed; doubles up to [`RETRY_MAX_MS`] while the ride stays as it is.
const RETRY_MS: i64 = 50;
const RETRY_MAX_MS: i64 = 5_000;
/// Timers handled before others get a turn.
const TIMERS_A_TURN: usize = 1_000;
/// A driver's position is reported this often (real milliseconds), and a few times on a short leg.
const POSITION_MS: i64 = 1_000;
const POSITION_MIN_MS: i64 = 200;
const POSITIONS_A_LEG: i64 = 4;
/// All positions together, a millisecond: with more rides than that allows, each reports less often.
const POSITIONS_A_MS: usize = 10;

/// The rides that are open, as far as the fleet knows.
pub(crate) struct Engine {
    fleet: Arc<Shared>,
    settings: FleetSettings,
    rides: HashMap<Id<Ride>, Known>,
    timers: BinaryHeap<Reverse<Timer>>,
    /// Numbers the plans; a timer of an older plan is void.
    plans: u64,
    sweep: Sweep,
}

struct Known {
    view: View,
    plan: u64,
    /// A step is on its way; no other is taken meanwhile.
    stepping: bool,
    /// Steps that failed since the ride last changed.
    failures: u32,
    /// The last sweep that saw it.
    seen: u64,
}

/// Ordered by time first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    at: Millis,
    ride_id: Id<Ride>,
    plan: u64,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Step,
    Position { every_ms: i64 },
    Load,
}

/// The slow walk over all open rides. The first one takes up what a fleet before this one left, and is waited for:
/// before it is done, nobody knows who is busy. The later ones heal lost wake-ups.
struct Sweep {
    number: u64,
    /// When the next page is read; `None` while one is on its way.
    next_page: Option<Millis>,
    after: Option<Id<Ride>>,
    taken_up: bool,
}

impl Engine {
    pub(crate) fn new(fleet: Arc<Shared>, now: Millis) -> Self {
        let settings = *fleet.settings.borrow();
        Self {
            fleet,
            settings,
            rides: HashMap::new(),
            timers: BinaryHeap::new(),
            plans: 0,
            sweep: Sweep { number: 1, next_page: Some(now), after: None, taken_up: false },
        }
    }

    /// How long nothing is due.
    pub(crate) fn pause(&self, now: Millis) -> Duration {
        let timer = self.timers.peek().filter(|_| self.sweep.taken_up).map(|timer| timer.0.at);
        let next = [timer, self.sweep.next_page].into_iter().flatten().min();
        let ms = next.map_or(LONGEST_SLEEP_MS, |at| at.since_ms(now).clamp(0, LONGEST_SLEEP_MS));
        Duration::from_millis(ms.unsigned_abs())
    }

    /// Does what is due: reports positions, gives out at most `room` jobs.
    pub(crate) fn due(&mut self, room: usize, now: Millis) -> Vec<Job> {
        let mut jobs = Vec::new();
        if room == 0 {
            return jobs;
        }
        if self.sweep.next_page.is_some_and(|at| at <= now) {
            self.sweep.next_page = None;
            jobs.push(Job::Page(self.sweep.after));
        }
        if !self.sweep.taken_up {
            return jobs;
        }
        for _ in 0..TIMERS_A_TURN {
            if jobs.len() >= room || self.timers.peek().is_none_or(|timer| timer.0.at > now) {
                break;
            }
            if let Some(Reverse(timer)) = self.timers.pop() {
                jobs.extend(self.ring(&timer, now));
            }
        }
        jobs
    }

    /// Takes an answer.
    pub(crate) fn finished(&mut self, done: Done, now: Millis) {
        match done {
            Done::Page(Ok(page)) => self.page(&page, now),
            Done::Page(Err(error)) => {
                tracing::warn!(%error, "sandbox fleet cannot read the open rides, tries again");
                self.sweep.next_page = Some(now.plus_ms(SWEEP_RETRY_MS));
            }
            Done::Loaded { ride: Ok(Some(ride)), .. } => self.observe(&ride, true, now),
            Done::Loaded { ride_id, ride: Ok(None) } => self.forget(ride_id),
            Done::Loaded { ride_id, ride: Err(error) } => {
                tracing::warn!(%ride_id, %error, "sandbox fleet cannot read a ride, tries again");
                self.look_again(ride_id, now);
            }
            Done::Stepped { ride_id, ride } => self.stepped(ride_id, ride, now),
        }
    }

    /// Plans every ride anew.
    pub(crate) fn settings_changed(&mut self, now: Millis) {
        self.settings = *self.fleet.settings.borrow();
        self.timers.clear();
        let ids: Vec<_> = self.rides.keys().copied().collect();
        for ride_id in ids {
            self.replan(ride_id, now);
        }
    }

    /// Plans every ride anew: timers would wait for the old time to come.
    pub(crate) fn clock_set_back(&mut self, now: Millis) {
        for known in self.rides.values_mut() {
            known.view.status_at = known.view.status_at.min(now);
        }
        self.sweep.next_page = self.sweep.next_page.map(|_| now);
        self.settings_changed(now);
    }

    fn ring(&mut self, timer: &Timer, now: Millis) -> Option<Job> {
        let known = self.rides.get(&timer.ride_id).filter(|known| known.plan == timer.plan)?;
        match timer.what {
            What::Load => Some(Job::Load(timer.ride_id)),
            What::Position { every_ms } => {
                self.report_position(&known.view, now);
                self.timers.push(Reverse(Timer { at: now.plus_ms(every_ms), ..*timer }));
                None
            }
            What::Step if known.stepping => None,
            What::Step => self.step(timer, now),
        }
    }

    /// Asks the plan once more, now that it is due: who is busy has changed since.
    fn step(&mut self, timer: &Timer, now: Millis) -> Option<Job> {
        let known = self.rides.get_mut(&timer.ride_id)?;
        let mut busy = self.fleet.busy();
        let step = plan::plan(self.fleet.seed, &self.settings, &known.view, &busy, now)?;
        if step.due > now {
            self.timers.push(Reverse(Timer { at: step.due, ..*timer }));
            return None;
        }
        let (driver_id, step) = match step.action {
            Action::Answer => return None,
            Action::Accept { driver: number, pickup_eta_s } => {
                let driver = driver::driver(self.fleet.seed, number)?;
                busy.assign(timer.ride_id, Some(number));
                (driver.id.clone(), drive_ride::Step::Accept { driver, pickup_eta_s })
            }
            Action::Arrive => (driver::id(known.view.driver()?)?, drive_ride::Step::Arrive),
            Action::Start => {
                let pickup_code = Some(known.view.pickup_code.clone());
                (driver::id(known.view.driver()?)?, drive_ride::Step::Start { pickup_code })
            }
            Action::Complete => (driver::id(known.view.driver()?)?, drive_ride::Step::Complete),
        };
        known.stepping = true;
        Some(Job::Step { ride_id: timer.ride_id, driver_id, step })
    }

    fn stepped(&mut self, ride_id: Id<Ride>, ride: Result<Box<Ride>, drive_ride::Error>, now: Millis) {
        if let Some(known) = self.rides.get_mut(&ride_id) {
            known.stepping = false;
        }
        match ride {
            Ok(ride) => self.observe(&ride, true, now),
            Err(error) => {
                match error {
                    drive_ride::Error::NotFound => return self.forget(ride_id),
                    drive_ride::Error::Store(error) => {
                        tracing::warn!(%ride_id, %error, "sandbox driver's step failed, looks again");
                    }
                    // Somebody was faster: a passenger who cancelled, a forced step, another process.
                    drive_ride::Error::AlreadyAccepted
                    | drive_ride::Error::Illegal(_)
                    | drive_ride::Error::WrongPickupCode => {
                        tracing::debug!(%ride_id, %error, "sandbox driver's step came too late, looks again");
                    }
                }
                let driver = self.rides.get(&ride_id).and_then(|known| known.view.driver());
                self.fleet.busy().assign(ride_id, driver);
                self.look_again(ride_id, now);
            }
        }
    }

    /// Reads the ride again after a pause that grows while it does not change.
    fn look_again(&mut self, ride_id: Id<Ride>, now: Millis) {
        if let Some(known) = self.rides.get_mut(&ride_id) {
            let pause = RETRY_MS.saturating_mul(1 << known.failures.min(10)).min(RETRY_MAX_MS);
            known.failures += 1;
            self.plans += 1;
            known.plan = self.plans;
            self.timers.push(Reverse(Timer { at: now.plus_ms(pause), ride_id, plan: self.plans, what: What::Load }));
        }
    }

    fn page(&mut self, page: &Page, now: Millis) {
        for ride in &page.rides {
            self.observe(ride, false, now);
        }
        self.sweep.after = page.last;
        if self.sweep.after.is_some() {
            self.sweep.next_page = Some(now);
            return;
        }
        // The end: what it did not see has ended, or is too new; reading it tells which.
        for (ride_id, known) in &self.rides {
            if known.seen != self.sweep.number && !known.stepping {
                let timer = Timer { at: now, ride_id: *ride_id, plan: known.plan, what: What::Load };
                self.timers.push(Reverse(timer));
            }
        }
        // Timers of plans that are void go as well: one may be hours away, and a ride that changes leaves one behind.
        self.timers.retain(|timer| self.rides.get(&timer.0.ride_id).is_some_and(|known| known.plan == timer.0.plan));
        if !self.sweep.taken_up {
            tracing::info!(rides = self.rides.len(), drivers = self.settings.drivers, "sandbox fleet is on the road");
        }
        self.sweep = Sweep {
            number: self.sweep.number + 1,
            next_page: Some(now.plus_ms(SWEEP_MS)),
            after: None,
            taken_up: true,
        };
    }

    /// Takes note of a ride as read; plans it when it has changed or when `replan` says so.
    fn observe(&mut self, ride: &Ride, replan: bool, now: Millis) {
        if ride.status.is_terminal() {
            return self.forget(ride.id);
        }
        let seen = self.sweep.number;
        let known = self.rides.entry(ride.id).or_insert_with(|| Known {
            view: View { version: -1, ..View::of(ride) },
            plan: 0,
            stepping: false,
            failures: 0,
            seen,
        });
        known.seen = seen;
        let newer = ride.version > known.view.version;
        if newer {
            // A leg that seems to begin in the future begins now: the clock was set back.
            known.view = View { status_at: ride.status_at.min(now), ..View::of(ride) };
            known.failures = 0;
        }
        if known.stepping {
            // Planned when the step comes back; until then its driver stays reserved.
            return;
        }
        let driver = known.view.driver();
        self.fleet.busy().assign(ride.id, driver);
        if newer || replan {
            self.replan(ride.id, now);
        }
    }

    fn forget(&mut self, ride_id: Id<Ride>) {
        self.rides.remove(&ride_id);
        self.fleet.busy().assign(ride_id, None);
    }

    fn replan(&mut self, ride_id: Id<Ride>, now: Millis) {
        let rides = self.rides.len();
        let Some(known) = self.rides.get_mut(&ride_id) else { return };
        self.plans += 1;
        known.plan = self.plans;
        let planned = plan::plan(self.fleet.seed, &self.settings, &known.view, &self.fleet.busy(), now);
        let Some(step) = planned else { return };
        let timer = |at, what| Reverse(Timer { at, ride_id, plan: self.plans, what });
        self.timers.push(timer(step.due, What::Step));
        // A leg too short for a few positions gets none.
        let leg_ms = step.due.since_ms(known.view.status_at);
        if known.view.driver().is_some() && leg_ms >= POSITION_MIN_MS * 2 {
            let crowded_ms = i64::try_from(rides / POSITIONS_A_MS).unwrap_or(i64::MAX);
            let every_ms = (leg_ms / POSITIONS_A_LEG).clamp(POSITION_MIN_MS, POSITION_MS).max(crowded_ms);
            self.timers.push(timer(now, What::Position { every_ms }));
        }
    }

    fn report_position(&self, view: &View, now: Millis) {
        let position = motion::position(self.fleet.seed, self.settings.time_scale, view, now);
        if let (Some(at), Some(driver_id)) = (position, view.driver().and_then(driver::id)) {
            self.fleet.actions.report_location.run(&driver_id, at, now, now);
        }
    }
}
