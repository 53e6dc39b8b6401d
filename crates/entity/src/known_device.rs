//! Table `known_devices`: devices that have signed in with a phone. They outlive their sessions: whoever has signed out
//! must not be a stranger when they come back.

use sea_orm::{ActiveValue::Set, QueryFilter, entity::prelude::*, sea_query::OnConflict};

use crate::{
    store::{Conn, Rows, StoreError, Tx, purge},
    value::{Millis, PhoneHash},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "known_devices")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub phone_hmac: Vec<u8>,
        #[sea_orm(primary_key, auto_increment = false)]
        pub device_hash: Vec<u8>,
        pub expires_at: i64,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// A device that has signed in with a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    /// The phone.
    pub phone_hash: PhoneHash,
    /// The device: a keyed hash.
    pub device_hash: [u8; 32],
}

impl KnownDevice {
    /// Notes that the device has signed in: it is known until `expires_at`.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn remember(&self, tx: &Tx, expires_at: Millis) -> Result<(), StoreError> {
        let row = row::ActiveModel {
            shard: Set(self.phone_hash.shard().number()),
            phone_hmac: Set(self.phone_hash.0.to_vec()),
            device_hash: Set(self.device_hash.to_vec()),
            expires_at: Set(expires_at.0),
        };
        let key = [row::Column::Shard, row::Column::PhoneHmac, row::Column::DeviceHash];
        let again = OnConflict::columns(key).update_column(row::Column::ExpiresAt).to_owned();
        row::Entity::insert(row).on_conflict(again).exec_without_returning(&tx.inner).await?;
        Ok(())
    }

    /// Whether the device has signed in with this phone.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn is_known(&self, conn: impl Into<Conn<'_>>, now: Millis) -> Result<bool, StoreError> {
        let key = (self.phone_hash.shard().number(), self.phone_hash.0.to_vec(), self.device_hash.to_vec());
        let found = row::Entity::find_by_id(key).one(&conn.into().0).await?;
        Ok(found.is_some_and(|row| row.expires_at > now.0))
    }

    /// Forgets every device of a phone.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn forget_phone(tx: &Tx, phone_hash: PhoneHash) -> Result<(), StoreError> {
        row::Entity::delete_many()
            .filter(row::Column::Shard.eq(phone_hash.shard().number()))
            .filter(row::Column::PhoneHmac.eq(phone_hash.0.to_vec()))
            .exec(&tx.inner)
            .await?;
        Ok(())
    }

    /// Removes what expired by `before`, the oldest `limit`, and says how many; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn purge_expired(tx: &Tx, before: Millis, limit: u64) -> Result<u64, StoreError> {
        purge::oldest::<row::Entity>(tx, row::Column::ExpiresAt, before, limit).await
    }
}
