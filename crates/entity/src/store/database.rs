//! One of the databases that hold the shards.

use std::path::PathBuf;

use sea_orm::{DatabaseConnection, DatabaseExecutor};

use super::{Conn, StoreError};

/// A database and its connections.
pub(crate) struct Database {
    /// What to call it.
    pub(super) name: Name,
    pub(super) writer: DatabaseConnection,
    pub(super) readers: DatabaseConnection,
}

/// What a database is called in logs and errors: never with a user or a password.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// Its place in `store.shards`, from 0.
    pub(super) number: usize,
    pub(super) path: PathBuf,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "database {} ({})", self.number + 1, self.path.display())
    }
}

impl Database {
    /// To read from.
    pub(crate) fn conn(&self) -> Conn<'_> {
        Conn(DatabaseExecutor::from(&self.readers))
    }

    /// Says which database it was.
    pub(crate) fn failed(&self, error: &StoreError) {
        tracing::warn!(database = %self.name, %error, "a database did not answer: what is due there waits");
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
