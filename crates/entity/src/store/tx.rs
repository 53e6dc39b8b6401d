//! An open write transaction, and what entity methods read through.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use sea_orm::{ActiveModelTrait, DatabaseExecutor, DatabaseTransaction, EntityName, EntityTrait};

use super::{Committed, Shards, StoreError, error::violates_unique};
use crate::value::{Id, IdError, Millis, Shard};

/// A shard to read from, or a transaction: what entity methods take.
pub struct Conn<'c>(pub(crate) DatabaseExecutor<'c>);

impl<'t> From<&'t Tx> for Conn<'t> {
    fn from(tx: &'t Tx) -> Self {
        Self(DatabaseExecutor::from(&tx.inner))
    }
}

/// An open write transaction on one database; begun only by [`Shards::write`] and [`Shards::write_everywhere`].
pub struct Tx {
    pub(crate) inner: DatabaseTransaction,
    database: usize,
    shards: Shards,
    collided: AtomicBool,
    committed: Mutex<Vec<Committed>>,
}

impl Tx {
    pub(super) fn new(inner: DatabaseTransaction, database: usize, shards: Shards) -> Self {
        Self { inner, database, shards, collided: AtomicBool::new(false), committed: Mutex::default() }
    }

    /// Which database it writes to: its place in `store.shards`, from 0.
    #[must_use]
    pub fn database(&self) -> usize {
        self.database
    }

    /// Draws an id.
    pub(crate) fn draw<T>(&self, now: Millis, shard: Shard) -> Result<Id<T>, IdError> {
        let random = u16::from_be_bytes(self.shards.0.deps.entropy.bytes());
        Id::new(now, random, shard)
    }

    /// Inserts a row under an id that was drawn.
    pub(crate) async fn insert_drawn<A: ActiveModelTrait>(&self, row: A) -> Result<(), StoreError> {
        match A::Entity::insert(row).exec_without_returning(&self.inner).await {
            Ok(_) => Ok(()),
            Err(e) if violates_unique(&e, A::Entity::default().table_name(), &["shard", "id"]) => Err(self.collision()),
            Err(e) => Err(e.into()),
        }
    }

    /// Says that a drawn id was taken: the transaction is run again with another draw.
    pub(crate) fn collision(&self) -> StoreError {
        self.collided.store(true, Ordering::Relaxed);
        StoreError::Collision
    }

    /// Notes what to announce after the commit.
    pub(crate) fn announce(&self, what: Committed) {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await?;
        let committed = self.committed.into_inner().unwrap_or_else(PoisonError::into_inner);
        committed.into_iter().for_each(|what| (self.shards.0.deps.on_commit)(what));
        Ok(())
    }

    /// Whether a drawn id was taken.
    pub(super) async fn roll_back(self) -> bool {
        if let Err(error) = self.inner.rollback().await {
            tracing::warn!(%error, "roll-back failed; the connection is closed by its pool");
        }
        self.collided.into_inner()
    }
}
