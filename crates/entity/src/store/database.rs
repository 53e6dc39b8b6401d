//! One of the databases that hold the shards.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseExecutor, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use super::{
    Conn, StoreError,
    dsn::{Dsn, Engine},
    follow::Moves,
    line::Line,
    tx::here,
};

/// A database and its connections.
pub(crate) struct Database {
    pub(super) name: Name,
    /// Who writes next.
    pub(super) line: Line,
    pub(super) writer: DatabaseConnection,
    pub(super) readers: DatabaseConnection,
    /// Shards of which there are rows here although it does not hold them: a copy that is being made, and what a move has left.
    pub(super) not_here: Mutex<Arc<[i16]>>,
    /// What happens to shards here, as it was seen last.
    pub(super) moves: Mutex<Moves>,
    /// When it was looked at last, milliseconds since the store was opened; 0: never.
    pub(super) looked: AtomicU64,
}

/// What a database is called in logs and errors: never with a user or a password.
#[derive(Clone)]
pub(crate) struct Name {
    /// Its place in `store.shards`, from 0.
    pub(super) number: usize,
    pub(super) dsn: Dsn,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database {} ({})", self.number + 1, self.dsn)
    }
}

impl Database {
    /// To read from.
    pub(crate) fn conn(&self) -> Conn<'_> {
        Conn(DatabaseExecutor::from(&self.readers))
    }

    /// To ask for what is due, which names no shard.
    pub(crate) fn due(&self) -> Due<'_> {
        let not_here = self.not_here.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Due { conn: self.conn(), not_here }
    }

    /// Says which database it was.
    pub(super) fn did_not_answer(&self, error: &StoreError) {
        tracing::warn!(database = %self.name, %error, "a database did not answer: what is due there waits");
    }

    pub(super) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        begin(&self.writer).await
    }

    pub(super) async fn close(&self) {
        for pool in [&self.readers, &self.writer] {
            if let Err(error) = pool.clone().close().await {
                tracing::warn!(
                    database = %self.name, %error,
                    "a database did not close cleanly; nothing is lost, its log holds the rest"
                );
            }
        }
    }
}

/// A database that is asked for what is due.
pub(crate) struct Due<'c> {
    /// To ask.
    pub(crate) conn: Conn<'c>,
    not_here: Arc<[i16]>,
}

impl Due<'_> {
    /// Leaves out rows of shards that the database does not hold.
    pub(crate) fn here<E: EntityTrait, Q: QueryFilter>(&self, query: Q) -> Q {
        here::<E, Q>(query, &self.not_here)
    }
}

/// On SQLite a transaction that will write takes the lock at once: a deferred one that upgrades fails when another
/// one wrote meanwhile. Elsewhere each statement sees what was committed before it (READ COMMITTED), and what a transaction
/// has read it holds ([`Conn::hold`]).
pub(super) async fn begin(writer: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    writer.begin_with_options(options).await
}

/// The engine behind a connection.
pub(super) fn engine(connection: &impl ConnectionTrait) -> Engine {
    match connection.get_database_backend() {
        sea_orm::DbBackend::Postgres => Engine::Postgres,
        _ => Engine::Sqlite,
    }
}
