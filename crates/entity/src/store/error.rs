//! What can go wrong between an entity and its database.

use std::fmt::Display;

use sea_orm::{ConnAcquireErr, DbErr};

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

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let text = error.to_string();
        // SQLITE_BUSY (5), SQLITE_LOCKED (6) and SQLITE_FULL (13) have no typed form in the driver's error.
        let busy = matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
            || text.contains("database is locked")
            || text.contains("database table is locked")
            || text.contains("database or disk is full")
            || text.contains("disk I/O error");
        if busy { Self::Busy(text) } else { Self::Database(error) }
    }
}

/// Whether `error` is a unique violation that lists exactly these columns (SQLite names columns, not constraints).
pub(crate) fn violates_unique(error: &DbErr, table: &str, columns: &[&str]) -> bool {
    let Some(sea_orm::SqlErr::UniqueConstraintViolation(text)) = error.sql_err() else { return false };
    let listed: Vec<String> = columns.iter().map(|c| format!("{table}.{c}")).collect();
    text.trim_end().ends_with(&listed.join(", "))
}
