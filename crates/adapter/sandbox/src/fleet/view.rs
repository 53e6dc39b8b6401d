//! What the fleet needs to know of a ride.

use entity::{
    PaymentStatus, Ride, RideStatus,
    value::{Id, Millis, Point},
};

use super::driver;

/// Seconds to the passenger where the ride names none.
const DEFAULT_PICKUP_ETA_S: u32 = 240;

/// A ride as of one version.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) id: Id<Ride>,
    pub(crate) version: i32,
    pub(crate) status: RideStatus,
    pub(crate) status_at: Millis,
    /// The bank said yes; before that, dispatch is not asked.
    pub(crate) authorised: bool,
    pub(crate) holder: Holder,
    pub(crate) pickup: Point,
    pub(crate) dropoff: Point,
    /// Seconds, at real speed.
    pub(crate) pickup_eta_s: u32,
    /// Seconds, at real speed.
    pub(crate) duration_s: u32,
    pub(crate) pickup_code: String,
}

/// Who drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    /// The sandbox's driver with this number.
    Ours(u32),
    /// A driver of somebody else; the sandbox leaves such a ride alone.
    Other,
}

impl View {
    pub(crate) fn of(ride: &Ride) -> Self {
        let holder = ride
            .driver
            .as_ref()
            .map_or(Holder::Nobody, |driver| driver::number(&driver.id).map_or(Holder::Other, Holder::Ours));
        Self {
            id: ride.id,
            version: ride.version,
            status: ride.status,
            status_at: ride.status_at,
            authorised: ride.payment_status == PaymentStatus::Authorised,
            holder,
            pickup: ride.pickup,
            dropoff: ride.dropoff,
            pickup_eta_s: ride.pickup_eta_s.unwrap_or(DEFAULT_PICKUP_ETA_S),
            duration_s: ride.duration_s,
            pickup_code: ride.pickup_code.clone(),
        }
    }

    /// The sandbox's driver on this ride.
    pub(crate) fn driver(&self) -> Option<u32> {
        match self.holder {
            Holder::Ours(number) => Some(number),
            Holder::Nobody | Holder::Other => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use entity::value::Shard;

    use super::*;

    /// When the ride took its status.
    pub(crate) const AT: Millis = Millis(1_800_000_000_000);

    /// A ride in a status.
    pub(crate) fn ride(status: RideStatus, holder: Holder) -> View {
        View {
            id: Id::new(AT, 7, Shard::new(5).unwrap()).unwrap(),
            version: 3,
            status,
            status_at: AT,
            authorised: true,
            holder,
            pickup: Point::from_degrees(40.75, -73.98).unwrap(),
            dropoff: Point::from_degrees(40.78, -73.95).unwrap(),
            pickup_eta_s: 240,
            duration_s: 900,
            pickup_code: "1234".to_owned(),
        }
    }
}
