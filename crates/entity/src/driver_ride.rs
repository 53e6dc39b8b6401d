//! Table `driver_rides`: the driver index. Which rides a driver ever accepted, sharded by driver, append-only.
//! It carries no status: the ride, in its passenger's shard, is the truth.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use sea_orm::{ActiveValue::Set, Condition, QueryOrder, QuerySelect, entity::prelude::*, sea_query::OnConflict};
use sha2::{Digest, Sha256};

use crate::{
    Ride,
    ride::RideRange,
    store::{Conn, Rows, Shards, StoreError, Tx},
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

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// The driver index.
#[derive(Clone, Copy, Debug)]
pub struct DriverRide;

/// A row of the driver index, wherever it lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexRow {
    /// Where it lies: readers look in the driver's shard and nowhere else.
    pub shard: Shard,
    /// The driver.
    pub driver_id: DriverId,
    /// The ride.
    pub ride_id: Id<Ride>,
}

impl IndexRow {
    /// Where the row of a driver and a ride belongs.
    #[must_use]
    pub fn of(driver_id: DriverId, ride_id: Id<Ride>) -> Self {
        Self { shard: DriverRide::shard(&driver_id), driver_id, ride_id }
    }

    /// Whether it lies where no reader finds it.
    #[must_use]
    pub fn is_misplaced(&self) -> bool {
        self.shard != DriverRide::shard(&self.driver_id)
    }
}

impl DriverRide {
    /// The shard of a driver: the first 10 bits of SHA-256(driver id).
    #[must_use]
    pub fn shard(driver_id: &DriverId) -> Shard {
        Shard::from_first_bits(&Sha256::digest(driver_id.as_str()).into())
    }

    /// The shard of a driver, and a number that tells a pair of driver and ride from others.
    #[must_use]
    pub fn shard_and_hash(driver_id: &DriverId, ride_id: Id<Ride>) -> (Shard, u64) {
        let digest: [u8; 32] = Sha256::digest(driver_id.as_str()).into();
        let mut driver = [0; 8];
        driver.copy_from_slice(&digest[8..16]);
        (Shard::from_first_bits(&digest), mixed(u64::from_be_bytes(driver) ^ mixed(ride_id.value().cast_unsigned())))
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

    /// Those of these rows that are there, also where they do not belong: one question to each database that would hold
    /// some, all at once.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails.
    pub async fn present(shards: &Shards, rows: &[IndexRow]) -> Result<BTreeSet<IndexRow>, StoreError> {
        let questions = shards.group_by_database(rows, |row| row.shard).map(|(database, rows)| async move {
            let any = rows.iter().fold(Condition::any(), |any, row| {
                let key = Condition::all()
                    .add(row::Column::Shard.eq(row.shard.number()))
                    .add(row::Column::DriverId.eq(row.driver_id.as_str()))
                    .add(row::Column::RideId.eq(row.ride_id.value()));
                any.add(key)
            });
            row::Entity::find().filter(any).all(&database.conn().0).await
        });
        Ok(try_join_all(questions).await?.into_iter().flatten().map(IndexRow::from).collect())
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

    /// The rows that name a ride, whoever the driver and wherever they lie, `limit` at most: every database is asked for
    /// all it holds, which is for operators and nobody in a hurry.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails: a part of the rows would look like all.
    pub async fn of_ride(shards: &Shards, ride_id: Id<Ride>, limit: u64) -> Result<Vec<IndexRow>, StoreError> {
        let questions = shards.group_by_database(Shard::all(), |shard| *shard).map(|(database, shards)| async move {
            let rows = row::Entity::find()
                .filter(row::Column::Shard.is_in(shards.iter().map(|shard| shard.number())))
                .filter(row::Column::RideId.eq(ride_id.value()))
                .limit(limit);
            rows.all(&database.conn().0).await
        });
        let mut found: Vec<_> = try_join_all(questions).await?.into_iter().flatten().map(IndexRow::from).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// The rows of a shard for rides in this range, by ride and driver, `limit` at most, after the last of the page before.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn rows_in(
        conn: impl Into<Conn<'_>>,
        shard: Shard,
        range: RideRange,
        after: Option<&IndexRow>,
        limit: u64,
    ) -> Result<Vec<IndexRow>, StoreError> {
        let from = after.map_or(range.first, |after| after.ride_id.value());
        let mut query = row::Entity::find()
            .filter(row::Column::Shard.eq(shard.number()))
            .filter(row::Column::RideId.gte(from))
            .filter(row::Column::RideId.lte(range.last));
        if let Some(after) = after {
            let beyond = Condition::any()
                .add(row::Column::RideId.gt(from))
                .add(row::Column::DriverId.gt(after.driver_id.as_str()));
            query = query.filter(beyond);
        }
        let query = query.order_by_asc(row::Column::RideId).order_by_asc(row::Column::DriverId).limit(limit);
        Ok(query.all(&conn.into().0).await?.into_iter().map(IndexRow::from).collect())
    }

    /// The same of several shards, in no order: one question to each database that holds some, all at once. `None` when there
    /// are more than `limit`: ask one shard after the other.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails.
    pub async fn rows_among(
        shards: &Shards,
        among: &[Shard],
        range: RideRange,
        limit: u64,
    ) -> Result<Option<Vec<IndexRow>>, StoreError> {
        let questions =
            shards.group_by_database(among.iter().copied(), |shard| *shard).map(|(database, among)| async move {
                let query = row::Entity::find()
                    .filter(row::Column::Shard.is_in(among.iter().map(|shard| shard.number())))
                    .filter(row::Column::RideId.gte(range.first))
                    .filter(row::Column::RideId.lte(range.last))
                    .limit(limit + 1);
                query.all(&database.conn().0).await
            });
        let rows: Vec<_> = try_join_all(questions).await?.into_iter().flatten().map(IndexRow::from).collect();
        Ok((rows.len() as u64 <= limit).then_some(rows))
    }

    /// The oldest ride that a row of this shard names; what cannot be a ride is passed over.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn oldest_indexed(conn: impl Into<Conn<'_>>, shard: Shard) -> Result<Option<Id<Ride>>, StoreError> {
        let query = row::Entity::find()
            .select_only()
            .column(row::Column::RideId)
            .filter(row::Column::Shard.eq(shard.number()))
            .filter(row::Column::RideId.gte(0))
            .order_by_asc(row::Column::RideId)
            .limit(1);
        Ok(query.into_tuple::<i64>().one(&conn.into().0).await?.map(Id::raw))
    }

    /// Removes a row that says what never happened; `false` when it is gone already. For repair alone.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn forget(tx: &Tx, row: &IndexRow) -> Result<bool, StoreError> {
        let key = (row.shard.number(), row.driver_id.as_str().to_owned(), row.ride_id.value());
        Ok(row::Entity::delete_by_id(key).exec(&tx.inner).await?.rows_affected == 1)
    }
}

/// Spreads every bit over all others (the finaliser of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl From<row::Model> for IndexRow {
    fn from(row: row::Model) -> Self {
        Self { shard: Shard::stored(row.shard), driver_id: DriverId::raw(row.driver_id), ride_id: Id::raw(row.ride_id) }
    }
}
