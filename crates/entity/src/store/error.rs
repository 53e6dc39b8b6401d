//! What can go wrong between an entity and its database.

use std::fmt::Display;

use runtime::task::TaskError;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, sqlx};

use crate::value::IdError;

/// The database did not do what was asked. Never shown to a passenger: it becomes a 500 or a 503.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection in time, the lock was held too long, the disk is full: the same call may work later.
    #[error("the database cannot do that now: {0}")]
    Busy(String),
    /// An id that was drawn was taken, several times in a row.
    #[error("no free id could be drawn")]
    Collision,
    /// What was to be written together lies in several databases, since a moment ago perhaps.
    #[error("these shards lie in several databases")]
    Apart,
    /// The row changed between reading and writing it.
    #[error("the row was changed by somebody else")]
    Conflict,
    /// The clock is outside the range of ids.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A stored value that this version cannot read.
    #[error("{table}.{column} holds a value that cannot be read: {detail}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What was wrong with it.
        detail: String,
    },
    /// The task of a transaction died.
    #[error("the transaction's task died: {0}")]
    Task(String),
    /// Settings or files that cannot be served from.
    #[error("{0}")]
    Open(String),
    /// Anything else that the database said.
    #[error("database: {0}")]
    Database(DbErr),
}

impl StoreError {
    /// A stored value that this version cannot read, or one that it cannot store.
    pub fn corrupt(table: &'static str, column: &'static str, detail: impl Display) -> Self {
        Self::Corrupt { table, column, detail: detail.to_string() }
    }
}

/// What has become of a transaction whose task ended before it.
impl From<TaskError> for StoreError {
    fn from(error: TaskError) -> Self {
        match error {
            // It waited for the database until the process had to end: rolled back, and not for a fault of ours.
            TaskError::Aborted { .. } => Self::Busy(error.to_string()),
            TaskError::Panicked { .. } => Self::Task(error.to_string()),
        }
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if is_busy(&error) { Self::Busy(error.to_string()) } else { Self::Database(error) }
    }
}

/// Whether the same call may work later.
fn is_busy(error: &DbErr) -> bool {
    if matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)) {
        return true;
    }
    if let Some(code) = sqlstate(error) {
        return is_busy_state(&code);
    }
    match driver_error(error) {
        // The server went away in the middle of it, or cannot be reached.
        Some(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed) => true,
        // SQLITE_BUSY (5), SQLITE_LOCKED (6) and SQLITE_FULL (13) have no typed form in the driver's error.
        _ => {
            let text = error.to_string();
            ["database is locked", "database table is locked", "database or disk is full", "disk I/O error"]
                .iter()
                .any(|busy| text.contains(busy))
        }
    }
}

/// SQLSTATEs of PostgreSQL (its manual, appendix A).
fn is_busy_state(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    // 08 connection exception, 53 insufficient resources, 57P0x the server stops, crashed, or starts.
    matches!(class, "08" | "53")
        || matches!(
            code,
            // serialization failure, deadlock
            "40001" | "40P01"
            // lock timeout, statement timeout or cancel, idle in a transaction for too long
            | "55P03" | "57014" | "25P03"
            | "57P01" | "57P02" | "57P03"
            // read only: the server has become a standby
            | "25006"
        )
}

/// What PostgreSQL calls the error; `None` on another engine or for an error of the connection.
pub(crate) fn sqlstate(error: &DbErr) -> Option<String> {
    let said = driver_error(error)?.as_database_error()?;
    said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().map(|said| said.code().to_owned())
}

fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}
