//! What can happen to a ride, and how a ride follows from what happened. The same fold writes the row and replays
//! the log, so they cannot disagree.

use serde::{Deserialize, Serialize};

use super::{
    Cancellation, Driver, Ride,
    states::{Actor, RideStatus, is_legal},
};
use crate::{
    payment::PaymentStatus,
    value::{Millis, Money},
};

/// One committed change of a ride: the `change` column of its event log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// The passenger asked; version 1.
    Requested,
    /// The fare is reserved: dispatch may look for a driver.
    PaymentAuthorised,
    /// The bank said no.
    PaymentDeclined,
    /// A driver is on the way.
    Accepted {
        /// Who.
        driver: Driver,
        /// Seconds until the pickup.
        pickup_eta_s: u32,
    },
    /// The driver waits.
    Arrived,
    /// The passenger is on board.
    Started,
    /// The passenger is there.
    Completed,
    /// The driver was let go: match again.
    Released {
        /// Who let go.
        by: Actor,
    },
    /// Called off.
    Cancelled {
        /// By whom.
        by: Actor,
        /// In their words, or a code of the system's.
        reason: String,
        /// Minor units to take, in the ride's currency.
        fee: i64,
    },
    /// No driver in time.
    Expired,
}

/// The table has no such move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ride that is {} cannot become {}", .from.name(), .to.name())]
pub struct Illegal {
    /// The ride's status.
    pub from: RideStatus,
    /// The status asked for.
    pub to: RideStatus,
}

impl Change {
    /// The status it leads to and who does it; `None` where the status stays.
    #[must_use]
    pub fn moves(&self) -> Option<(RideStatus, Actor)> {
        match self {
            Self::Requested | Self::PaymentAuthorised | Self::PaymentDeclined => None,
            Self::Accepted { .. } => Some((RideStatus::Accepted, Actor::Driver)),
            Self::Arrived => Some((RideStatus::Arrived, Actor::Driver)),
            Self::Started => Some((RideStatus::InProgress, Actor::Driver)),
            Self::Completed => Some((RideStatus::Completed, Actor::Driver)),
            Self::Released { by } => Some((RideStatus::Requested, *by)),
            Self::Cancelled { by, .. } => Some((RideStatus::Cancelled, *by)),
            Self::Expired => Some((RideStatus::Expired, Actor::System)),
        }
    }
}

impl Ride {
    /// The ride after `change` at `at`: the next version.
    ///
    /// # Errors
    /// [`Illegal`] when the transition table has no such edge for who does it.
    pub fn after(&self, change: &Change, at: Millis) -> Result<Self, Illegal> {
        let mut next = self.clone();
        match change.moves() {
            Some((to, by)) => {
                // Dispatch is asked only once the fare is reserved, so nobody can accept before.
                let unpaid = to == RideStatus::Accepted && self.payment_status != PaymentStatus::Authorised;
                if unpaid || !is_legal(self.status, to, by) {
                    return Err(Illegal { from: self.status, to });
                }
                next.status = to;
                next.status_at = at;
            }
            // Money that moves after the end shows in the receipt only: the terminal version is final.
            None if self.status.is_terminal() => return Err(Illegal { from: self.status, to: self.status }),
            None => {}
        }
        next.version += 1;
        match change {
            Change::PaymentAuthorised => next.payment_status = PaymentStatus::Authorised,
            Change::PaymentDeclined => next.payment_status = PaymentStatus::Declined,
            Change::Accepted { driver, pickup_eta_s } => {
                next.driver = Some(driver.clone());
                next.pickup_eta_s = Some(*pickup_eta_s);
            }
            Change::Released { .. } => {
                next.driver = None;
                next.pickup_eta_s = None;
            }
            Change::Cancelled { by, reason, fee } => {
                let fee = Money::new(*fee, self.fare.currency);
                next.cancellation = Some(Cancellation { by: *by, reason: reason.clone(), fee });
            }
            Change::Requested | Change::Arrived | Change::Started | Change::Completed | Change::Expired => {}
        }
        Ok(next)
    }

