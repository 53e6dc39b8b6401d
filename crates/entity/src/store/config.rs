//! Settings of the store.

use std::time::Duration;

use runtime::{Invalid, Secret, within};
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
        let one_sqlite = self.shards.len() == 1 && self.sqlite_path().is_some();
        if !one_sqlite {
            return Err(Invalid::new("shards", "one DSN of the form sqlite://PATH (it holds all 1024 shards)"));
        }
        within("readers", self.readers, 1..=64, "")?;
        within("acquire_timeout_s", self.acquire_timeout_s, 1..=60, "")
    }

    /// The path of the SQLite file: `sqlite://PATH`, with or without the slashes and the usual `?mode=rwc`.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&std::path::Path> {
        let path = self.shards.first()?.reveal().strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.strip_suffix("?mode=rwc").unwrap_or(path);
        let is_file = !path.is_empty() && path != ":memory:" && !path.contains('?');
        is_file.then(|| std::path::Path::new(path))
    }

    pub(super) fn acquire_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.acquire_timeout_s))
    }
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
    fn several_databases_or_another_engine_are_refused_by_name() {
        for shards in [vec![], vec!["sqlite://a", "sqlite://b"], vec!["postgres://user:secret@host/db"]] {
            let config = Config { shards: shards.into_iter().map(Secret::new).collect(), ..Config::default() };
            let invalid = config.validate().expect_err("refused").to_string();
            assert!(invalid.contains("shards") && !invalid.contains("secret"), "{invalid}");
        }
    }
}
