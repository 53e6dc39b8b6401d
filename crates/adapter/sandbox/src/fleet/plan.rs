//! What happens next to a ride: a pure function of the seed, the settings, the ride, who is busy, and now.
//!
//! Nothing is remembered between two calls, so a fleet that was killed goes on where it was.

use entity::{RideStatus, value::Millis};
use usecase::port::FleetSettings;

use super::{
    busy::Busy,
    view::{Holder, View},
};
use crate::dice::{self, Question};

/// Sandbox seconds from one offer to the next.
const OFFER_S: f64 = 6.0;
/// Sandbox seconds that a driver thinks about an offer, at least; at most it is [`OFFER_S`].
const THINKING_MIN_S: f64 = 2.0;
/// Real milliseconds between two offers, at least, so that a ride nobody takes costs little at any time scale.
const OFFER_MIN_MS: i64 = 50;
/// Sandbox seconds that a passenger takes to get in.
const BOARDING_S: (f64, f64) = (20.0, 60.0);
/// The accepted driver's time to the pickup, as a share of what the passenger was promised.
const PICKUP_ETA_SHARE: (f64, f64) = (0.7, 1.3);
/// Bounds of that time, sandbox seconds.
const PICKUP_ETA_S: (f64, f64) = (60.0, 900.0);
/// Longest wait that is planned, real milliseconds: some 30,000 years, far from any overflow.
const MAX_WAIT_MS: f64 = 1e15;

/// The next step of a ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When it happens. May be past: then it happens now.
    pub(crate) due: Millis,
    pub(crate) action: Action,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A driver answers an offer: plan again then. Always in the future.
    Answer,
    /// This driver accepts. Never in the future.
    Accept { driver: u32, pickup_eta_s: u32 },
    /// The driver arrives at the pickup.
    Arrive,
    /// The passenger is in and has said the pickup code.
    Start,
    /// The ride ends at its dropoff.
    Complete,
}

/// The next step of `ride`; `None` while it needs nothing from the sandbox.
pub(crate) fn plan(seed: u64, settings: &FleetSettings, ride: &View, busy: &Busy, now: Millis) -> Option<Step> {
    let after = |seconds: f64| ride.status_at.plus_ms(scaled_ms(seconds, settings.time_scale));
    match (ride.status, ride.holder) {
        (RideStatus::Requested, _) => ride.authorised.then(|| look_for_driver(seed, settings, ride, busy, now)),
        (_, Holder::Nobody | Holder::Other) => None,
        (RideStatus::Accepted, _) => Some(Step { due: after(f64::from(ride.pickup_eta_s)), action: Action::Arrive }),
        (RideStatus::Arrived, _) => {
            let boarding = between(BOARDING_S, dice::share(seed, Question::Boarding, &subject(ride, 0)));
            Some(Step { due: after(boarding), action: Action::Start })
        }
        (RideStatus::InProgress, _) => Some(Step { due: after(f64::from(ride.duration_s)), action: Action::Complete }),
        (RideStatus::Completed | RideStatus::Cancelled | RideStatus::Expired, _) => None,
    }
}

/// Whom to ask for a ride, in order of preference, and how long the driver says it takes.
pub(crate) fn candidate(seed: u64, ride: &View, attempt: i64) -> (u32, u32) {
    let subject = subject(ride, attempt);
    let share = dice::share(seed, Question::PickupEta, &subject);
    let (shortest, longest) = PICKUP_ETA_S;
    let eta = (f64::from(ride.pickup_eta_s) * between(PICKUP_ETA_SHARE, share)).clamp(shortest, longest);
    // The upper half: any u32 will do as a start, the search takes it modulo the fleet.
    ((dice::roll(seed, Question::Driver, &subject) >> 32) as u32, eta as u32)
}

/// `seconds` of sandbox time in real milliseconds, rounded up.
pub(crate) fn scaled_ms(seconds: f64, time_scale: f64) -> i64 {
    (seconds * 1000.0 / time_scale).ceil().clamp(0.0, MAX_WAIT_MS) as i64
}

/// Offers go out one after the other, each with its own dice. Only the newest answer counts, so a fleet that is
/// late asks the next driver instead of going through the ones it missed.
fn look_for_driver(seed: u64, settings: &FleetSettings, ride: &View, busy: &Busy, now: Millis) -> Step {
    let pause = scaled_ms(OFFER_S, settings.time_scale).max(OFFER_MIN_MS);
    let answered_at = |attempt: i64| {
        let thinking =
            between((THINKING_MIN_S, OFFER_S), dice::share(seed, Question::Thinking, &subject(ride, attempt)));
        let wait = attempt.saturating_mul(pause).saturating_add(scaled_ms(thinking, settings.time_scale));
        ride.status_at.plus_ms(wait)
    };
    let current = now.since_ms(ride.status_at).max(0) / pause;
    let Some(attempt) = (current.saturating_sub(1)..=current).rev().find(|a| *a >= 0 && answered_at(*a) <= now) else {
        return Step { due: answered_at(0), action: Action::Answer };
    };
    let takes = dice::share(seed, Question::Taking, &subject(ride, attempt)) < settings.accept_probability;
    let (start, pickup_eta_s) = candidate(seed, ride, attempt);
    match busy.next_free(start, settings.drivers).filter(|_| takes) {
        Some(driver) => Step { due: answered_at(attempt), action: Action::Accept { driver, pickup_eta_s } },
        None => Step { due: answered_at(attempt + 1), action: Action::Answer },
    }
}

/// The version is in it, so that a ride that is let go gets new dice.
fn subject(ride: &View, attempt: i64) -> [i64; 3] {
    [ride.id.value(), i64::from(ride.version), attempt]
}

fn between((low, high): (f64, f64), share: f64) -> f64 {
    low + (high - low) * share
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
