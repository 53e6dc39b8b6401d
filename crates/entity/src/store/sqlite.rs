//! Connections to SQLite files.

use std::path::Path;

use sea_orm::{
    ConnectOptions, DatabaseConnection, DbErr,
    sqlx::{Connection, sqlite},
};

use super::{Config, Synchronous};

/// `connections` to the file, which is made if it is not there.
pub(super) async fn connect(config: &Config, path: &Path, connections: u32) -> Result<DatabaseConnection, DbErr> {
    let synchronous = match config.synchronous {
        Synchronous::Full => sqlite::SqliteSynchronous::Full,
        Synchronous::Normal => sqlite::SqliteSynchronous::Normal,
    };
    let (file, busy) = (path.to_path_buf(), config.acquire_timeout());
    let mut options = ConnectOptions::new("sqlite://replaced-below");
    options
        .max_connections(connections)
        .min_connections(connections)
        .acquire_timeout(config.acquire_timeout())
        // Nobody hangs up on a file, and the pool asks each connection anyway when it comes back: asked at both ends, a
        // read of one row would wake its connection's thread three times.
        .test_before_acquire(false)
        // With `runtime.log = "info,sqlx=debug"` every statement is logged, its values never. Asked once: a driver that
        // may log counts the time of each statement.
        .sqlx_logging(tracing::enabled!(target: "sqlx::query", tracing::Level::DEBUG))
        // The file is given as a path, not as a URL: any name works and no query string changes the settings.
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .filename(&file)
                .create_if_missing(true)
                .journal_mode(sqlite::SqliteJournalMode::Wal)
                .synchronous(synchronous)
                .foreign_keys(true)
                .busy_timeout(busy)
                // What was deleted (a phone, a name) is overwritten, not only forgotten.
                .pragma("secure_delete", "ON")
        })
        // SQLite rolls a failed COMMIT back (disk full), but the driver goes on counting an open transaction: the next
        // one would be a savepoint, acknowledged and never committed. Such a connection is closed.
        .map_sqlx_sqlite_pool_opts(|pool| {
            pool.after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        });
    sea_orm::Database::connect(options).await
}
