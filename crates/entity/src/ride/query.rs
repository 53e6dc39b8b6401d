//! Every statement about rides and their events.

use std::fmt::Display;

use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect, entity::prelude::*, sea_query::ExprTrait};

use super::{Change, Ride, RideStatus, Timeouts, row};
use crate::{
    Passenger, Quote,
    payment::{Payment, PaymentStatus},
    store::{Committed, Conn, Due, Shards, StoreError, Tx, bound},
    value::{DriverId, Id, Millis, Money, Point, Product},
};

/// A ride before it has an id.
#[derive(Clone, Debug)]
pub struct NewRide {
    /// Who asks.
    pub passenger_id: Id<Passenger>,
    /// The offer.
    pub quote_id: Id<Quote>,
    /// What is requested.
    pub product: Product,
    /// What it costs.
    pub fare: Money,
    /// From.
    pub pickup: Point,
    /// To.
    pub dropoff: Point,
    /// Quoted seconds of the trip.
    pub duration_s: u32,
    /// Four digits that the passenger tells the driver.
    pub pickup_code: String,
}

/// What [`Ride::open`] did.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// There is a new ride.
    Opened(Box<Ride>),
    /// The passenger has an active ride.
    AlreadyActive(Id<Ride>),
    /// A ride was requested with this quote before.
    QuoteUsed,
}

impl Ride {
    /// Opens a ride with its first event and its payment. The database holds "one active ride per passenger" and
    /// "a quote is used once".
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn open(tx: &Tx, new: NewRide, timeouts: &Timeouts, now: Millis) -> Result<Opened, StoreError> {
        let id: Id<Self> = tx.draw(now, new.passenger_id.shard())?;
        let ride = Self {
            id,
            passenger_id: new.passenger_id,
            quote_id: new.quote_id,
            product: new.product,
            status: RideStatus::Requested,
            status_at: now,
            version: 1,
            payment_status: PaymentStatus::Pending,
            fare: new.fare,
            pickup: new.pickup,
            dropoff: new.dropoff,
            duration_s: new.duration_s,
            pickup_code: new.pickup_code,
            pickup_eta_s: None,
            driver: None,
            cancellation: None,
        };
        if tx.insert_unless_there([row::all(&ride, timeouts, now)?]).await? == 1 {
            ride.log(tx, &Change::Requested, now).await?;
            Payment::open(tx, id).await?;
            return Ok(Opened::Opened(Box::new(ride)));
        }
        if let Some(active) = Self::find_active(tx, new.passenger_id).await? {
            return Ok(Opened::AlreadyActive(active.id));
        }
        if Self::exists_for_quote(tx, new.quote_id).await? {
            return Ok(Opened::QuoteUsed);
        }
        Err(tx.collision())
    }

    /// Commits `next`, which followed from this version by `change`: compare-and-set on the version, then the log.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the ride is no longer at this version; [`StoreError`] when the database fails.
    pub async fn advance(
        &self,
        tx: &Tx,
        next: &Self,
        change: &Change,
        timeouts: &Timeouts,
        now: Millis,
    ) -> Result<(), StoreError> {
        let done = row::ride::Entity::update_many()
            .set(row::changing(next, timeouts, now)?)
            .filter(row::ride::Column::Shard.eq(self.id.shard().number()))
            .filter(row::ride::Column::Id.eq(self.id.value()))
            .filter(row::ride::Column::Version.eq(self.version))
            .exec(&tx.inner)
            .await?;
        if done.rows_affected == 0 {
            return Err(StoreError::Conflict);
        }
        next.log(tx, change, now).await
    }

    async fn log(&self, tx: &Tx, change: &Change, now: Millis) -> Result<(), StoreError> {
        row::event::Entity::insert(row::event::ActiveModel {
            shard: Set(self.id.shard().number()),
            ride_id: Set(self.id.value()),
            seq: Set(self.version),
            at: Set(now.0),
            change: Set(serde_json::to_string(change).map_err(|e| corrupt("change", e))?),
        })
        .exec_without_returning(&tx.inner)
        .await?;
        tx.announce(Committed::Changed { ride_id: self.id, status: self.status });
        Ok(())
    }

