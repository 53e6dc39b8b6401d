//! Table `transactions`: the coordinator's log. What was decided about an attempt to write in two databases, in the shard
//! of the ride, so that the decision is part of the ride's own transaction.

use std::collections::BTreeSet;

use sea_orm::{ActiveValue::Set, Condition, QueryOrder, QuerySelect, entity::prelude::*};

use crate::{
    Ride,
    store::{Due, Rows, Shards, StoreError, Tx, purge},
    value::{DriverId, Id, Millis},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "transactions")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub ride_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub attempt: i64,
        pub driver_id: String,
        pub decision: i16,
        pub decided_at: i64,
        pub due_at: Option<i64>,
        pub expires_at: Option<i64>,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// How long it is remembered that an attempt was called off, milliseconds: longer than anybody goes on with it who does not
/// know.
pub(crate) const REMEMBERED_MS: i64 = 3_600_000;

/// How far another node's clock may be ahead, and how long ago this one may have looked at its own, milliseconds.
const SKEW_MS: i64 = 60_000;

/// One try of a driver to accept a ride, where both lie in different databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The ride.
    pub ride_id: Id<Ride>,
    /// The driver.
    pub driver_id: DriverId,
    /// Drawn; tells it from other tries of the same driver for the same ride.
    pub number: i64,
}

/// What becomes of an attempt. Whoever is first decides, and nobody changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Decision {
    /// The ride was accepted: the index gets its row.
    Commit = 1,
    /// It was not, and will not be by this attempt.
    Abort = 2,
}

/// A decision to commit that nobody has reported as carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// About what.
    pub attempt: Attempt,
    /// When any node may carry it out.
    pub due_at: Millis,
}

/// What is begun and not finished though it is older than its node's lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// How many.
    pub count: u64,
    /// How old the oldest is, milliseconds.
    pub oldest_ms: u64,
}

impl Transaction {
    /// Decides as `wanted`, unless somebody has decided before; what holds. A decision to commit is this node's own to carry
    /// out for `lease_ms`.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn decide(
        tx: &Tx,
        attempt: &Attempt,
        wanted: Decision,
        now: Millis,
        lease_ms: i64,
    ) -> Result<Decision, StoreError> {
        let (due_at, expires_at) = match wanted {
            Decision::Commit => (Some(now.plus_ms(lease_ms).0), None),
            Decision::Abort => (None, Some(now.plus_ms(REMEMBERED_MS).0)),
        };
        let row = row::ActiveModel {
            shard: Set(attempt.ride_id.shard().number()),
            ride_id: Set(attempt.ride_id.value()),
            attempt: Set(attempt.number),
            driver_id: Set(attempt.driver_id.as_str().to_owned()),
            decision: Set(wanted as i16),
            decided_at: Set(now.0),
            due_at: Set(due_at),
            expires_at: Set(expires_at),
        };
        if tx.insert_unless_there([row]).await? == 1 {
            return Ok(wanted);
        }
        match row::Entity::find_by_id(key(attempt)).one(&tx.inner).await? {
            Some(row) => decision(row.decision),
            // It was carried out and forgotten in between.
            None => Err(tx.collision()),
        }
    }

    /// Drivers for whom it was decided and not reported as carried out, with the ride: one question to each database that
    /// holds some of the rides, all at once.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails or a row cannot be read.
    pub async fn committed(shards: &Shards, rides: &[Id<Ride>]) -> Result<BTreeSet<(Id<Ride>, DriverId)>, StoreError> {
        let rows = shards.rows_of_rides(row::Entity::find(), rides, (row::Column::Shard, row::Column::RideId)).await?;
        let committed = rows.into_iter().filter(|row| row.decision == Decision::Commit as i16);
        let pair = |row: row::Model| Ok((Id::raw(row.ride_id), driver("transactions", &row.driver_id)?));
        committed.map(pair).collect()
    }

    /// Forgets a decision that has been carried out.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn forget(tx: &Tx, attempt: &Attempt) -> Result<(), StoreError> {
        row::Entity::delete_by_id(key(attempt)).exec(&tx.inner).await?;
        Ok(())
    }

    /// Decisions that any node may carry out, longest due first in each database; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when no database answers or a row cannot be read.
    pub async fn list_due(shards: &Shards, now: Millis, lease_ms: i64, limit: u64) -> Result<Vec<Self>, StoreError> {
        let due = due::<row::Entity>(shards, row::Column::DueAt, now, lease_ms, limit).await?;
        due.into_iter().map(Self::from_row).collect()
    }

    /// Decisions that were made `lease_ms` ago or earlier and that nobody has reported as carried out, in the databases that
    /// answer; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when no database answers.
    pub async fn unfinished(shards: &Shards, now: Millis, lease_ms: i64) -> Result<Unfinished, StoreError> {
        let made_by = now.plus_ms(-lease_ms);
        unfinished::<row::Entity>(shards, row::Column::DueAt, row::Column::DecidedAt, made_by, now).await
    }

    /// Takes a due decision for `lease_ms`; `false` when somebody else was faster.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn claim(&self, tx: &Tx, now: Millis, lease_ms: i64) -> Result<bool, StoreError> {
        let attempt = &self.attempt;
        let done = row::Entity::update_many()
            .col_expr(row::Column::DueAt, Expr::value(Some(now.plus_ms(lease_ms).0)))
            .filter(row::Column::Shard.eq(attempt.ride_id.shard().number()))
            .filter(row::Column::RideId.eq(attempt.ride_id.value()))
            .filter(row::Column::Attempt.eq(attempt.number))
            .filter(row::Column::DueAt.eq(self.due_at.0))
            .exec(&tx.inner)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// Forgets the oldest of those that were called off and are remembered until `before` at most; how many. Fewer than
    /// `limit` were the last.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn purge_aborted(tx: &Tx, before: Millis, limit: u64) -> Result<u64, StoreError> {
        purge::oldest::<row::Entity>(tx, row::Column::ExpiresAt, before, limit).await
    }

    fn from_row(row: row::Model) -> Result<Self, StoreError> {
        let driver_id = driver("transactions", &row.driver_id)?;
        let due_at = row.due_at.ok_or_else(|| StoreError::corrupt("transactions", "due_at", "not there"))?;
        Ok(Self {
            attempt: Attempt { ride_id: Id::raw(row.ride_id), driver_id, number: row.attempt },
            due_at: Millis(due_at),
        })
    }
}

