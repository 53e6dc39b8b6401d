//! Table `quotes`: upfront fare offers. A quote is used when a ride refers to it; no column says so.

use std::fmt::Display;

use sea_orm::{ActiveValue::Set, entity::prelude::*};
use serde::{Deserialize, Serialize};

use crate::{
    Passenger,
    store::{Conn, Rows, StoreError, Tx, purge},
    value::{E6, Id, Millis, Money, Point, Product},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "quotes")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub passenger_id: i64,
        pub pickup_lat: i32,
        pub pickup_lng: i32,
        pub dropoff_lat: i32,
        pub dropoff_lng: i32,
        pub distance_m: i32,
        pub duration_s: i32,
        pub options: String,
        pub expires_at: i64,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// A stored offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The id, in the passenger's shard.
    pub id: Id<Self>,
    /// What was offered.
    pub offer: Offer,
}

/// What a trip would cost with each product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Who asked.
    pub passenger_id: Id<Passenger>,
    /// From.
    pub pickup: Point,
    /// To.
    pub dropoff: Point,
    /// Metres on the road.
    pub distance_m: u32,
    /// Seconds of the trip.
    pub duration_s: u32,
    /// One option a product.
    pub options: Vec<QuoteOption>,
    /// Until when a ride can be requested with it.
    pub expires_at: Millis,
}

/// The price of a trip with one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteOption {
    /// The product.
    pub product: Product,
    /// Seconds until a car is there.
    pub pickup_eta_s: u32,
    /// What it costs: the sum of `breakdown`.
    pub fare: Money,
    /// What the fare is made of.
    pub breakdown: Vec<FareLine>,
}

/// One line of a fare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FareLine {
    /// `base`, `distance`, `time`, `minimum_fare`, …
    pub kind: String,
    /// Its amount.
    pub amount: Money,
}

/// What [`Quote::purge_unused`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Rows that went.
    pub removed: u64,
    /// Where the next batch goes on after; `None` when this was the last.
    pub next: Option<Millis>,
}

impl Quote {
    /// Whether a ride can no longer be requested with it. A clock that was set back gives no quote a second life.
    #[must_use]
    pub fn is_expired(&self, now: Millis) -> bool {
        now >= self.offer.expires_at || self.id.created_at().is_from_the_future(now)
    }

    /// The offer for a product.
    #[must_use]
    pub fn option(&self, product: Product) -> Option<&QuoteOption> {
        self.offer.options.iter().find(|o| o.product == product)
    }

    /// Stores a new quote in its passenger's shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn insert(tx: &Tx, offer: Offer, now: Millis) -> Result<Self, StoreError> {
        let shard = offer.passenger_id.shard();
        let id = tx.draw(now, shard)?;
        let options = serde_json::to_string(&offer.options).map_err(|e| corrupt("options", e))?;
        tx.insert_drawn(row::ActiveModel {
            shard: Set(shard.number()),
            id: Set(id.value()),
            passenger_id: Set(offer.passenger_id.value()),
            pickup_lat: Set(offer.pickup.lat.0),
            pickup_lng: Set(offer.pickup.lng.0),
            dropoff_lat: Set(offer.dropoff.lat.0),
            dropoff_lng: Set(offer.dropoff.lng.0),
            distance_m: Set(i32::try_from(offer.distance_m).map_err(|e| corrupt("distance_m", e))?),
            duration_s: Set(i32::try_from(offer.duration_s).map_err(|e| corrupt("duration_s", e))?),
            options: Set(options),
            expires_at: Set(offer.expires_at.0),
        })
        .await?;
        Ok(Self { id, offer })
    }

    /// The passenger's quote; somebody else's does not exist.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find_owned(
        conn: impl Into<Conn<'_>>,
        passenger_id: Id<Passenger>,
        id: Id<Self>,
    ) -> Result<Option<Self>, StoreError> {
        let found = row::Entity::find_by_id((passenger_id.shard().number(), id.value()))
            .filter(row::Column::PassengerId.eq(passenger_id.value()))
            .one(&conn.into().0)
            .await?;
        found.map(Self::from_row).transpose()
    }

    /// Removes quotes of a batch that expired after `after` and by `before` and that no ride was requested with; due work,
    /// so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn purge_unused(tx: &Tx, after: Millis, before: Millis, limit: u64) -> Result<Purged, StoreError> {
        let next = purge::batch_end::<row::Entity>(tx, row::Column::ExpiresAt, after, before, limit).await?;
        let is_unused =
            "NOT EXISTS (SELECT 1 FROM rides WHERE rides.shard = quotes.shard AND rides.quote_id = quotes.id)";
        let done = tx
            .here::<row::Entity, _>(row::Entity::delete_many())
            .filter(row::Column::ExpiresAt.gt(after.0))
            .filter(row::Column::ExpiresAt.lte(next.unwrap_or(before).0))
            .filter(Expr::cust(is_unused))
            .exec(&tx.inner)
            .await?;
        Ok(Purged { removed: done.rows_affected, next })
    }

    fn from_row(row: row::Model) -> Result<Self, StoreError> {
        let offer = Offer {
            passenger_id: Id::raw(row.passenger_id),
            pickup: Point { lat: E6(row.pickup_lat), lng: E6(row.pickup_lng) },
            dropoff: Point { lat: E6(row.dropoff_lat), lng: E6(row.dropoff_lng) },
            distance_m: u32::try_from(row.distance_m).map_err(|e| corrupt("distance_m", e))?,
            duration_s: u32::try_from(row.duration_s).map_err(|e| corrupt("duration_s", e))?,
            options: serde_json::from_str(&row.options).map_err(|e| corrupt("options", e))?,
            expires_at: Millis(row.expires_at),
        };
        Ok(Self { id: Id::raw(row.id), offer })
    }
}

fn corrupt(column: &'static str, detail: impl Display) -> StoreError {
    StoreError::corrupt("quotes", column, detail)
}
