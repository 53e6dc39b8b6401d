//! Table `outbox`: what has to be done elsewhere (a partner told, a row of another database written), written in the
//! transaction that decided it, delivered at least once, in order for each ride and partner, and removed when it is
//! acknowledged.

mod depth;

use std::{collections::BTreeSet, fmt, str::FromStr};

use futures_util::future::try_join_all;
use sea_orm::{
    ActiveValue::Set,
    QueryOrder, QuerySelect, Select,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait, SimpleExpr},
};
use serde::{Deserialize, Serialize};

use crate::{
    Ride,
    store::{Committed, Conn, Due, Rows, Shards, StoreError, Tx, bound},
    value::{DriverId, Id, IdError, Millis},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "outbox")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub ride_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i32,
        pub message: String,
        pub attempts: i32,
        pub due_at: Option<i64>,
        pub dead_at: Option<i64>,
        pub last_error: Option<String>,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// How long the node that wrote a message has it to itself, milliseconds: longer than a partner may take.
pub const LEASE_MS: i64 = 6_000;

/// Messages are numbered `version × 8 + lane + place`, with two places in each of four lanes. What one partner has to be
/// told keeps its order; a partner that is down holds up nobody else.
const NUMBERS_A_VERSION: i32 = 8;
const PLACES_A_LANE: i32 = 2;
/// The bits of a number that tell the lane.
const LANE_BITS: i32 = 6;

const BANK: i32 = 0;
/// Rows of the driver index. Each may be written before or after any other, so none waits behind another: their databases
/// do not fail together.
const INDEX: i32 = 2;
const DISPATCH: i32 = 4;

/// What has to be done elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// Reserve the fare.
    Authorise,
    /// Look for a driver.
    RequestDriver,
    /// Stop looking, or let the driver go.
    WithdrawDriver,
    /// Take `amount` minor units, free the rest.
    Capture {
        /// Minor units, in the ride's currency.
        amount: i64,
    },
    /// Free what was reserved.
    Void,
    /// Write that this driver accepted the ride into the driver index, which lies in another database.
    IndexDriver {
        /// Who accepted it.
        driver_id: DriverId,
    },
}

impl Message {
    /// Where the lane of the partner who is told begins.
    fn lane(&self) -> i32 {
        match self {
            Self::Authorise | Self::Capture { .. } | Self::Void => BANK,
            Self::RequestDriver | Self::WithdrawDriver => DISPATCH,
            Self::IndexDriver { .. } => INDEX,
        }
    }

    /// Its name, for metrics and operators.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Authorise => "authorise",
            Self::RequestDriver => "request_driver",
            Self::WithdrawDriver => "withdraw_driver",
            Self::Capture { .. } => "capture",
            Self::Void => "void",
            Self::IndexDriver { .. } => "index_driver",
        }
    }
}

/// Names one message: the ride it speaks of and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OutboxKey {
    /// The ride.
    pub ride_id: Id<Ride>,
    /// Its place in the ride's order.
    pub seq: i32,
}

impl fmt::Display for OutboxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ride_id, self.seq)
    }
}

impl FromStr for OutboxKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ride, seq) = text.split_once('-').ok_or(IdError::Form)?;
        let seq = seq.parse().map_err(|_| IdError::Form)?;
        Ok(Self { ride_id: ride.parse()?, seq })
    }
}

/// A message that is not yet acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its name.
    pub key: OutboxKey,
    /// What to tell.
    pub message: Message,
    /// How often it was tried in vain.
    pub attempts: i32,
    /// When any relay may take it; `None` for a dead letter.
    pub due_at: Option<Millis>,
    /// When it was given up.
    pub dead_at: Option<Millis>,
    /// What the partner said last.
    pub last_error: Option<String>,
}