    /// The ride as it was at version 1, from which the log starts.
    #[must_use]
    pub fn as_requested(&self) -> Self {
        Self {
            status: RideStatus::Requested,
            status_at: self.requested_at(),
            version: 1,
            payment_status: PaymentStatus::Pending,
            driver: None,
            pickup_eta_s: None,
            cancellation: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ride::{Vehicle, states::TRANSITIONS},
        value::{Currency, DriverId, Id, Point, Product},
    };

    fn ride() -> Ride {
        let point = Point::from_degrees(40.7, -73.9).unwrap();
        Ride {
            id: "7340000000000001".parse().unwrap(),
            passenger_id: Id::raw(1),
            quote_id: Id::raw(2),
            product: Product::Economy,
            status: RideStatus::Requested,
            status_at: Id::<Ride>::raw(7_340_000_000_000_001).created_at(),
            version: 1,
            payment_status: PaymentStatus::Pending,
            fare: Money::new(1250, Currency::Usd),
            pickup: point,
            dropoff: point,
            duration_s: 600,
            pickup_code: "0042".to_owned(),
            pickup_eta_s: None,
            driver: None,
            cancellation: None,
        }
    }

    fn driver(n: u8) -> Driver {
        Driver {
            id: DriverId::parse(&format!("d{n}")).unwrap(),
            name: "D".to_owned(),
            rating: 4.9,
            contact: "c".to_owned(),
            vehicle: Vehicle { plate: "p".to_owned(), model: "m".to_owned(), color: "c".to_owned() },
        }
    }

    fn any_actor() -> impl Strategy<Value = Actor> {
        prop_oneof![Just(Actor::Passenger), Just(Actor::Driver), Just(Actor::System)]
    }

    fn any_change() -> impl Strategy<Value = Change> {
        prop_oneof![
            3 => Just(Change::PaymentAuthorised),
            1 => Just(Change::PaymentDeclined),
            4 => (any::<u8>(), 0u32..3600)
                .prop_map(|(n, eta)| Change::Accepted { driver: driver(n), pickup_eta_s: eta }),
            3 => Just(Change::Arrived),
            3 => Just(Change::Started),
            2 => Just(Change::Completed),
            2 => any_actor().prop_map(|by| Change::Released { by }),
            1 => (any_actor(), 0i64..500)
                .prop_map(|(by, fee)| Change::Cancelled { by, reason: "r".to_owned(), fee }),
            1 => Just(Change::Expired),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn only_edges_of_the_table_happen_terminal_states_stay_and_the_log_replays_to_the_row(
            attempts in prop::collection::vec((any_change(), 0i64..100_000), 0..40),
        ) {
            let first = ride();
            let (mut row, mut log, mut now) = (first.clone(), Vec::new(), first.status_at);
            for (change, wait) in attempts {
                now = now.plus_ms(wait);
                let before = row.clone();
                match row.after(&change, now) {
                    Ok(next) => {
                        prop_assert!(!before.status.is_terminal(), "left {:?}", before.status);
                        prop_assert_eq!(next.version, before.version + 1);
                        match change.moves() {
                            Some((to, by)) => prop_assert!(
                                TRANSITIONS.iter().any(|t| t.from == before.status && t.to == to && t.by.contains(&by))
                            ),
                            None => prop_assert_eq!(next.status, before.status),
                        }
                        prop_assert_eq!(next.driver.is_some() && !next.status.is_terminal(),
                            matches!(next.status, RideStatus::Accepted | RideStatus::Arrived | RideStatus::InProgress));
                        log.push((change, now));
                        row = next;
                    }
                    Err(refused) => prop_assert_eq!(refused.from, before.status),
                }
            }
            let mut replayed = row.as_requested();
            prop_assert_eq!(&replayed, &first);
            for (change, at) in &log {
                // The log is stored as JSON: what is read back must mean the same.
                let stored = serde_json::to_string(change).unwrap();
                replayed = replayed.after(&serde_json::from_str(&stored).unwrap(), *at).unwrap();
            }
            prop_assert_eq!(replayed, row);
        }
    }

    #[test]
    fn nobody_accepts_before_the_fare_is_reserved() {
        let ride = ride();
        let accept = Change::Accepted { driver: driver(1), pickup_eta_s: 1 };
        let refused = Illegal { from: RideStatus::Requested, to: RideStatus::Accepted };
        assert_eq!(ride.after(&accept, ride.status_at), Err(refused));
        let paid = ride.after(&Change::PaymentAuthorised, ride.status_at).unwrap();
        assert!(paid.after(&accept, ride.status_at).is_ok());
    }
}
