//! Table `idempotency_keys`: answers to repeat. A key is claimed in the same transaction as its effect.

use sea_orm::{
    ActiveValue::Set,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait, OnConflict},
};

use crate::{
    Passenger,
    store::{Rows, StoreError, Tx, purge},
    value::{Id, Millis},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "idempotency_keys")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub passenger_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub route: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub fingerprint: Vec<u8>,
        pub response: Option<String>,
        pub expires_at: i64,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// Routes that take a key; the number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum KeyedRoute {
    /// `POST /v1/rides`.
    RequestRide = 1,
}

/// A client's key, in the scope of (passenger, route).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Who uses it.
    pub passenger_id: Id<Passenger>,
    /// Where.
    pub route: KeyedRoute,
    /// 1…255 characters.
    pub key: String,
    /// Hash of what was asked with it.
    pub fingerprint: [u8; 32],
}

/// What a claim found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The key is new: do the work, then [`IdempotencyKey::store`] the answer in the same transaction.
    New,
    /// The work was done: give this answer again.
    Replay(String),
    /// The key was used for something else.
    Reused,
}

impl IdempotencyKey {
    /// Claims the key, or takes over one that has expired. On an engine with several writers a racer waits here for
    /// the first one's commit.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn claim(&self, tx: &Tx, now: Millis, expires_at: Millis) -> Result<Claim, StoreError> {
        use row::Column::{ExpiresAt, Fingerprint, Key, PassengerId, Response, Route, Shard};
        let shard = self.passenger_id.shard().number();
        let claimed = row::Entity::insert(row::ActiveModel {
            shard: Set(shard),
            passenger_id: Set(self.passenger_id.value()),
            route: Set(self.route as i16),
            key: Set(self.key.clone()),
            fingerprint: Set(self.fingerprint.to_vec()),
            response: Set(None),
            expires_at: Set(expires_at.0),
        })
        .on_conflict(
            OnConflict::columns([Shard, PassengerId, Route, Key])
                .update_columns([Fingerprint, Response, ExpiresAt])
                .action_and_where(Expr::col((row::Entity, ExpiresAt)).lte(now.0))
                .to_owned(),
        );
        if claimed.exec_without_returning(&tx.inner).await? == 1 {
            return Ok(Claim::New);
        }
        let primary_key = (shard, self.passenger_id.value(), self.route as i16, self.key.clone());
        match row::Entity::find_by_id(primary_key).one(&tx.inner).await? {
            Some(found) if found.fingerprint != self.fingerprint => Ok(Claim::Reused),
            Some(row::Model { response: Some(response), .. }) => Ok(Claim::Replay(response)),
            // A claim without an answer is never committed.
            _ => Err(StoreError::Conflict),
        }
    }

    /// Keeps the answer to repeat.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn store(&self, tx: &Tx, response: String) -> Result<(), StoreError> {
        row::Entity::update_many()
            .set(row::ActiveModel { response: Set(Some(response)), ..Default::default() })
            .filter(row::Column::Shard.eq(self.passenger_id.shard().number()))
            .filter(row::Column::PassengerId.eq(self.passenger_id.value()))
            .filter(row::Column::Route.eq(self.route as i16))
            .filter(row::Column::Key.eq(self.key.as_str()))
            .exec(&tx.inner)
            .await?;
        Ok(())
    }

    /// Removes keys that expired by `before`, the oldest `limit`, and says how many; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn purge_expired(tx: &Tx, before: Millis, limit: u64) -> Result<u64, StoreError> {
        purge::oldest::<row::Entity>(tx, row::Column::ExpiresAt, before, limit).await
    }
}
