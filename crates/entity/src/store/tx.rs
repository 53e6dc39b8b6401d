//! An open write transaction, and what entity methods read through.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseExecutor, DatabaseTransaction, EntityTrait, IdenStatic, Iterable,
    QueryFilter, QuerySelect,
    sea_query::{LockType, OnConflict, SelectStatement},
};

use super::{Committed, Engine, Shards, StoreError, database::engine, door::Entered};
use crate::value::{Id, IdError, Millis, Shard};

/// A shard to read from, or a transaction: what entity methods take.
pub struct Conn<'c>(pub(crate) DatabaseExecutor<'c>);

impl Conn<'_> {
    /// What the database runs on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        engine(&self.0)
    }

    /// In a transaction: nobody else changes the rows that are found until its end, and what somebody else is changing is
    /// waited for. Where one transaction writes at a time that is so by itself, and nothing is added. Rows that refer to
    /// them may still be inserted.
    pub(crate) fn hold<Q: QuerySelect<QueryStatement = SelectStatement>>(&self, query: Q) -> Q {
        match self.0 {
            DatabaseExecutor::Connection(_) => query,
            DatabaseExecutor::Transaction(_) | DatabaseExecutor::OwnedTransaction(_) => {
                query.lock(LockType::NoKeyUpdate)
            }
        }
    }
}

impl<'t> From<&'t Tx> for Conn<'t> {
    fn from(tx: &'t Tx) -> Self {
        Self(DatabaseExecutor::from(&tx.inner))
    }
}

/// An open write transaction on one database; begun only by [`Shards::write`] and [`Shards::write_everywhere`].
pub struct Tx {
    pub(crate) inner: DatabaseTransaction,
    database: usize,
    not_here: Vec<i16>,
    shards: Shards,
    collided: AtomicBool,
    committed: Mutex<Vec<Committed>>,
}

impl Tx {
    pub(super) fn new(entered: Entered, shards: Shards) -> Self {
        let Entered { inner, database, not_here } = entered;
        Self { inner, database, not_here, shards, collided: AtomicBool::new(false), committed: Mutex::default() }
    }

    /// Which database it writes to: its place in `store.shards`, from 0.
    #[must_use]
    pub fn database(&self) -> usize {
        self.database
    }

    /// What the database runs on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        engine(&self.inner)
    }

    /// For due work, which names no shard: leaves out rows of shards that are being moved, whose mover alone changes copies of
    /// rows, and reads the rest.
    pub(crate) fn here<E: EntityTrait, Q: QueryFilter>(&self, query: Q) -> Q {
        here::<E, Q>(query, &self.not_here)
    }

    /// As [`Conn::hold`].
    pub(crate) fn hold<Q: QuerySelect<QueryStatement = SelectStatement>>(&self, query: Q) -> Q {
        query.lock(LockType::NoKeyUpdate)
    }

    /// Draws an id.
    pub(crate) fn draw<T>(&self, now: Millis, shard: Shard) -> Result<Id<T>, IdError> {
        let random = u16::from_be_bytes(self.shards.0.deps.entropy.bytes());
        Id::new(now, random, shard)
    }

    /// Inserts a row under an id that was drawn.
    pub(crate) async fn insert_drawn<A: ActiveModelTrait + Send>(&self, row: A) -> Result<(), StoreError> {
        match self.insert_unless_there([row]).await? {
            0 => Err(self.collision()),
            _ => Ok(()),
        }
    }

    /// Inserts those rows that violate no key and says how many. An error would be the end of the transaction on some
    /// engines. Whoever inserts the same is waited for.
    pub(crate) async fn insert_unless_there<A: ActiveModelTrait + Send>(
        &self,
        rows: impl IntoIterator<Item = A> + Send,
    ) -> Result<u64, StoreError> {
        let insert = A::Entity::insert_many(rows).on_conflict(OnConflict::new().do_nothing().to_owned());
        Ok(insert.exec_without_returning(&self.inner).await?)
    }

    /// Says that what was to be inserted is there already (a drawn id, a row that somebody else just made): the
    /// transaction is run again.
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

/// Leaves out rows of `not_here`, which is empty but while a shard is being moved.
pub(super) fn here<E: EntityTrait, Q: QueryFilter>(query: Q, not_here: &[i16]) -> Q {
    match E::Column::iter().find(|column| column.as_str() == "shard") {
        Some(shard) if !not_here.is_empty() => query.filter(shard.is_not_in(not_here.iter().copied())),
        _ => query,
    }
}
