//! A ride, from the request to the rating. Every change of one goes through `commit`.

pub mod cancel_ride;
pub mod drive_ride;
pub mod driver_history;
pub mod end_ride;
pub mod follow_ride;
pub mod positions;
pub mod rate_ride;
pub mod receipt;
pub mod report_location;
pub mod request_ride;
pub mod signals;
pub mod time_out;

use entity::{Change, Illegal, Message, OutboxEntry, PaymentStatus, Ride, StoreError, Timeouts, Tx, value::Millis};
use runtime::{Invalid, within};
use serde::{Deserialize, Serialize};

/// The `[rides]` section. All in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a ride looks for a driver before it expires.
    pub match_timeout_s: u32,
    /// How long a driver may take to the pickup before the ride is matched again.
    pub pickup_timeout_s: u32,
    /// How long a driver waits at the pickup before the ride is called off.
    pub boarding_timeout_s: u32,
    /// How long a trip may last before the system ends it.
    pub trip_timeout_s: u32,
    /// How long after acceptance calling off is free.
    pub cancel_free_s: u32,
    /// How long a client may take to confirm a cancellation fee.
    pub confirmation_ttl_s: u32,
    /// How long an answer is kept for a repeated idempotency key.
    pub idempotency_ttl_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            match_timeout_s: 120,
            pickup_timeout_s: 3600,
            boarding_timeout_s: 900,
            trip_timeout_s: 6 * 3600,
            cancel_free_s: 120,
            confirmation_ttl_s: 60,
            idempotency_ttl_s: 24 * 3600,
        }
    }
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (key, value, min) in [
            ("match_timeout_s", self.match_timeout_s, 1),
            ("pickup_timeout_s", self.pickup_timeout_s, 1),
            ("boarding_timeout_s", self.boarding_timeout_s, 1),
            ("trip_timeout_s", self.trip_timeout_s, 1),
            ("cancel_free_s", self.cancel_free_s, 0),
            ("confirmation_ttl_s", self.confirmation_ttl_s, 1),
            ("idempotency_ttl_s", self.idempotency_ttl_s, 60),
        ] {
            within(key, value, min..=7 * 86_400, "seconds")?;
        }
        Ok(())
    }

    /// The time-outs of the transition table.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            match_s: self.match_timeout_s,
            pickup_s: self.pickup_timeout_s,
            boarding_s: self.boarding_timeout_s,
            trip_s: self.trip_timeout_s,
        }
    }
}

/// Why a change was not committed, where nobody but the log hears of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The transition table has no such edge.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes `change` the ride's next version, with its event and with what partners have to be told.
pub(crate) async fn commit<E: From<Illegal> + From<StoreError>>(
    tx: &Tx,
    ride: &Ride,
    change: &Change,
    timeouts: &Timeouts,
    now: Millis,
) -> Result<Ride, E> {
    let next = ride.after(change, now)?;
    ride.advance(tx, &next, change, timeouts, now).await?;
    OutboxEntry::append(tx, &next, &consequences(change, &next), now).await?;
    Ok(next)
}

/// What partners have to be told after `change` made `ride`.
pub(crate) fn consequences(change: &Change, ride: &Ride) -> Vec<Message> {
    use entity::Actor::Driver;
    match change {
        Change::Requested => vec![Message::Authorise],
        Change::PaymentAuthorised | Change::Released { by: Driver } => vec![Message::RequestDriver],
        // The driver who did not come must be let go before another one is looked for.
        Change::Released { .. } => vec![Message::WithdrawDriver, Message::RequestDriver],
        Change::Completed => vec![Message::Capture { amount: ride.fare.amount }],
        Change::Cancelled { fee, .. } if *fee > 0 => vec![Message::Capture { amount: *fee }, Message::WithdrawDriver],
        Change::Cancelled { .. } | Change::Expired => match ride.payment_status {
            PaymentStatus::Declined => vec![],
            // Dispatch was never asked, but the authorisation may be under way: it comes first in the ride's order.
            PaymentStatus::Pending => vec![Message::Void],
            _ => vec![Message::Void, Message::WithdrawDriver],
        },
        Change::PaymentDeclined | Change::Accepted { .. } | Change::Arrived | Change::Started => vec![],
    }
}
