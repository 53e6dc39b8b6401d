//! The stored form of a ride and of its events.

use std::fmt::Display;

use sea_orm::ActiveValue::Set;

use super::{Actor, Cancellation, Driver, Ride, RideStatus, Timeouts};
use crate::{
    payment::PaymentStatus,
    store::StoreError,
    value::{Currency, E6, Id, Millis, Money, Point, Product},
};

pub(super) mod ride {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "rides")]
    pub(in crate::ride) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub passenger_id: i64,
        pub quote_id: i64,
        pub product: i16,
        pub status: i16,
        pub status_at: i64,
        pub version: i32,
        pub payment_status: i16,
        pub fare: i64,
        pub currency: String,
        pub pickup_lat: i32,
        pub pickup_lng: i32,
        pub dropoff_lat: i32,
        pub dropoff_lng: i32,
        pub duration_s: i32,
        pub pickup_code: String,
        pub pickup_eta_s: Option<i32>,
        pub driver_id: Option<String>,
        pub driver: Option<String>,
        pub cancelled_by: Option<i16>,
        pub cancel_reason: Option<String>,
        pub cancel_fee: Option<i64>,
        pub due_at: Option<i64>,
    }

    no_relations!();
}

pub(super) mod event {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "ride_events")]
    pub(in crate::ride) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub ride_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i32,
        pub at: i64,
        pub change: String,
    }

    no_relations!();
}

/// The columns that change with a version.
pub(super) fn changing(ride: &Ride, timeouts: &Timeouts, now: Millis) -> Result<ride::ActiveModel, StoreError> {
    let driver = ride.driver.as_ref();
    let cancellation = ride.cancellation.as_ref();
    Ok(ride::ActiveModel {
        status: Set(ride.status as i16),
        status_at: Set(ride.status_at.0),
        version: Set(ride.version),
        payment_status: Set(ride.payment_status as i16),
        pickup_eta_s: Set(ride.pickup_eta_s.map(|s| signed("pickup_eta_s", s)).transpose()?),
        driver_id: Set(driver.map(|d| d.id.as_str().to_owned())),
        driver: Set(driver.map(serde_json::to_string).transpose().map_err(|e| corrupt("driver", e))?),
        cancelled_by: Set(cancellation.map(|c| c.by as i16)),
        cancel_reason: Set(cancellation.map(|c| c.reason.clone())),
        cancel_fee: Set(cancellation.map(|c| c.fee.amount)),
        due_at: Set(ride.due_at(timeouts, now).map(|d| d.0)),
        ..Default::default()
    })
}

/// All columns, for a new row.
pub(super) fn all(ride: &Ride, timeouts: &Timeouts, now: Millis) -> Result<ride::ActiveModel, StoreError> {
    Ok(ride::ActiveModel {
        shard: Set(ride.id.shard().number()),
        id: Set(ride.id.value()),
        passenger_id: Set(ride.passenger_id.value()),
        quote_id: Set(ride.quote_id.value()),
        product: Set(ride.product as i16),
        fare: Set(ride.fare.amount),
        currency: Set(ride.fare.currency.code().to_owned()),
        pickup_lat: Set(ride.pickup.lat.0),
        pickup_lng: Set(ride.pickup.lng.0),
        dropoff_lat: Set(ride.dropoff.lat.0),
        dropoff_lng: Set(ride.dropoff.lng.0),
        duration_s: Set(signed("duration_s", ride.duration_s)?),
        pickup_code: Set(ride.pickup_code.clone()),
        ..changing(ride, timeouts, now)?
    })
}

impl TryFrom<ride::Model> for Ride {
    type Error = StoreError;

    fn try_from(row: ride::Model) -> Result<Self, StoreError> {
        let currency = Currency::from_code(&row.currency).ok_or_else(|| corrupt("currency", &row.currency))?;
        let driver: Option<Driver> =
            row.driver.as_deref().map(serde_json::from_str).transpose().map_err(|e| corrupt("driver", e))?;
        let cancellation = match (row.cancelled_by, row.cancel_reason) {
            (Some(by), Some(reason)) => Some(Cancellation {
                by: Actor::from_code(by).ok_or_else(|| corrupt("cancelled_by", by))?,
                reason,
                fee: Money::new(row.cancel_fee.unwrap_or(0), currency),
            }),
            _ => None,
        };
        Ok(Self {
            id: Id::raw(row.id),
            passenger_id: Id::raw(row.passenger_id),
            quote_id: Id::raw(row.quote_id),
            product: Product::from_code(row.product).ok_or_else(|| corrupt("product", row.product))?,
            status: RideStatus::from_code(row.status).ok_or_else(|| corrupt("status", row.status))?,
            status_at: Millis(row.status_at),
            version: row.version,
            payment_status: PaymentStatus::from_code(row.payment_status)
                .ok_or_else(|| corrupt("payment_status", row.payment_status))?,
            fare: Money::new(row.fare, currency),
            pickup: Point { lat: E6(row.pickup_lat), lng: E6(row.pickup_lng) },
            dropoff: Point { lat: E6(row.dropoff_lat), lng: E6(row.dropoff_lng) },
            duration_s: u32::try_from(row.duration_s).map_err(|e| corrupt("duration_s", e))?,
            pickup_code: row.pickup_code,
            pickup_eta_s: row.pickup_eta_s.map(u32::try_from).transpose().map_err(|e| corrupt("pickup_eta_s", e))?,
            driver,
            cancellation,
        })
    }
}

fn signed(column: &'static str, value: u32) -> Result<i32, StoreError> {
    i32::try_from(value).map_err(|e| corrupt(column, e))
}

fn corrupt(column: &'static str, detail: impl Display) -> StoreError {
    StoreError::corrupt("rides", column, detail)
}
