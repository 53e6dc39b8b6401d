//! What the relay does with a message that tells of an acceptance.

use entity::{
    DriverRide, Ride, Shards, StoreError,
    value::{DriverId, Id},
};
use runtime::failpoint;

use super::failpoints;
use crate::port::{PARTNER_TIMEOUT, PartnerError};

/// Writes the row into the driver's shard; a repeat changes nothing.
///
/// A database that does not answer is a partner that is slow: its messages must not take the relay's places for as long
/// as a passenger would wait for a connection. Only the waiting ends then: the transaction goes on in its own task, and
/// the message is delivered again whatever came of it.
///
/// # Errors
/// [`PartnerError`]: the message stays.
pub(crate) async fn write_row(shards: &Shards, ride_id: Id<Ride>, driver_id: &DriverId) -> Result<(), PartnerError> {
    failpoint::reach(failpoints::OUTBOX_TAKEN);
    let recorded = shards.write::<_, StoreError, _>(DriverRide::shard(driver_id), {
        let driver_id = driver_id.clone();
        move |tx| {
            let driver_id = driver_id.clone();
            Box::pin(async move { DriverRide::record(tx, &driver_id, ride_id).await })
        }
    });
    match tokio::time::timeout(PARTNER_TIMEOUT, recorded).await {
        Ok(Ok(())) => {
            failpoint::reach(failpoints::OUTBOX_INDEXED);
            Ok(())
        }
        Ok(Err(error)) => Err(PartnerError::Unavailable(error.to_string())),
        Err(_) => Err(PartnerError::Slow),
    }
}
