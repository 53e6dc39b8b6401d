//! Table `barriers`: reservations of rows in the driver index, in the driver's shard, while it is open whether the ride will
//! be accepted; and what must not be reserved any more.

use sea_orm::{ActiveValue::Set, entity::prelude::*};

use crate::{
    DriverRide,
    store::{Rows, Shards, StoreError, Tx, purge},
    transaction::{Attempt, REMEMBERED_MS, Unfinished, driver, due, unfinished},
    value::{Id, Millis},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "barriers")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub driver_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub ride_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub attempt: i64,
        pub state: i16,
        pub tried_at: i64,
        pub due_at: Option<i64>,
        pub expires_at: Option<i64>,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// How far an attempt came at the driver's side. One that was confirmed has its row in the driver index and none here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
enum State {
    /// Reserved; nobody knows yet here what was decided.
    Tried = 1,
    /// Never to be reserved any more.
    Cancelled = 2,
}

/// What [`Barrier::confirm`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// The reservation, which is the row now.
    Reserved,
    /// None: it was confirmed before.
    Before,
    /// That it had been cancelled: two have decided differently, which must not be.
    Cancelled,
}

/// A reservation that nobody has confirmed or taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Of which attempt.
    pub attempt: Attempt,
    /// When any node may finish it.
    pub due_at: Millis,
}

impl Barrier {
    /// Reserves the row of an attempt, which is this node's own to finish for `lease_ms`; `false` when the attempt was
    /// cancelled before this came.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn reserve(tx: &Tx, attempt: &Attempt, now: Millis, lease_ms: i64) -> Result<bool, StoreError> {
        if tx.insert_unless_there([tried(attempt, now, lease_ms)]).await? == 1 {
            return Ok(true);
        }
        let found = row::Entity::find_by_id(key(attempt)).one(&tx.inner).await?;
        Ok(found.is_some_and(|row| row.state == State::Tried as i16))
    }

    /// Makes the reservation the row of the driver index. The row is there afterwards, whatever was found: it was decided
    /// that it must be.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn confirm(tx: &Tx, attempt: &Attempt) -> Result<Confirmed, StoreError> {
        let freed = Self::free(tx, attempt).await?;
        DriverRide::record(tx, &attempt.driver_id, attempt.ride_id).await?;
        if freed {
            return Ok(Confirmed::Reserved);
        }
        let found = row::Entity::find_by_id(key(attempt)).one(&tx.inner).await?;
        Ok(if found.is_some() { Confirmed::Cancelled } else { Confirmed::Before })
    }

    /// Takes a reservation back that is known to have been made; `false` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn free(tx: &Tx, attempt: &Attempt) -> Result<bool, StoreError> {
        let tried = row::Column::State.eq(State::Tried as i16);
        let done = row::Entity::delete_by_id(key(attempt)).filter(tried).exec(&tx.inner).await?;
        Ok(done.rows_affected == 1)
    }

    /// Takes a reservation back that may have been made, or keeps one that may still come from being made.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn cancel(tx: &Tx, attempt: &Attempt, now: Millis) -> Result<(), StoreError> {
        let until = Some(now.plus_ms(REMEMBERED_MS).0);
        if tx.insert_unless_there([cancelled(attempt, now, until)]).await? == 1 {
            return Ok(());
        }
        Self::update(attempt)
            .col_expr(row::Column::State, Expr::value(State::Cancelled as i16))
            .col_expr(row::Column::DueAt, Expr::value(None::<i64>))
            .col_expr(row::Column::ExpiresAt, Expr::value(until))
            .filter(row::Column::State.eq(State::Tried as i16))
            .exec(&tx.inner)
            .await?;
        Ok(())
    }

    /// Reservations that any node may finish, longest due first in each database; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when no database answers or a row cannot be read.
    pub async fn list_due(shards: &Shards, now: Millis, lease_ms: i64, limit: u64) -> Result<Vec<Self>, StoreError> {
        let due = due::<row::Entity>(shards, row::Column::DueAt, now, lease_ms, limit).await?;
        due.into_iter().map(Self::from_row).collect()
    }

    /// Reservations that were made `lease_ms` ago or earlier, in the databases that answer; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when no database answers.
    pub async fn unfinished(shards: &Shards, now: Millis, lease_ms: i64) -> Result<Unfinished, StoreError> {
        let made_by = now.plus_ms(-lease_ms);
        unfinished::<row::Entity>(shards, row::Column::DueAt, row::Column::TriedAt, made_by, now).await
    }

    /// Takes a due reservation for `lease_ms`; `false` when somebody else was faster.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn claim(&self, tx: &Tx, now: Millis, lease_ms: i64) -> Result<bool, StoreError> {
        let done = Self::update(&self.attempt)
            .col_expr(row::Column::DueAt, Expr::value(Some(now.plus_ms(lease_ms).0)))
            .filter(row::Column::DueAt.eq(self.due_at.0))
            .exec(&tx.inner)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// Forgets the oldest cancellations that are remembered until `before` at most; how many. Fewer than `limit` were the
    /// last.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn purge_cancelled(tx: &Tx, before: Millis, limit: u64) -> Result<u64, StoreError> {
        purge::oldest::<row::Entity>(tx, row::Column::ExpiresAt, before, limit).await
    }

    fn update(attempt: &Attempt) -> sea_orm::UpdateMany<row::Entity> {
        row::Entity::update_many()
            .filter(row::Column::Shard.eq(DriverRide::shard(&attempt.driver_id).number()))
            .filter(row::Column::DriverId.eq(attempt.driver_id.as_str()))
            .filter(row::Column::RideId.eq(attempt.ride_id.value()))
            .filter(row::Column::Attempt.eq(attempt.number))
    }

    fn from_row(row: row::Model) -> Result<Self, StoreError> {
        let driver_id = driver("barriers", &row.driver_id)?;
        let due_at = row.due_at.ok_or_else(|| StoreError::corrupt("barriers", "due_at", "not there"))?;
        Ok(Self {
            attempt: Attempt { ride_id: Id::raw(row.ride_id), driver_id, number: row.attempt },
            due_at: Millis(due_at),
        })
    }
}

fn key(attempt: &Attempt) -> (i16, String, i64, i64) {
    let driver_id = &attempt.driver_id;
    (DriverRide::shard(driver_id).number(), driver_id.as_str().to_owned(), attempt.ride_id.value(), attempt.number)
}

fn tried(attempt: &Attempt, now: Millis, lease_ms: i64) -> row::ActiveModel {
    new_row(attempt, State::Tried, now, (Some(now.plus_ms(lease_ms).0), None))
}

fn cancelled(attempt: &Attempt, now: Millis, until: Option<i64>) -> row::ActiveModel {
    new_row(attempt, State::Cancelled, now, (None, until))
}

fn new_row(attempt: &Attempt, state: State, now: Millis, ends: (Option<i64>, Option<i64>)) -> row::ActiveModel {
    let (shard, driver_id, ride_id, number) = key(attempt);
    row::ActiveModel {
        shard: Set(shard),
        driver_id: Set(driver_id),
        ride_id: Set(ride_id),
        attempt: Set(number),
        state: Set(state as i16),
        tried_at: Set(now.0),
        due_at: Set(ends.0),
        expires_at: Set(ends.1),
    }
}
