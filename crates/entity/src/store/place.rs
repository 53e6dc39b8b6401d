//! Table `shard_map`: where every shard lies. Every database holds all of it, so that each can say whether it was put in the wrong
//! place, and what a database says of a shard that it holds itself is the truth about it.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, LockType},
};

use super::{StoreError, identity::Identity, map::ShardMap};
use crate::value::Shard;

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "shard_map")]
    pub(in crate::store) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        pub database: i16,
        pub epoch: i32,
        pub state: i16,
        pub other: Option<i16>,
        pub move_id: Option<i64>,
    }

    no_relations!();
}

use row::Column;

/// What a database says of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Who holds it, from 0.
    pub(super) database: usize,
    /// 1, and one more with each move.
    pub(super) epoch: i32,
    /// What happens to it here.
    pub(super) state: State,
    /// The other side of the move, from 0.
    pub(super) other: Option<usize>,
    /// Who is in charge of the move.
    pub(super) move_id: Option<i64>,
}

/// What happens to a shard in one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing: it is here, or it is not.
    Settled = 0,
    /// It is here, and a copy of it is being made elsewhere.
    Leaving = 1,
    /// It is here, and nobody writes to it: the copy is about to take its place.
    Closed = 2,
    /// It was here; its rows are still to be removed.
    Left = 3,
    /// It is elsewhere, and what is here is a copy that is being made.
    Arriving = 4,
}

impl Place {
    /// A shard that stays where it is.
    pub(super) fn settled(database: usize, epoch: i32) -> Self {
        Self { database, epoch, state: State::Settled, other: None, move_id: None }
    }

    /// What the database that is asked says of one shard.
    pub(super) async fn find(connection: &impl ConnectionTrait, shard: Shard) -> Result<Self, StoreError> {
        let found = row::Entity::find_by_id(shard.number()).one(connection).await?;
        found
            .as_ref()
            .map(Self::read)
            .transpose()?
            .ok_or_else(|| corrupt(format!("no row for shard {}", shard.number())))
    }

    /// What the database that is asked says of these shards; in a transaction nobody changes it before its end. Those who only
    /// hold it do not keep each other waiting.
    pub(super) async fn hold(
        tx: &impl ConnectionTrait,
        shards: &[Shard],
        lock: LockType,
    ) -> Result<Vec<(Shard, Self)>, StoreError> {
        let query = row::Entity::find().filter(Column::Shard.is_in(shards.iter().map(|shard| shard.number())));
        // In their order: two who hold several come after one another.
        let rows = query.order_by_asc(Column::Shard).lock(lock).all(tx).await?;
        let places =
            rows.iter().map(|row| Ok((shard(row)?, Self::read(row)?))).collect::<Result<Vec<_>, StoreError>>()?;
        match shards.iter().find(|shard| places.iter().all(|(found, _)| found != *shard)) {
            Some(missing) => Err(corrupt(format!("no row for shard {}", missing.number()))),
            None => Ok(places),
        }
    }

    /// Those shards that something happens to in the database that is asked.
    pub(super) async fn list_moving(connection: &impl ConnectionTrait) -> Result<Vec<(Shard, Self)>, StoreError> {
        let rows = row::Entity::find().filter(Column::State.ne(State::Settled as i16)).all(connection).await?;
        rows.iter().map(|row| Ok((shard(row)?, Self::read(row)?))).collect()
    }