fn key(attempt: &Attempt) -> (i16, i64, i64) {
    (attempt.ride_id.shard().number(), attempt.ride_id.value(), attempt.number)
}

fn decision(code: i16) -> Result<Decision, StoreError> {
    let known = [Decision::Commit, Decision::Abort].into_iter().find(|known| *known as i16 == code);
    known.ok_or_else(|| StoreError::corrupt("transactions", "decision", code))
}

pub(crate) fn driver(table: &'static str, text: &str) -> Result<DriverId, StoreError> {
    DriverId::parse(text).map_err(|error| StoreError::corrupt(table, "driver_id", error))
}

/// Rows that any node may take, longest due first in each database: their lease is over, or ends later than anybody leases
/// (the clock was set back since).
pub(crate) async fn due<E: EntityTrait>(
    shards: &Shards,
    due_at: E::Column,
    now: Millis,
    lease_ms: i64,
    limit: u64,
) -> Result<Vec<E::Model>, StoreError> {
    let beyond = now.plus_ms(lease_ms).plus_ms(SKEW_MS);
    let over = Condition::any().add(due_at.lte(now.0)).add(due_at.gt(beyond.0));
    // Said for the planner of SQLite: the index holds these.
    let due = E::find().filter(due_at.is_not_null()).filter(over).order_by_asc(due_at).limit(limit);
    let ask = async |asked: Due<'_>| Ok(asked.here::<E, _>(due.clone()).all(&asked.conn.0).await?);
    shards.ask_for_due(ask).await
}

/// Rows that are due some time and were made by then, in the databases that answer.
pub(crate) async fn unfinished<E: EntityTrait>(
    shards: &Shards,
    due_at: E::Column,
    made_at: E::Column,
    made_by: Millis,
    now: Millis,
) -> Result<Unfinished, StoreError> {
    let counted = E::find()
        .select_only()
        .column_as(made_at.count(), "count")
        .column_as(made_at.min(), "oldest")
        .filter(due_at.is_not_null())
        .filter(made_at.lte(made_by.0));
    let ask = async |due: Due<'_>| {
        let here = due.here::<E, _>(counted.clone());
        let found: Option<(i64, Option<i64>)> = here.into_tuple().one(&due.conn.0).await?;
        Ok(found.into_iter().collect())
    };
    let found = shards.ask_for_due(ask).await?;
    Ok(found.into_iter().fold(Unfinished::default(), |all, (count, oldest)| {
        let age = oldest.map_or(0, |made_at| now.0.saturating_sub(made_at));
        all.and(Unfinished { count: count.unsigned_abs(), oldest_ms: u64::try_from(age).unwrap_or(0) })
    }))
}

impl Unfinished {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, oldest_ms: self.oldest_ms.max(other.oldest_ms) }
    }
}
