//! The shards: where they are, how to read one, and the one door for write transactions.

mod config;
pub(crate) mod error;
mod line;
mod nice;
mod open;
pub(crate) mod purge;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

pub use config::{Config, Synchronous};
pub use error::StoreError;
use error::violates_unique;
use futures_util::future::BoxFuture;
use line::{Line, Turn};
use runtime::{
    Entropy,
    task::{Supervisor, TaskError},
};
use sea_orm::{
    ActiveModelTrait, DatabaseConnection, DatabaseExecutor, DatabaseTransaction, EntityName, EntityTrait,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use crate::{
    Ride, RideStatus,
    value::{Id, IdError, Millis, Shard},
};

/// How often a transaction is run again because a drawn id was taken.
const DRAWS: u32 = 5;

/// All shards of the platform. Cheap to clone.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

struct Inner {
    line: Line,
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    deps: Deps,
}

/// Told after each commit. Must not block: it runs where the transaction ran.
pub type OnCommit = Arc<dyn Fn(Committed) + Send + Sync>;

/// What a committed transaction did to one ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It has a new version: event streams have something to tell.
    Changed {
        /// Which ride.
        ride_id: Id<Ride>,
        /// Its status in that version.
        status: RideStatus,
    },
    /// It has a new message in the outbox: the relay has something to deliver.
    Message(Id<Ride>),
}

/// What [`Config::build`] needs.
pub struct Deps {
    /// Runs the write transactions.
    pub supervisor: Supervisor,
    /// Draws the random part of ids.
    pub entropy: Entropy,
    /// Wakes the relay and the event streams.
    pub on_commit: OnCommit,
}

impl Shards {
    /// A shard to read from.
    #[must_use]
    pub fn read(&self, _shard: Shard) -> Conn<'_> {
        self.everywhere()
    }

    /// Every database, for reads of due work, which name no shard.
    pub(crate) fn everywhere(&self) -> Conn<'_> {
        Conn(DatabaseExecutor::from(&self.0.readers))
    }

    /// The one door for writes: runs `work` in a transaction on `shard` and commits it if it answers `Ok`.
    ///
    /// The transaction runs in a task of its own, so a caller that goes away cannot cut it in half. `work` may be
    /// run again when an id that it drew was taken.
    ///
    /// # Errors
    /// What `work` answers, after a roll-back; [`StoreError`] when the database fails. An error at COMMIT is an
    /// unknown outcome.
    pub async fn write<T, E, F>(&self, _shard: Shard, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        self.run(Turn::Ordinary, work).await
    }

    /// As [`Shards::write`], and next: before all who wait there. For rides under way, which go on while the rest waits.
    ///
    /// # Errors
    /// As [`Shards::write`].
    pub async fn write_first<T, E, F>(&self, _shard: Shard, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        self.run(Turn::First, work).await
    }

    /// Every database, for writes of due work, which name no shard; else as [`Shards::write`].
    ///
    /// # Errors
    /// As [`Shards::write`].
    pub async fn write_everywhere<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        self.run(Turn::Ordinary, work).await
    }

    async fn run<T, E, F>(&self, turn: Turn, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        let shards = self.clone();
        let run = self.0.deps.supervisor.run("write-transaction", async move {
            let _at_head = shards.0.line.wait(turn).await?;
            let mut draws = 1;
            loop {
                let tx = shards.begin().await?;
                match work(&tx).await {
                    Ok(value) => return tx.commit().await.map(|()| value).map_err(E::from),
                    Err(error) => {
                        let again = tx.collided.load(Ordering::Relaxed) && draws < DRAWS;
                        tx.roll_back().await;
                        if !again {
                            return Err(error);
                        }
                        draws += 1;
                    }
                }
            }
        });
        run.await.unwrap_or_else(|error| {
            Err(E::from(match error {
                // It waited for the database until the process had to end: rolled back, and not for a fault of ours.
                TaskError::Aborted { .. } => StoreError::Busy(error.to_string()),
                TaskError::Panicked { .. } => StoreError::Task(error.to_string()),
            }))
        })
    }

    /// Closes every connection, so that what is committed lies in the database file itself. The last call: what comes
    /// later finds no connection.
    pub async fn close(&self) {
        for pool in [&self.0.readers, &self.0.writer] {
            if let Err(error) = pool.clone().close().await {
                tracing::warn!(%error, "a database did not close cleanly; nothing is lost, its log holds the rest");
            }
        }
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        let inner = self.0.writer.begin_with_options(immediate()).await?;
        Ok(Tx { inner, shards: self.clone(), collided: AtomicBool::new(false), committed: Mutex::default() })
    }
}

/// On SQLite a transaction that will write takes the lock at once: a deferred one that upgrades fails when another
/// one wrote meanwhile.
fn immediate() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

/// A shard to read from, or a transaction: what entity methods take.
pub struct Conn<'c>(pub(crate) DatabaseExecutor<'c>);

impl<'t> From<&'t Tx> for Conn<'t> {
    fn from(tx: &'t Tx) -> Self {
        Self(DatabaseExecutor::from(&tx.inner))
    }
}

/// An open write transaction; begun only by [`Shards::write`].
pub struct Tx {
    pub(crate) inner: DatabaseTransaction,
    shards: Shards,
    collided: AtomicBool,
    committed: Mutex<Vec<Committed>>,
}

impl Tx {
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

    async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await?;
        let committed = self.committed.into_inner().unwrap_or_else(PoisonError::into_inner);
        committed.into_iter().for_each(|what| (self.shards.0.deps.on_commit)(what));
        Ok(())
    }

    async fn roll_back(self) {
        if let Err(error) = self.inner.rollback().await {
            tracing::warn!(%error, "roll-back failed; the connection is closed by its pool");
        }
    }
}
