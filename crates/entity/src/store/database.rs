//! One of the databases that hold the shards.

use std::fmt;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseExecutor, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use super::{
    Conn, StoreError,
    dsn::{Dsn, Engine},
};

/// A database and its connections.
pub(crate) struct Database {
    pub(super) name: Name,
    pub(super) writer: DatabaseConnection,
    pub(super) readers: DatabaseConnection,
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
