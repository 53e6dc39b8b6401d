//! A passenger calls a ride off; a fee is shown first and must be confirmed.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{
    Actor, Change, Illegal, Passenger, Ride, RideStatus, Shards, StoreError,
    value::{Id, Millis, Money},
};

use super::{Config, commit};
use crate::auth::Keys;

/// What the client sends.
#[derive(Clone)]
pub struct Command {
    /// Who.
    pub passenger_id: Id<Passenger>,
    /// Which ride.
    pub ride_id: Id<Ride>,
    /// Why.
    pub reason: String,
    /// What [`Error::FeeUnconfirmed`] gave, if the passenger agrees.
    pub confirmation_token: Option<String>,
    /// The versions that the client insists on, if it does.
    pub if_match: Option<Vec<i32>>,
}

/// Why the ride goes on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such ride of this passenger.
    #[error("no such ride")]
    NotFound,
    /// The ride can no longer be called off.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// The ride is at another version.
    #[error("the ride is at version {current}")]
    PreconditionFailed {
        /// Its version.
        current: i32,
    },
    /// It would cost something and nobody agreed.
    #[error("a cancellation fee must be confirmed")]
    FeeUnconfirmed {
        /// What it would cost.
        fee: Money,
        /// To send along to agree.
        confirmation_token: String,
        /// Until when that works.
        expires_at: Millis,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct CancelRide {
    /// Settings of the component.
    pub config: Arc<Config>,
    /// Most that calling off late costs, minor units.
    pub fee_cap: i64,
    /// Signs confirmations.
    pub keys: Keys,
    /// Where rides are kept.
    pub shards: Shards,
}

impl CancelRide {
    /// Cancels; a cancelled ride stays as it is and is answered again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, command: Command, now: Millis) -> Result<Ride, Error> {
        let this = self.clone();
        self.shards
            .write_first(command.passenger_id.shard(), move |tx| {
                let (this, command) = (this.clone(), command.clone());
                Box::pin(async move {
                    let ride = Ride::find_owned(tx, command.passenger_id, command.ride_id).await?;
                    let ride = ride.ok_or(Error::NotFound)?;
                    if ride.status == RideStatus::Cancelled {
                        return Ok(ride);
                    }
                    let fee = ride.cancellation_fee(now, this.config.cancel_free_s, this.fee_cap);
                    let cancel = Change::Cancelled { by: Actor::Passenger, reason: command.reason, fee: fee.amount };
                    // Whether it is possible at all comes before what the client insists on and what it costs.
                    ride.after(&cancel, now)?;
                    if command.if_match.as_ref().is_some_and(|seen| !seen.contains(&ride.version)) {
                        return Err(Error::PreconditionFailed { current: ride.version });
                    }
                    let agreed = command.confirmation_token.as_deref();
                    if fee.amount > 0 && !agreed.is_some_and(|token| this.confirms(token, &ride, fee, now)) {
                        return Err(this.ask(&ride, fee, now));
                    }
                    commit(tx, &ride, &cancel, &this.config.timeouts(), now).await
                })
            })
            .await
    }

    fn ask(&self, ride: &Ride, fee: Money, now: Millis) -> Error {
        let expires_at = now.plus_s(self.config.confirmation_ttl_s);
        let expiry = expires_at.0.to_be_bytes();
        let tag = self.keys.sign(PURPOSE, &[&ride.id.value().to_be_bytes(), &fee.amount.to_be_bytes(), &expiry]);
        let confirmation_token = URL_SAFE_NO_PAD.encode([&expiry[..], &tag].concat());
        Error::FeeUnconfirmed { fee, confirmation_token, expires_at }
    }

    fn confirms(&self, token: &str, ride: &Ride, fee: Money, now: Millis) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let Some((expiry, tag)) = bytes.split_first_chunk::<8>() else { return false };
        let parts: [&[u8]; 3] = [&ride.id.value().to_be_bytes(), &fee.amount.to_be_bytes(), expiry];
        let expires_at = Millis(i64::from_be_bytes(*expiry));
        // Nor is one good that was given before the clock was set back.
        let given_at = expires_at.plus_ms(-i64::from(self.config.confirmation_ttl_s) * 1000);
        now < expires_at && !given_at.is_from_the_future(now) && self.keys.verify(PURPOSE, &parts, tag)
    }
}

/// What the signature of a confirmation is for.
const PURPOSE: &str = "cancellation-fee";
