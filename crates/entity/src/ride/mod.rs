//! Tables `rides` and `ride_events`: the passenger's order, and the append-only log of what happened to it.

mod acceptance;
mod change;
mod query;
mod range;
mod row;
pub mod states;

pub use acceptance::{Acceptance, Acceptances, Pair};
pub use change::{Change, Illegal};
pub use query::{NewRide, Opened};
pub use range::RideRange;
use serde::{Deserialize, Serialize};
pub use states::{Actor, RideStatus, Timeouts};

use crate::{
    Passenger, Quote,
    payment::PaymentStatus,
    store::Rows,
    value::{DriverId, Id, Millis, Money, Point, Product},
};

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::ride::Entity>()
}

/// The log's rows, for who moves a shard.
pub(crate) fn event_rows() -> Rows {
    Rows::of::<row::event::Entity>()
}

/// A ride as of one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Ride {
    /// The id, in the passenger's shard.
    pub id: Id<Self>,
    /// Whose ride it is.
    pub passenger_id: Id<Passenger>,
    /// The offer it was requested with.
    pub quote_id: Id<Quote>,
    /// What was requested.
    pub product: Product,
    /// Where it stands.
    pub status: RideStatus,
    /// Since when.
    pub status_at: Millis,
    /// 1, and one more with every committed change; also the `seq` of the event that made it.
    pub version: i32,
    /// What the passenger is told of the money; final with the terminal version.
    pub payment_status: PaymentStatus,
    /// What it costs.
    pub fare: Money,
    /// From.
    pub pickup: Point,
    /// To.
    pub dropoff: Point,
    /// Quoted seconds of the trip.
    pub duration_s: u32,
    /// Four digits that the passenger tells the driver.
    pub pickup_code: String,
    /// Seconds from acceptance to the pickup.
    pub pickup_eta_s: Option<u32>,
    /// Who drives: copied at acceptance.
    pub driver: Option<Driver>,
    /// How it was called off.
    pub cancellation: Option<Cancellation>,
}

/// What a passenger sees of a driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Driver {
    /// The partner's id.
    pub id: DriverId,
    /// The name.
    pub name: String,
    /// Mean stars, 1…5.
    pub rating: f64,
    /// How to reach the driver.
    pub contact: String,
    /// What to look for.
    pub vehicle: Vehicle,
}

/// A car.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vehicle {
    /// The plate.
    pub plate: String,
    /// Make and model.
    pub model: String,
    /// Its colour.
    pub color: String,
}

/// How a ride was called off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// By whom.
    pub by: Actor,
    /// In their words, or a code of the system's.
    pub reason: String,
    /// What it costs.
    pub fee: Money,
}

impl Ride {
    /// When the passenger asked.
    #[must_use]
    pub fn requested_at(&self) -> Millis {
        self.id.created_at()
    }

    /// Whether `driver_id` is the ride's driver.
    #[must_use]
    pub fn is_driven_by(&self, driver_id: &DriverId) -> bool {
        self.driver.as_ref().is_some_and(|d| d.id == *driver_id)
    }

    /// What the passenger pays for calling off now: nothing while no driver came closer for `free_s` seconds after
    /// acceptance; later, and once the driver has arrived, `cap` minor units but never more than the fare.
    #[must_use]
    pub fn cancellation_fee(&self, now: Millis, free_s: u32, cap: i64) -> Money {
        let owed = match self.status {
            RideStatus::Accepted => now > self.status_at.plus_s(free_s),
            RideStatus::Arrived => true,
            RideStatus::Requested
            | RideStatus::InProgress
            | RideStatus::Completed
            | RideStatus::Cancelled
            | RideStatus::Expired => false,
        };
        Money::new(if owed { self.fare.amount.min(cap) } else { 0 }, self.fare.currency)
    }

    /// When its status times out, as it looks at `now`; `None` in a terminal state. A status from the future begins now:
    /// the clock was set back.
    #[must_use]
    pub fn due_at(&self, timeouts: &Timeouts, now: Millis) -> Option<Millis> {
        timeouts.of(self.status).map(|s| self.status_at.min(now).plus_s(s))
    }
}
