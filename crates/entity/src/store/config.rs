//! Settings of the store.

use std::{collections::HashSet, path::PathBuf};

use runtime::{Invalid, Secret, within};
use serde::{Deserialize, Serialize};

use super::{
    StoreError,
    database::Name,
    dsn::{self, Dsn, Engine},
};

/// More would have less than sixteen shards each.
const MOST_DATABASES: usize = 64;

/// The `[store]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// DSNs of the databases that hold the shards, each an equal part of them; comma-separated in the environment.
    /// `sqlite://PATH`, relative to the working directory, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    #[serde(deserialize_with = "runtime::config::list")]
    pub shards: Vec<Secret>,
    /// Connections that read, per database.
    pub readers: u32,
    /// PostgreSQL: connections that write, per database. A SQLite file has one.
    pub writers: u32,
    /// How long a request waits for a connection or a lock, seconds.
    pub acquire_timeout_s: u32,
    /// SQLite: `full` survives a power cut with every acknowledged write, `normal` may lose the last ones.
    pub synchronous: Synchronous,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shards: vec![Secret::new("sqlite://data/gateway.db")],
            readers: 4,
            writers: 16,
            acquire_timeout_s: 5,
            synchronous: Synchronous::Full,
        }
    }
}

/// When SQLite waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// At every commit.
    Full,
    /// At checkpoints.
    Normal,
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        let allowed = |what: String| Invalid::new("shards", what);
        if !(1..=MOST_DATABASES).contains(&self.shards.len()) {
            return Err(allowed(format!("1 to {MOST_DATABASES} DSNs, each {}", dsn::ALLOWED)));
        }
        let mut seen = HashSet::new();
        for (number, dsn) in (1..).zip(&self.shards) {
            let Some(dsn) = Dsn::parse(dsn) else {
                return Err(allowed(format!("as database {number}: {}", dsn::ALLOWED)));
            };
            if !seen.insert(dsn.to_string()) {
                return Err(allowed(format!("each database once; database {number} is named twice")));
            }
        }
        within("writers", self.writers, 1..=256, "")?;
        within("readers", self.readers, 1..=64, "")?;
        within("acquire_timeout_s", self.acquire_timeout_s, 1..=60, "")
    }

    /// The path of the first database, if it is a SQLite file.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        match self.shards.first().and_then(Dsn::parse)? {
            Dsn::Sqlite(path) => Some(path),
            Dsn::Postgres(_) => None,
        }
    }

    /// What each database runs on, in their order.
    #[must_use]
    pub fn engines(&self) -> Vec<Engine> {
        self.shards.iter().filter_map(Dsn::parse).map(|dsn| dsn.engine()).collect()
    }

    /// The databases, in their order.
    pub(super) fn names(&self) -> Result<Vec<Name>, StoreError> {
        let name = |(number, dsn)| {
            let dsn = Dsn::parse(dsn);
            let refused = || StoreError::Open(format!("store.shards: database {} is not {}", number + 1, dsn::ALLOWED));
            dsn.map(|dsn| Name { number, dsn }).ok_or_else(refused)
        };
        self.shards.iter().enumerate().map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_another_kind_or_named_twice_is_refused_by_its_number() {
        for (shards, told) in [
            (vec![], "1 to 64 DSNs"),
            (vec!["sqlite://a", "mysql://user:secret@host/db"], "database 2"),
            (vec!["postgres://user:secret@host/db?sslmode=require"], "no TLS yet"),
            (vec!["sqlite://a", "sqlite://b", "sqlite:a?mode=rwc"], "database 3"),
            (vec!["postgres://user:secret@host/db", "postgres://other:secret@host:5432/db"], "database 2"),
        ] {
            let config = Config { shards: shards.into_iter().map(Secret::new).collect(), ..Config::default() };
            let invalid = config.validate().expect_err("refused").to_string();
            assert!(invalid.contains(told) && !invalid.contains("secret"), "{invalid}");
        }
        let three = ["sqlite://a", "sqlite://b", "postgres://user:secret@host/db"].map(Secret::new).to_vec();
        let config = Config { shards: three, ..Config::default() };
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.engines(), [Engine::Sqlite, Engine::Sqlite, Engine::Postgres]);
    }
}
