//! A passenger changes or deletes their profile.

use entity::{KnownDevice, OtpChallenge, Passenger, ProfilePatch, Ride, Session, Shards, StoreError, value::Id};

use crate::auth::Keys;

/// Why the profile stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The passenger was deleted.
    #[error("no such passenger")]
    Gone,
    /// Not during a ride.
    #[error("the passenger has an active ride")]
    AlreadyRiding(Id<Ride>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct ChangeProfile {
    /// Finds what is kept under the phone.
    pub keys: Keys,
    /// Where passengers are kept.
    pub shards: Shards,
}

impl ChangeProfile {
    /// Applies a merge patch whose values were checked at the edge.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patch(&self, id: Id<Passenger>, patch: ProfilePatch) -> Result<Passenger, Error> {
        let patched = self.shards.write(id.shard(), move |tx| Box::pin(Passenger::patch(tx, id, patch.clone())));
        patched.await.map_err(Error::Store)?.ok_or(Error::Gone)
    }

    /// Removes who this was and ends every session; rides and money stay, they belong to the books.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, id: Id<Passenger>) -> Result<(), Error> {
        let keys = self.keys.clone();
        self.shards
            .write(id.shard(), move |tx| {
                let keys = keys.clone();
                Box::pin(async move {
                    if let Some(ride) = Ride::find_active(tx, id).await? {
                        return Err(Error::AlreadyRiding(ride.id));
                    }
                    let passenger = Passenger::find(tx, id).await?.ok_or(Error::Gone)?;
                    let phone_hash = keys.phone_hash(&passenger.phone);
                    OtpChallenge::forget_phone(tx, phone_hash).await?;
                    KnownDevice::forget_phone(tx, phone_hash).await?;
                    Session::revoke_all(tx, id).await?;
                    if Passenger::anonymise(tx, id).await? { Ok(()) } else { Err(Error::Gone) }
                })
            })
            .await
    }
}
