//! Settings of the store.

use std::time::Duration;

use runtime::{Invalid, Secret};
use serde::{Deserialize, Serialize};

/// The `[store]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// DSNs of the databases that hold the shards; comma-separated in the environment. Today one SQLite file,
    /// `sqlite://PATH`, relative to the working directory.
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
        let one_sqlite = self.shards.len() == 1
            && self.shards.iter().all(|dsn| {
                dsn.reveal().strip_prefix("sqlite://").is_some_and(|path| !path.is_empty() && !path.contains('?'))
            });
        if !one_sqlite {
            return Err(Invalid::new("shards", "one DSN of the form sqlite://PATH (it holds all 1024 shards)"));
        }
        if !(1..=64).contains(&self.readers) {
            return Err(Invalid::new("readers", "1 to 64"));
        }
        if !(1..=60).contains(&self.acquire_timeout_s) {
            return Err(Invalid::new("acquire_timeout_s", "1 to 60"));
        }
        Ok(())
    }

    /// The path of the SQLite file.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&std::path::Path> {
        let dsn = self.shards.first()?;
        dsn.reveal().strip_prefix("sqlite://").map(std::path::Path::new)
    }

    pub(super) fn acquire_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.acquire_timeout_s))
    }
}
