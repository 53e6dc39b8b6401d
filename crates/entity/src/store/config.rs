//! Settings of the store.

use std::{collections::HashSet, path::Path, time::Duration};

use runtime::{Invalid, Secret, within};
use serde::{Deserialize, Serialize};

use super::{StoreError, database::Name};

/// More would have less than sixteen shards each.
const MOST_DATABASES: usize = 64;

/// The `[store]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// DSNs of the databases that hold the shards, each an equal part; comma-separated in the environment. Today SQLite
    /// files, `sqlite://PATH`, relative to the working directory.
    #[serde(deserialize_with = "runtime::config::list")]
    pub shards: Vec<Secret>,
    /// Connections that read, per database.
    pub readers: u32,
    /// How long a request waits for a connection, seconds.
    pub acquire_timeout_s: u32,
    /// SQLite: `full` survives a power cut with every acknowledged write, `normal` may lose the last ones.
    pub synchronous: Synchronous,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shards: vec![Secret::new("sqlite://data/gateway.db")],
            readers: 4,
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
            return Err(allowed(format!("1 to {MOST_DATABASES} DSNs of the form sqlite://PATH")));
        }
        let mut seen = HashSet::new();
        for (number, dsn) in (1..).zip(&self.shards) {
            let Some(path) = sqlite_path(dsn) else {
                return Err(allowed(format!("a DSN of the form sqlite://PATH as database {number}")));
            };
            if !seen.insert(path) {
                return Err(allowed(format!("each database once: database {number} is named twice")));
            }
        }
        within("readers", self.readers, 1..=64, "")?;
        within("acquire_timeout_s", self.acquire_timeout_s, 1..=60, "")
    }

    /// The path of the first database, if it is a SQLite file.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        self.shards.first().and_then(sqlite_path)
    }

    /// What the databases are called, in their order.
    pub(super) fn names(&self) -> Result<Vec<Name>, StoreError> {
        let name = |(number, dsn)| {
            let path = sqlite_path(dsn).map(Path::to_owned);
            path.map(|path| Name { number, path })
                .ok_or_else(|| StoreError::Open("store.shards names no SQLite file".to_owned()))
        };
        self.shards.iter().enumerate().map(name).collect()
    }

    pub(super) fn acquire_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.acquire_timeout_s))
    }
}

/// The path of a SQLite file: `sqlite://PATH`, with or without the slashes and the usual `?mode=rwc`.
fn sqlite_path(dsn: &Secret) -> Option<&Path> {
    let path = dsn.reveal().strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.strip_suffix("?mode=rwc").unwrap_or(path);
    let is_file = !path.is_empty() && path != ":memory:" && !path.contains('?');
    is_file.then(|| Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_a_sqlite_file_in_any_usual_spelling() {
        let path = |dsn: &str| {
            let config = Config { shards: vec![Secret::new(dsn)], ..Config::default() };
            config.sqlite_path().map(|p| p.display().to_string())
        };
        assert_eq!(path("sqlite://data/a.db").as_deref(), Some("data/a.db"));
        assert_eq!(path("sqlite:///var/a.db?mode=rwc").as_deref(), Some("/var/a.db"));
        assert_eq!(path("sqlite:a.db").as_deref(), Some("a.db"));
        for bad in ["", "a.db", "sqlite://", "sqlite::memory:", "sqlite://a.db?mode=ro", "postgres://u:p@h/db"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_database_that_is_no_file_or_is_named_twice_is_refused_by_its_number() {
        for (shards, told) in [
            (vec![], "1 to 64 DSNs"),
            (vec!["sqlite://a", "postgres://user:secret@host/db"], "database 2"),
            (vec!["sqlite://a", "sqlite://b", "sqlite:a?mode=rwc"], "database 3"),
        ] {
            let config = Config { shards: shards.into_iter().map(Secret::new).collect(), ..Config::default() };
            let invalid = config.validate().expect_err("refused").to_string();
            assert!(invalid.contains(told) && !invalid.contains("secret"), "{invalid}");
        }
        let three = ["sqlite://a", "sqlite://b", "sqlite://c"].map(Secret::new).to_vec();
        assert_eq!(Config { shards: three, ..Config::default() }.validate(), Ok(()));
    }
}
