//! Table `store_identity`: which database of which store this one is.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QuerySelect, Statement,
    sea_query::{Expr, LockType, OnConflict},
};

use super::StoreError;

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

    /// Writes it, unless there is one, and gives the one that is there then, with whether it is this one.
    pub(super) async fn settle(self, connection: &impl ConnectionTrait) -> Result<(Self, bool), StoreError> {
        let nothing = OnConflict::new().do_nothing().to_owned();
        let insert = row::identity::Entity::insert_many([self.row()?]).on_conflict(nothing);
        let is_new = insert.exec_without_returning(connection).await? == 1;
        Ok((Self::find(connection, true).await?.unwrap_or(self), is_new))
    }

    /// Writes it over the one that is there.
    pub(super) async fn replace(self, connection: &impl ConnectionTrait) -> Result<(), StoreError> {
        row::identity::Entity::update(self.row()?).exec(connection).await?;
        Ok(())
    }

    /// Counts so many more moves in the version of the map.
    pub(super) async fn count_moves(connection: &impl ConnectionTrait, moves: i32) -> Result<(), StoreError> {
        let version = row::identity::Column::Version;
        let next = Expr::col(version).add(moves);
        let only = row::identity::Column::Id.eq(THE_ROW);
        row::identity::Entity::update_many().col_expr(version, next).filter(only).exec(connection).await?;
        Ok(())
    }

    /// Waits for those transactions that write to the whole database and begun already; those that begin later wait for the end
    /// of this one. `against` says that this is the one that they wait for.
    pub(super) async fn take_turns(connection: &impl ConnectionTrait, against: bool) -> Result<(), StoreError> {
        let lock = if against { LockType::Update } else { LockType::KeyShare };
        row::identity::Entity::find_by_id(THE_ROW).lock(lock).one(connection).await?;
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

/// Whether passengers were written to a database.
pub(super) async fn has_passengers(connection: &impl ConnectionTrait) -> Result<bool, StoreError> {
    let one = Statement::from_string(connection.get_database_backend(), "SELECT 1 FROM passengers LIMIT 1");
    Ok(connection.query_one_raw(one).await?.is_some())
}