    /// A ride, whoever it belongs to: for partners and operators.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find(conn: impl Into<Conn<'_>>, id: Id<Self>) -> Result<Option<Self>, StoreError> {
        let conn = conn.into();
        let query = row::ride::Entity::find_by_id((id.shard().number(), id.value()));
        conn.hold(query).one(&conn.0).await?.map(Self::try_from).transpose()
    }

    /// The passenger's ride; somebody else's does not exist.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find_owned(
        conn: impl Into<Conn<'_>>,
        passenger_id: Id<Passenger>,
        id: Id<Self>,
    ) -> Result<Option<Self>, StoreError> {
        let conn = conn.into();
        let query = row::ride::Entity::find_by_id((passenger_id.shard().number(), id.value()))
            .filter(row::ride::Column::PassengerId.eq(passenger_id.value()));
        conn.hold(query).one(&conn.0).await?.map(Self::try_from).transpose()
    }

    /// The passenger's active ride.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find_active(
        conn: impl Into<Conn<'_>>,
        passenger_id: Id<Passenger>,
    ) -> Result<Option<Self>, StoreError> {
        let conn = conn.into();
        let query = row::ride::Entity::find()
            .filter(row::ride::Column::Shard.eq(passenger_id.shard().number()))
            .filter(row::ride::Column::PassengerId.eq(passenger_id.value()))
            .filter(Expr::cust("status < 10"));
        conn.hold(query).one(&conn.0).await?.map(Self::try_from).transpose()
    }

    /// Whether a ride was requested with this quote.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn exists_for_quote(conn: impl Into<Conn<'_>>, quote_id: Id<Quote>) -> Result<bool, StoreError> {
        let found: Option<i64> = row::ride::Entity::find()
            .select_only()
            .column(row::ride::Column::Id)
            .filter(row::ride::Column::Shard.eq(quote_id.shard().number()))
            .filter(row::ride::Column::QuoteId.eq(quote_id.value()))
            .into_tuple()
            .one(&conn.into().0)
            .await?;
        Ok(found.is_some())
    }

    /// A page of the passenger's rides, newest first, before `before`.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn page_owned(
        conn: impl Into<Conn<'_>>,
        passenger_id: Id<Passenger>,
        before: Option<Id<Self>>,
        limit: u64,
    ) -> Result<Vec<Self>, StoreError> {
        let mut query = row::ride::Entity::find()
            .filter(row::ride::Column::Shard.eq(passenger_id.shard().number()))
            .filter(row::ride::Column::PassengerId.eq(passenger_id.value()));
        if let Some(before) = before {
            query = query.filter(row::ride::Column::Id.lt(before.value()));
        }
        let found = query.order_by_desc(row::ride::Column::Id).limit(limit).all(&conn.into().0).await?;
        found.into_iter().map(Self::try_from).collect()
    }

    /// Every ride in an active state, by id, after `after`; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn list_open(shards: &Shards, after: Option<Id<Self>>, limit: u64) -> Result<Vec<Self>, StoreError> {
        let query = row::ride::Entity::find()
            .filter(row::ride::Column::DueAt.is_not_null())
            .filter(row::ride::Column::Id.gt(after.map_or(-1, Id::value)))
            .order_by_asc(row::ride::Column::Id)
            .limit(limit);
        let ask = async |due: Due<'_>| Ok(due.here::<row::ride::Entity, _>(query.clone()).all(&due.conn.0).await?);
        let mut found = shards.ask_for_due(ask).await?;
        found.sort_unstable_by_key(|ride| ride.id);
        found.into_iter().take(bound(limit)).map(Self::try_from).collect()
    }

    /// Rides whose status has timed out, longest first; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn list_timed_out(shards: &Shards, now: Millis, limit: u64) -> Result<Vec<Id<Self>>, StoreError> {
        let query = row::ride::Entity::find()
            .select_only()
            .column(row::ride::Column::DueAt)
            .column(row::ride::Column::Id)
            .filter(row::ride::Column::DueAt.lte(now.0))
            .order_by_asc(row::ride::Column::DueAt)
            .limit(limit);
        let ask = async |due: Due<'_>| {
            let here = due.here::<row::ride::Entity, _>(query.clone());
            Ok(here.into_tuple::<(i64, i64)>().all(&due.conn.0).await?)
        };
        let mut found = shards.ask_for_due(ask).await?;
        found.sort_unstable();
        Ok(found.into_iter().take(bound(limit)).map(|(_, id)| Id::raw(id)).collect())
    }

    /// Gives every status from the future its whole time again, from now on: the clock was set back, and nobody waits
    /// for the old time to come. Not so for a few seconds: clocks differ, and `now` may have been read before a status that
    /// was committed meanwhile. Returns how many; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn bring_deadlines_back(tx: &Tx, timeouts: &Timeouts, now: Millis) -> Result<u64, StoreError> {
        let mut brought = 0;
        for status in RideStatus::ALL {
            let Some(timeout_s) = timeouts.of(status) else { continue };
            let due_at = now.plus_s(timeout_s).0;
            let done = tx
                .here::<row::ride::Entity, _>(row::ride::Entity::update_many())
                .col_expr(row::ride::Column::DueAt, Expr::value(Some(due_at)))
                .filter(row::ride::Column::Status.eq(status as i16))
                .filter(row::ride::Column::StatusAt.gt(now.at_the_latest().0))
                .filter(row::ride::Column::DueAt.gt(due_at))
                .exec(&tx.inner)
                .await?;
            brought += done.rows_affected;
        }
        Ok(brought)
    }

    /// Gives every status of the past that would time out early its whole time: the clock had been set back, and is
    /// right again. Returns how many; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn put_deadlines_right(tx: &Tx, timeouts: &Timeouts, now: Millis) -> Result<u64, StoreError> {
        use row::ride::Column::{DueAt, Status, StatusAt};
        let mut put_right = 0;
        for status in RideStatus::ALL {
            let Some(timeout_s) = timeouts.of(status) else { continue };
            let whole_time = || Expr::col(StatusAt).add(i64::from(timeout_s) * 1000);
            let done = tx
                .here::<row::ride::Entity, _>(row::ride::Entity::update_many())
                .col_expr(DueAt, whole_time())
                .filter(Status.eq(status as i16))
                .filter(StatusAt.lte(now.0))
                .filter(Expr::col(DueAt).lt(whole_time()))
                .exec(&tx.inner)
                .await?;
            put_right += done.rows_affected;
        }
        Ok(put_right)
    }

    /// The ride, if its status has timed out.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find_timed_out(tx: &Tx, id: Id<Self>, now: Millis) -> Result<Option<Self>, StoreError> {
        let query = row::ride::Entity::find_by_id((id.shard().number(), id.value()))
            .filter(row::ride::Column::DueAt.lte(now.0));
        tx.hold(query).one(&tx.inner).await?.map(Self::try_from).transpose()
    }

    /// Whether `driver_id` ever accepted the ride, by its log.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails or an event cannot be read.
    pub async fn was_accepted_by(&self, conn: impl Into<Conn<'_>>, driver_id: &DriverId) -> Result<bool, StoreError> {
        let changes: Vec<String> = row::event::Entity::find()
            .select_only()
            .column(row::event::Column::Change)
            .filter(row::event::Column::Shard.eq(self.id.shard().number()))
            .filter(row::event::Column::RideId.eq(self.id.value()))
            .into_tuple()
            .all(&conn.into().0)
            .await?;
        for change in changes {
            let change: Change = serde_json::from_str(&change).map_err(|e| corrupt("change", e))?;
            if matches!(change, Change::Accepted { driver, .. } if driver.id == *driver_id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The ride as of every version after `seq`, in order, from the log.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails or the log does not replay.
    pub async fn versions_after(&self, conn: impl Into<Conn<'_>>, seq: i32) -> Result<Vec<Self>, StoreError> {
        // Folding needs every event from the point where the fold starts: this ride, if it is the one at `seq`.
        let start = if self.version == seq { self.clone() } else { self.as_requested() };
        let events = row::event::Entity::find()
            .filter(row::event::Column::Shard.eq(self.id.shard().number()))
            .filter(row::event::Column::RideId.eq(self.id.value()))
            .filter(row::event::Column::Seq.gt(start.version))
            .order_by_asc(row::event::Column::Seq)
            .all(&conn.into().0)
            .await?;
        let mut versions = Vec::with_capacity(events.len() + 1);
        let mut ride = start;
        if ride.version > seq {
            versions.push(ride.clone());
        }
        for event in events {
            let change: Change = serde_json::from_str(&event.change).map_err(|e| corrupt("change", e))?;
            ride = ride.after(&change, Millis(event.at)).map_err(|e| corrupt("change", e))?;
            if ride.version != event.seq {
                return Err(corrupt("seq", format!("event {} makes version {}", event.seq, ride.version)));
            }
            if ride.version > seq {
                versions.push(ride.clone());
            }
        }
        Ok(versions)
    }
}

fn corrupt(column: &'static str, detail: impl Display) -> StoreError {
    StoreError::corrupt("ride_events", column, detail)
}