impl OutboxEntry {
    /// Writes the messages that this version of a ride leaves, in order. This node has them for [`LEASE_MS`].
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn append(tx: &Tx, ride: &Ride, messages: &[Message], now: Millis) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(messages.len());
        for (at, message) in messages.iter().enumerate() {
            let lane = message.lane();
            let before = messages[..at].iter().filter(|earlier| earlier.lane() == lane).count();
            let too_many = || StoreError::corrupt("outbox", "seq", format!("{before} before {}", message.kind()));
            let place = (0..PLACES_A_LANE).nth(before).ok_or_else(too_many)?;
            rows.push(row::ActiveModel {
                shard: Set(ride.id.shard().number()),
                ride_id: Set(ride.id.value()),
                seq: Set(ride.version * NUMBERS_A_VERSION + lane + place),
                message: Set(serde_json::to_string(message).map_err(corrupt)?),
                attempts: Set(0),
                due_at: Set(Some(now.plus_ms(LEASE_MS).0)),
                dead_at: Set(None),
                last_error: Set(None),
            });
        }
        if !rows.is_empty() {
            row::Entity::insert_many(rows).exec_without_returning(&tx.inner).await?;
            tx.announce(Committed::Message(ride.id));
        }
        Ok(())
    }

    /// The messages of a ride that may be delivered: the oldest to each partner that is not dead, and every row of the
    /// driver index.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn heads(conn: impl Into<Conn<'_>>, ride_id: Id<Ride>) -> Result<Vec<Self>, StoreError> {
        let found = row::Entity::find()
            .filter(row::Column::Shard.eq(ride_id.shard().number()))
            .filter(row::Column::RideId.eq(ride_id.value()))
            .filter(row::Column::DueAt.is_not_null())
            .order_by_asc(row::Column::Seq)
            .all(&conn.into().0)
            .await?;
        let mut heads: Vec<Self> = Vec::new();
        for row in found {
            let lane = row.seq & LANE_BITS;
            if lane == INDEX || heads.iter().all(|head| head.key.seq & LANE_BITS != lane) {
                heads.push(Self::from_row(row)?);
            }
        }
        Ok(heads)
    }

    /// Drivers whose rows of the driver index are still to be written, with the ride: one question to each database that
    /// holds some of the rides, all at once.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails or a message cannot be read.
    pub async fn unindexed(shards: &Shards, rides: &[Id<Ride>]) -> Result<BTreeSet<(Id<Ride>, DriverId)>, StoreError> {
        let mut found = BTreeSet::new();
        for row in shards.rows_of_rides(row::Entity::find(), rides, (row::Column::Shard, row::Column::RideId)).await? {
            let entry = Self::from_row(row)?;
            if let Message::IndexDriver { driver_id } = entry.message {
                found.insert((entry.key.ride_id, driver_id));
            }
        }
        Ok(found)
    }

    /// Whether any relay may take it now. One that is due later than `longest_ms` from now, the longest that anybody
    /// leases or puts off a message, was written before the clock was set back: it is due. Not so for a few seconds: another
    /// node's clock may be ahead, and its lease would be none.
    #[must_use]
    pub fn is_due(&self, now: Millis, longest_ms: i64) -> bool {
        self.due_at.is_some_and(|due| due <= now || due.is_from_the_future(now.plus_ms(longest_ms)))
    }

    /// Rides with a message that any relay may take now: due (see [`OutboxEntry::is_due`]), and the oldest to its
    /// partner. Due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn due_rides(
        shards: &Shards,
        now: Millis,
        longest_ms: i64,
        limit: u64,
    ) -> Result<Vec<Id<Ride>>, StoreError> {
        // Two questions, each answered from the index in its order: joined by OR they would sort the whole backlog.
        let due = Self::heads_where(row::Column::DueAt.lte(now.0), limit);
        let beyond = Self::heads_where(row::Column::DueAt.gt(now.plus_ms(longest_ms).at_the_latest().0), limit);
        let ask = async |asked: Due<'_>| {
            let here = |query: &Select<row::Entity>| asked.here::<row::Entity, _>(query.clone()).into_tuple::<i64>();
            let mut found = here(&due).all(&asked.conn.0).await?;
            found.extend(here(&beyond).all(&asked.conn.0).await?);
            Ok(found)
        };
        let mut rides: Vec<Id<Ride>> = shards.ask_for_due(ask).await?.into_iter().map(Id::raw).collect();
        rides.sort_unstable();
        rides.dedup();
        Ok(rides)
    }

    /// The rides of messages that are the oldest to their partner.
    fn heads_where(due: SimpleExpr, limit: u64) -> Select<row::Entity> {
        // One that waits behind another would fill the batch again and again without being delivered.
        let is_head = format!(
            "NOT EXISTS (SELECT 1 FROM outbox AS earlier WHERE earlier.shard = outbox.shard \
             AND earlier.ride_id = outbox.ride_id AND earlier.seq < outbox.seq \
             AND (earlier.seq & {LANE_BITS}) = (outbox.seq & {LANE_BITS}) AND (outbox.seq & {LANE_BITS}) <> {INDEX} \
             AND earlier.due_at IS NOT NULL)"
        );
        row::Entity::find()
            .select_only()
            .column(row::Column::RideId)
            .filter(due)
            .filter(Expr::cust(is_head))
            .order_by_asc(row::Column::DueAt)
            .limit(limit)
    }

    /// Takes a due message for [`LEASE_MS`]; `false` when somebody else was faster.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn claim(&self, tx: &Tx, now: Millis) -> Result<bool, StoreError> {
        let done = Self::update(self.key)
            .col_expr(row::Column::DueAt, Expr::value(Some(now.plus_ms(LEASE_MS).0)))
            .filter(row::Column::DueAt.eq(self.due_at.map(|d| d.0)))
            .exec(&tx.inner)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// Removes an acknowledged message; `false` when it is gone already.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn acknowledge(tx: &Tx, key: OutboxKey) -> Result<bool, StoreError> {
        let key = (key.ride_id.shard().number(), key.ride_id.value(), key.seq);
        let done = row::Entity::delete_by_id(key).exec(&tx.inner).await?;
        Ok(done.rows_affected == 1)
    }

    /// Puts a message that could not be delivered off to `due_at`, or gives it up (`None`).
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn put_off(
        tx: &Tx,
        key: OutboxKey,
        due_at: Option<Millis>,
        error: &str,
        now: Millis,
    ) -> Result<(), StoreError> {
        let error: String = error.chars().take(500).collect();
        let dead_at = due_at.is_none().then_some(now.0);
        Self::update(key)
            .col_expr(row::Column::Attempts, ExprTrait::add(Expr::col(row::Column::Attempts), 1))
            .col_expr(row::Column::DueAt, Expr::value(due_at.map(|d| d.0)))
            .col_expr(row::Column::DeadAt, Expr::value(dead_at))
            .col_expr(row::Column::LastError, Expr::value(Some(error)))
            .exec(&tx.inner)
            .await?;
        Ok(())
    }

    /// Dead letters, oldest first; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails: a part of them would look like all.
    pub async fn list_dead(shards: &Shards, limit: u64) -> Result<Vec<Self>, StoreError> {
        let lists = shards.databases().map(|database| async {
            let due = database.due();
            let oldest = due
                .here::<row::Entity, _>(row::Entity::find())
                .filter(row::Column::DeadAt.is_not_null())
                .order_by_asc(row::Column::DeadAt)
                .limit(limit);
            oldest.all(&due.conn.0).await
        });
        let mut found: Vec<row::Model> = try_join_all(lists).await?.into_iter().flatten().collect();
        found.sort_by_key(|row| row.dead_at);
        found.into_iter().take(bound(limit)).map(Self::from_row).collect()
    }

    /// Gives a dead letter another life; `None` when there is no such dead letter.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn requeue(tx: &Tx, key: OutboxKey, now: Millis) -> Result<Option<Message>, StoreError> {
        let primary_key = (key.ride_id.shard().number(), key.ride_id.value(), key.seq);
        let found = row::Entity::find_by_id(primary_key).filter(row::Column::DeadAt.is_not_null());
        let Some(found) = tx.hold(found).one(&tx.inner).await? else { return Ok(None) };
        Self::update(key)
            .col_expr(row::Column::Attempts, Expr::value(0))
            .col_expr(row::Column::DueAt, Expr::value(Some(now.0)))
            .col_expr(row::Column::DeadAt, Expr::value(None::<i64>))
            .exec(&tx.inner)
            .await?;
        tx.announce(Committed::Message(key.ride_id));
        Ok(Some(Self::from_row(found)?.message))
    }

    fn update(key: OutboxKey) -> sea_orm::UpdateMany<row::Entity> {
        row::Entity::update_many()
            .filter(row::Column::Shard.eq(key.ride_id.shard().number()))
            .filter(row::Column::RideId.eq(key.ride_id.value()))
            .filter(row::Column::Seq.eq(key.seq))
    }

    fn from_row(row: row::Model) -> Result<Self, StoreError> {
        Ok(Self {
            key: OutboxKey { ride_id: Id::raw(row.ride_id), seq: row.seq },
            message: serde_json::from_str(&row.message).map_err(corrupt)?,
            attempts: row.attempts,
            due_at: row.due_at.map(Millis),
            dead_at: row.dead_at.map(Millis),
            last_error: row.last_error,
        })
    }
}

fn corrupt(error: serde_json::Error) -> StoreError {
    StoreError::corrupt("outbox", "message", error)
}
