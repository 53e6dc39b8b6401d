//! Table `driver_rides`: the driver index. Which rides a driver ever accepted, sharded by driver, append-only.
//! It carries no status: the ride, in its passenger's shard, is the truth.

use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect, entity::prelude::*, sea_query::OnConflict};
use sha2::{Digest, Sha256};

use crate::{
    Ride,
    store::{Conn, StoreError, Tx},
    value::{DriverId, Id, Shard},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "driver_rides")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub driver_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub ride_id: i64,
    }

    no_relations!();
}

/// The driver index.
#[derive(Clone, Copy, Debug)]
pub struct DriverRide;

impl DriverRide {
    /// The shard of a driver: the first 10 bits of SHA-256(driver id).
    #[must_use]
    pub fn shard(driver_id: &DriverId) -> Shard {
        Shard::from_first_bits(&Sha256::digest(driver_id.as_str()).into())
    }

    /// Writes that `driver_id` accepted `ride_id`; once, however often it is called.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn record(tx: &Tx, driver_id: &DriverId, ride_id: Id<Ride>) -> Result<(), StoreError> {
        row::Entity::insert(row::ActiveModel {
            shard: Set(Self::shard(driver_id).number()),
            driver_id: Set(driver_id.as_str().to_owned()),
            ride_id: Set(ride_id.value()),
        })
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(&tx.inner)
        .await?;
        Ok(())
    }

    /// Whether the driver ever accepted the ride.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn exists(
        conn: impl Into<Conn<'_>>,
        driver_id: &DriverId,
        ride_id: Id<Ride>,
    ) -> Result<bool, StoreError> {
        let key = (Self::shard(driver_id).number(), driver_id.as_str().to_owned(), ride_id.value());
        Ok(row::Entity::find_by_id(key).one(&conn.into().0).await?.is_some())
    }

    /// A page of the rides that a driver accepted, newest first, before `before`. Verify each with its owner row:
    /// the index may be ahead or behind.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn page(
        conn: impl Into<Conn<'_>>,
        driver_id: &DriverId,
        before: Option<Id<Ride>>,
        limit: u64,
    ) -> Result<Vec<Id<Ride>>, StoreError> {
        let mut query = row::Entity::find()
            .select_only()
            .column(row::Column::RideId)
            .filter(row::Column::Shard.eq(Self::shard(driver_id).number()))
            .filter(row::Column::DriverId.eq(driver_id.as_str()));
        if let Some(before) = before {
            query = query.filter(row::Column::RideId.lt(before.value()));
        }
        let ids: Vec<i64> =
            query.order_by_desc(row::Column::RideId).limit(limit).into_tuple().all(&conn.into().0).await?;
        Ok(ids.into_iter().map(Id::raw).collect())
    }
}
