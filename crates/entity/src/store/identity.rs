//! Tables `store_identity` and `shard_map`: which database of which store this one is, and where every shard lies. Every
//! database holds the same map, so that each can say whether it was put in the wrong place.

use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, EntityTrait, QueryOrder, QuerySelect, Statement,
    sea_query::{LockType, OnConflict},
};

use super::{
    StoreError,
    map::{Place, ShardMap},
};
use crate::value::Shard;

mod row {
    pub(super) mod identity {
        use sea_orm::entity::prelude::*;

        #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
        #[sea_orm(table_name = "store_identity")]
        pub(in crate::store) struct Model {
            #[sea_orm(primary_key, auto_increment = false)]
            pub id: i16,
            pub store: i64,
            pub database: i16,
            pub databases: i16,
            pub version: i32,
        }

        no_relations!();
    }

    pub(super) mod shard {
        use sea_orm::entity::prelude::*;

        #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
        #[sea_orm(table_name = "shard_map")]
        pub(in crate::store) struct Model {
            #[sea_orm(primary_key, auto_increment = false)]
            pub shard: i16,
            pub database: i16,
            pub epoch: i32,
        }

        no_relations!();
    }
}

/// The only row's key.
const THE_ROW: i16 = 1;

/// What a database says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The same in every database of a store.
    pub(super) store: i64,
    /// Which of them it is, from 0.
    pub(super) place: usize,
    /// How many there were at first.
    pub(super) databases: usize,
    /// Of its map; 0 while the store is being made.
    pub(super) version: i32,
}

impl Identity {
    /// Whether the first start came to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.version > 0
    }

    /// What the database says, if anything. In a transaction that writes (`hold`) nobody else changes it meanwhile.
    pub(super) async fn find(connection: &impl ConnectionTrait, hold: bool) -> Result<Option<Self>, StoreError> {
        let query = row::identity::Entity::find_by_id(THE_ROW);
        let query = if hold { query.lock(LockType::NoKeyUpdate) } else { query };
        let Some(found) = query.one(connection).await? else { return Ok(None) };
        let corrupt = |column| StoreError::corrupt("store_identity", column, "out of range");
        Ok(Some(Self {
            store: found.store,
            place: usize::try_from(found.database - 1).map_err(|_| corrupt("database"))?,
            databases: usize::try_from(found.databases).map_err(|_| corrupt("databases"))?,
            version: found.version,
        }))
    }

    /// Writes it, unless there is one, and gives the one that is there then.
    pub(super) async fn settle(self, connection: &impl ConnectionTrait) -> Result<Self, StoreError> {
        let nothing = OnConflict::new().do_nothing().to_owned();
        row::identity::Entity::insert(self.row()?).on_conflict(nothing).exec_without_returning(connection).await?;
        Ok(Self::find(connection, true).await?.unwrap_or(self))
    }

    /// Writes it over the one that is there.
    pub(super) async fn replace(self, connection: &impl ConnectionTrait) -> Result<(), StoreError> {
        row::identity::Entity::update(self.row()?).exec(connection).await?;
        Ok(())
    }

    fn row(self) -> Result<row::identity::ActiveModel, StoreError> {
        let small =
            |number: usize| i16::try_from(number).map_err(|e| StoreError::corrupt("store_identity", "database", e));
        Ok(row::identity::ActiveModel {
            id: Set(THE_ROW),
            store: Set(self.store),
            database: Set(small(self.place + 1)?),
            databases: Set(small(self.databases)?),
            version: Set(self.version),
        })
    }
}

impl ShardMap {
    /// The map of a database whose identity says that it has this version.
    pub(super) async fn find(connection: &impl ConnectionTrait, version: i32) -> Result<Self, StoreError> {
        let rows = row::shard::Entity::find().order_by_asc(row::shard::Column::Shard).all(connection).await?;
        let corrupt = |detail: String| StoreError::corrupt("shard_map", "database", detail);
        let mut places = Vec::with_capacity(rows.len());
        for (shard, row) in Shard::all().zip(&rows) {
            if row.shard != shard.number() {
                return Err(corrupt(format!("no row for shard {}", shard.number())));
            }
            let database = usize::try_from(row.database - 1).map_err(|_| corrupt(format!("{}", row.database)))?;
            places.push(Place { database, epoch: row.epoch });
        }
        Self::stored(version, places).ok_or_else(|| corrupt(format!("{} of 1024 rows", rows.len())))
    }

    /// Writes it in place of the one that is there.
    pub(super) async fn replace(&self, connection: &impl ConnectionTrait) -> Result<(), StoreError> {
        row::shard::Entity::delete_many().exec(connection).await?;
        let mut rows = Vec::with_capacity(usize::from(Shard::COUNT));
        for (shard, place) in self.places() {
            let database = i16::try_from(place.database + 1);
            rows.push(row::shard::ActiveModel {
                shard: Set(shard.number()),
                database: Set(database.map_err(|e| StoreError::corrupt("shard_map", "database", e))?),
                epoch: Set(place.epoch),
            });
        }
        row::shard::Entity::insert_many(rows).exec_without_returning(connection).await?;
        Ok(())
    }
}

/// Whether passengers were written to a database.
pub(super) async fn has_passengers(connection: &impl ConnectionTrait) -> Result<bool, StoreError> {
    let one = Statement::from_string(connection.get_database_backend(), "SELECT 1 FROM passengers LIMIT 1");
    Ok(connection.query_one_raw(one).await?.is_some())
}
