//! A session ends: refresh stops at once, an access token lives to its end.

use entity::{Passenger, Session, Shards, StoreError, value::Id};

/// The use case.
#[derive(Clone)]
pub struct SignOut {
    /// Where sessions are kept.
    pub shards: Shards,
}

impl SignOut {
    /// Ends one session.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn run(&self, session_id: Id<Session>) -> Result<(), StoreError> {
        self.shards.write(session_id.shard(), move |tx| Box::pin(Session::revoke(tx, session_id))).await
    }

    /// Ends every session of a passenger and says how many there were; `None` when there is no such passenger. For
    /// operators.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn everywhere(&self, passenger_id: Id<Passenger>) -> Result<Option<u64>, StoreError> {
        self.shards
            .write(passenger_id.shard(), move |tx| {
                Box::pin(async move {
                    if !Passenger::is_active(tx, passenger_id).await? {
                        return Ok(None);
                    }
                    Session::revoke_all(tx, passenger_id).await.map(Some)
                })
            })
            .await
    }
}
