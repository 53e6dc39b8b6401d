//! What a ride cost, once it is over.

use entity::{
    FareLine, Passenger, Payment, PaymentStatus, Quote, Ride, RideStatus, Shards, StoreError,
    value::{Id, Millis, Money},
};

/// A receipt. The lines add up to the total.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// What was charged, as quoted.
    pub lines: Vec<FareLine>,
    /// The sum.
    pub total: Money,
    /// Where the money is now.
    pub payment_status: PaymentStatus,
    /// When the ride ended.
    pub issued_at: Millis,
}

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such ride of this passenger.
    #[error("no such ride")]
    NotFound,
    /// Not before the ride is over.
    #[error("the ride is not over")]
    NotOver(RideStatus),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct ReadReceipt {
    /// Where rides are kept.
    pub shards: Shards,
}

impl ReadReceipt {
    /// The receipt of a ride that is over.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, passenger_id: Id<Passenger>, ride_id: Id<Ride>) -> Result<Receipt, Error> {
        let shard = || self.shards.read(passenger_id.shard());
        let ride = Ride::find_owned(shard(), passenger_id, ride_id).await?.ok_or(Error::NotFound)?;
        if !ride.status.is_terminal() {
            return Err(Error::NotOver(ride.status));
        }
        let lines = match (&ride.cancellation, ride.status) {
            (_, RideStatus::Completed) => {
                let quote = Quote::find_owned(shard(), passenger_id, ride.quote_id).await?;
                let option = quote.as_ref().and_then(|q| q.option(ride.product));
                option.map(|o| o.breakdown.clone()).ok_or_else(|| lost(&ride))?
            }
            (Some(c), _) if c.fee.amount > 0 => {
                vec![FareLine { kind: "cancellation_fee".to_owned(), amount: c.fee }]
            }
            _ => vec![],
        };
        let total = Money::new(lines.iter().map(|l| l.amount.amount).sum(), ride.fare.currency);
        let payment = Payment::find(shard(), ride_id).await?;
        let payment_status = payment.map_or(ride.payment_status, |p| p.status);
        Ok(Receipt { lines, total, payment_status, issued_at: ride.status_at })
    }
}

fn lost(ride: &Ride) -> StoreError {
    StoreError::corrupt("quotes", "options", format!("ride {} has no quoted option", ride.id))
}
