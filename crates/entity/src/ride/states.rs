//! The one table of how a ride may move. Tested by property, served at `GET /v1/ride-states`.

use serde::{Deserialize, Serialize};

/// Where a ride stands. The number is stored: below 10 is active, from 10 on is terminal (indexes rely on it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum RideStatus {
    /// Waiting for a driver.
    Requested = 0,
    /// A driver is on the way.
    Accepted = 1,
    /// The driver waits at the pickup.
    Arrived = 2,
    /// The passenger is on board.
    InProgress = 3,
    /// The passenger is there.
    Completed = 10,
    /// Called off.
    Cancelled = 11,
    /// No driver was found in time.
    Expired = 12,
}

impl RideStatus {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Requested,
        Self::Accepted,
        Self::Arrived,
        Self::InProgress,
        Self::Completed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self as i16 >= 10
    }

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Accepted => "accepted",
            Self::Arrived => "arrived",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    pub(crate) fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|s| *s as i16 == code)
    }
}

/// Who moves a ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum Actor {
    /// The passenger.
    Passenger = 1,
    /// The driver, through dispatch.
    Driver = 2,
    /// The platform: time-outs, payment, operators.
    System = 3,
}

impl Actor {
    pub(crate) fn from_code(code: i16) -> Option<Self> {
        [Self::Passenger, Self::Driver, Self::System].into_iter().find(|a| *a as i16 == code)
    }
}

/// One edge of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// From.
    pub from: RideStatus,
    /// To.
    pub to: RideStatus,
    /// Who may.
    pub by: &'static [Actor],
    /// Whether it happens by itself when `from` times out.
    pub on_timeout: bool,
}

/// How long each active status may last, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `requested`: no driver in time.
    pub match_s: u32,
    /// `accepted`: the driver never came.
    pub pickup_s: u32,
    /// `arrived`: the passenger never came.
    pub boarding_s: u32,
    /// `in_progress`: nobody ended it.
    pub trip_s: u32,
}

impl Timeouts {
    /// How long `status` may last; `None` for a terminal one.
    #[must_use]
    pub fn of(&self, status: RideStatus) -> Option<u32> {
        match status {
            RideStatus::Requested => Some(self.match_s),
            RideStatus::Accepted => Some(self.pickup_s),
            RideStatus::Arrived => Some(self.boarding_s),
            RideStatus::InProgress => Some(self.trip_s),
            RideStatus::Completed | RideStatus::Cancelled | RideStatus::Expired => None,
        }
    }
}

use Actor::{Driver, Passenger, System};
use RideStatus::{Accepted, Arrived, Cancelled, Completed, Expired, InProgress, Requested};

/// Every legal move; what is not here does not happen.
pub const TRANSITIONS: &[Transition] = &[
    edge(Requested, Accepted, &[Driver]),
    edge(Requested, Cancelled, &[Passenger, Driver, System]),
    timeout(Requested, Expired, &[System]),
    edge(Accepted, Arrived, &[Driver]),
    timeout(Accepted, Requested, &[Driver, System]),
    edge(Accepted, Cancelled, &[Passenger, Driver, System]),
    edge(Arrived, InProgress, &[Driver]),
    edge(Arrived, Requested, &[Driver, System]),
    timeout(Arrived, Cancelled, &[Passenger, Driver, System]),
    edge(InProgress, Completed, &[Driver]),
    timeout(InProgress, Cancelled, &[System]),
];

const fn edge(from: RideStatus, to: RideStatus, by: &'static [Actor]) -> Transition {
    Transition { from, to, by, on_timeout: false }
}

const fn timeout(from: RideStatus, to: RideStatus, by: &'static [Actor]) -> Transition {
    Transition { from, to, by, on_timeout: true }
}

/// Whether `by` may move a ride from `from` to `to`.
#[must_use]
pub fn is_legal(from: RideStatus, to: RideStatus, by: Actor) -> bool {
    TRANSITIONS.iter().any(|t| t.from == from && t.to == to && t.by.contains(&by))
}

/// Where a ride goes when `from` has lasted too long.
#[must_use]
pub fn timeout_of(from: RideStatus) -> Option<RideStatus> {
    TRANSITIONS.iter().find(|t| t.from == from && t.on_timeout).map(|t| t.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_states_have_no_way_out_and_every_other_has_one_timeout() {
        for status in RideStatus::ALL {
            let out: Vec<_> = TRANSITIONS.iter().filter(|t| t.from == status).collect();
            assert_eq!(out.is_empty(), status.is_terminal(), "{status:?}");
            let timeouts = out.iter().filter(|t| t.on_timeout).count();
            assert_eq!(timeouts, usize::from(!status.is_terminal()), "{status:?}");
        }
    }

    #[test]
    fn every_timeout_is_the_systems_move() {
        for t in TRANSITIONS.iter().filter(|t| t.on_timeout) {
            assert!(t.by.contains(&Actor::System), "{t:?}");
        }
    }
}