    /// Writes `next` in its place, unless somebody else has changed it meanwhile: `false` then. In a transaction: a move is counted,
    /// too.
    pub(super) async fn replace(
        &self,
        tx: &DatabaseTransaction,
        shard: Shard,
        next: &Self,
    ) -> Result<bool, StoreError> {
        let unchanged = row::Entity::update_many()
            .filter(Column::Shard.eq(shard.number()))
            .filter(Column::Epoch.eq(self.epoch))
            .filter(Column::State.eq(self.state as i16))
            .apply_if(self.move_id, |query, id| query.filter(Column::MoveId.eq(id)))
            .apply_if(self.move_id.is_none().then_some(()), |query, ()| query.filter(Column::MoveId.is_null()));
        let done = unchanged
            .col_expr(Column::Database, Expr::value(number(next.database)?))
            .col_expr(Column::Epoch, Expr::value(next.epoch))
            .col_expr(Column::State, Expr::value(next.state as i16))
            .col_expr(Column::Other, Expr::value(next.other.map(number).transpose()?))
            .col_expr(Column::MoveId, Expr::value(next.move_id))
            .exec(tx)
            .await?;
        if done.rows_affected == 1 && next.epoch != self.epoch {
            Identity::count_moves(tx, next.epoch - self.epoch).await?;
        }
        Ok(done.rows_affected == 1)
    }

    fn read(row: &row::Model) -> Result<Self, StoreError> {
        let place = |number: i16| usize::try_from(number - 1).map_err(|_| corrupt(format!("{number}")));
        let state = match row.state {
            0 => State::Settled,
            1 => State::Leaving,
            2 => State::Closed,
            3 => State::Left,
            4 => State::Arriving,
            other => return Err(StoreError::corrupt("shard_map", "state", other)),
        };
        Ok(Self {
            database: place(row.database)?,
            epoch: row.epoch,
            state,
            other: row.other.map(place).transpose()?,
            move_id: row.move_id,
        })
    }
}

impl ShardMap {
    /// The map of a database whose identity says that it has this version. `knows_moves` says that its schema has them.
    pub(super) async fn find(
        connection: &impl ConnectionTrait,
        version: i32,
        knows_moves: bool,
    ) -> Result<Self, StoreError> {
        let rows = if knows_moves {
            row::Entity::find().order_by_asc(Column::Shard).all(connection).await?
        } else {
            let query = row::Entity::find().select_only().columns([Column::Shard, Column::Database, Column::Epoch]);
            let rows = query.order_by_asc(Column::Shard).into_tuple::<(i16, i16, i32)>().all(connection).await?;
            let settled =
                |(shard, database, epoch)| row::Model { shard, database, epoch, state: 0, other: None, move_id: None };
            rows.into_iter().map(settled).collect()
        };
        let mut places = Vec::with_capacity(rows.len());
        for (shard, row) in Shard::all().zip(&rows) {
            if row.shard != shard.number() {
                return Err(corrupt(format!("no row for shard {}", shard.number())));
            }
            places.push(Place::read(row)?);
        }
        Self::stored(version, places).ok_or_else(|| corrupt(format!("{} of 1024 rows", rows.len())))
    }

    /// Writes it in place of the one that is there, everything settled.
    pub(super) async fn replace(&self, connection: &impl ConnectionTrait) -> Result<(), StoreError> {
        row::Entity::delete_many().exec(connection).await?;
        let mut rows = Vec::with_capacity(usize::from(Shard::COUNT));
        for (shard, place) in self.places() {
            rows.push(row::ActiveModel {
                shard: Set(shard.number()),
                database: Set(number(place.database)?),
                epoch: Set(place.epoch),
                state: Set(State::Settled as i16),
                other: Set(None),
                move_id: Set(None),
            });
        }
        row::Entity::insert_many(rows).exec_without_returning(connection).await?;
        Ok(())
    }
}

fn shard(row: &row::Model) -> Result<Shard, StoreError> {
    let number = u16::try_from(row.shard).ok().and_then(Shard::new);
    number.ok_or_else(|| StoreError::corrupt("shard_map", "shard", row.shard))
}

/// As it is stored, from 1.
fn number(database: usize) -> Result<i16, StoreError> {
    i16::try_from(database + 1).map_err(|error| corrupt(error.to_string()))
}

fn corrupt(detail: String) -> StoreError {
    StoreError::corrupt("shard_map", "database", detail)
}
