//! Table `sessions`: a family of refresh tokens. A token is derived from its session and generation, so the row
//! holds no secret; removing the row revokes the family.

use sea_orm::{ActiveValue::Set, entity::prelude::*};

use crate::{
    Passenger,
    store::{Conn, Rows, StoreError, Tx, purge},
    value::{Id, Millis},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub passenger_id: i64,
        pub device_id: String,
        pub generation: i32,
        pub rotated_at: i64,
        pub expires_at: i64,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// A signed-in device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The family's id, in the passenger's shard.
    pub id: Id<Self>,
    /// Who signed in.
    pub passenger_id: Id<Passenger>,
    /// Where, as the client names it.
    pub device_id: String,
    /// Number of the newest refresh token, from 1.
    pub generation: i32,
}

/// What became of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The session with the generation to hand out: a new one, or again the successor whose answer was lost.
    Current(Session),
    /// An old token was used again: the family has been revoked.
    Reused,
    /// There is no such session, or it has expired.
    Unknown,
}

impl Session {
    /// Opens a session for a device.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn open(
        tx: &Tx,
        passenger_id: Id<Passenger>,
        device_id: &str,
        now: Millis,
        expires_at: Millis,
    ) -> Result<Self, StoreError> {
        let shard = passenger_id.shard();
        let id = tx.draw(now, shard)?;
        tx.insert_drawn(row::ActiveModel {
            shard: Set(shard.number()),
            id: Set(id.value()),
            passenger_id: Set(passenger_id.value()),
            device_id: Set(device_id.to_owned()),
            generation: Set(1),
            rotated_at: Set(now.0),
            expires_at: Set(expires_at.0),
        })
        .await?;
        Ok(Self { id, passenger_id, device_id: device_id.to_owned(), generation: 1 })
    }

    /// Whether there is such a session, not expired.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn is_open(conn: impl Into<Conn<'_>>, id: Id<Self>, now: Millis) -> Result<bool, StoreError> {
        let found = row::Entity::find_by_id((id.shard().number(), id.value())).one(&conn.into().0).await?;
        Ok(found.is_some_and(|found| found.expires_at > now.0))
    }

    /// Uses up the token of `generation`. The token before the newest gives the newest again for `grace_ms` after
    /// the rotation, as far as the clock can tell; any older one revokes the family.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn rotate(
        tx: &Tx,
        id: Id<Self>,
        generation: i32,
        now: Millis,
        expires_at: Millis,
        grace_ms: i64,
    ) -> Result<Rotation, StoreError> {
        let key = (id.shard().number(), id.value());
        let query = tx.hold(row::Entity::find_by_id(key));
        let Some(found) = query.one(&tx.inner).await? else { return Ok(Rotation::Unknown) };
        if found.expires_at <= now.0 {
            return Ok(Rotation::Unknown);
        }
        let rotated_at = Millis(found.rotated_at);
        let in_time = now.since_ms(rotated_at) <= grace_ms && !rotated_at.is_from_the_future(now);
        let lost_answer = generation == found.generation - 1 && in_time;
        if lost_answer {
            return Ok(Rotation::Current(Self::from_row(found)));
        }
        if generation != found.generation {
            Self::revoke(tx, id).await?;
            return Ok(Rotation::Reused);
        }
        let rotated = row::ActiveModel {
            generation: Set(generation + 1),
            rotated_at: Set(now.0),
            expires_at: Set(expires_at.0),
            ..Default::default()
        };
        let done = row::Entity::update_many()
            .set(rotated)
            .filter(row::Column::Shard.eq(key.0))
            .filter(row::Column::Id.eq(key.1))
            .filter(row::Column::Generation.eq(generation))
            .exec(&tx.inner)
            .await?;
        if done.rows_affected == 0 {
            return Err(StoreError::Conflict);
        }
        Ok(Rotation::Current(Self { generation: generation + 1, ..Self::from_row(found) }))
    }

    /// Revokes one session; nothing happens when it is gone already.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn revoke(tx: &Tx, id: Id<Self>) -> Result<(), StoreError> {
        row::Entity::delete_by_id((id.shard().number(), id.value())).exec(&tx.inner).await?;
        Ok(())
    }

    /// Revokes every session of a passenger and says how many there were.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn revoke_all(tx: &Tx, passenger_id: Id<Passenger>) -> Result<u64, StoreError> {
        let done = row::Entity::delete_many()
            .filter(row::Column::Shard.eq(passenger_id.shard().number()))
            .filter(row::Column::PassengerId.eq(passenger_id.value()))
            .exec(&tx.inner)
            .await?;
        Ok(done.rows_affected)
    }

    /// Removes sessions that expired by `before`, the oldest `limit`, and says how many; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn purge_expired(tx: &Tx, before: Millis, limit: u64) -> Result<u64, StoreError> {
        purge::oldest::<row::Entity>(tx, row::Column::ExpiresAt, before, limit).await
    }

    fn from_row(row: row::Model) -> Self {
        Self {
            id: Id::raw(row.id),
            passenger_id: Id::raw(row.passenger_id),
            device_id: row.device_id,
            generation: row.generation,
        }
    }
}
