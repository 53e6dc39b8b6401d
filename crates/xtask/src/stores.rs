//! Where the tests keep their data, and the PostgreSQL servers that some of them need.

use std::{fmt, fs, path::PathBuf};

use clap::ValueEnum;
use clusters::{Binaries, Cluster, Options};

use crate::{
    program::{Program, target},
    statements,
};

/// What the end-to-end tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// One SQLite file.
    Sqlite,
    /// Three SQLite files.
    Sqlite3,
    /// A database of a PostgreSQL server.
    Postgres,
    /// A database on each of three PostgreSQL servers.
    Postgres3,
}

impl Store {
    pub(crate) fn needs_postgres(self) -> bool {
        matches!(self, Self::Postgres | Self::Postgres3)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Sqlite3 => "sqlite3",
            Self::Postgres => "postgres",
            Self::Postgres3 => "postgres3",
        })
    }
}

/// Three private PostgreSQL servers for a whole run. Dropped, they are gone with all they kept.
pub(crate) struct Servers(Vec<Cluster>);

impl Servers {
    /// Starts them, and installs PostgreSQL first where that can be done.
    ///
    /// # Errors
    /// What is missing, how to install it, and how to do without.
    pub(crate) fn start() -> Result<Self, String> {
        let settings = statements::SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let options = Options { settings, ..Options::default() };
        let servers = Binaries::find_or_install().and_then(|found| Cluster::start_many(3, &found, &options));
        let servers = servers
            .map_err(|missing| format!("{missing}\nTo test on SQLite alone: cargo xtask test --store sqlite"))?;
        eprintln!("xtask: three private PostgreSQL servers have started");
        Ok(Self(servers))
    }

    /// What they have logged.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        self.0.iter().map(Cluster::log_file).collect()
    }

    fn dsns(&self) -> String {
        self.0.iter().map(|cluster| cluster.server().dsn()).collect::<Vec<_>>().join(",")
    }
}

/// What a run of tests is told about where to keep data.
#[derive(Clone)]
pub(crate) struct Place {
    store: Store,
    /// DSNs; empty without servers.
    servers: String,
}

impl Place {
    pub(crate) fn new(store: Store, servers: Option<&Servers>) -> Self {
        Self { store, servers: servers.map(Servers::dsns).unwrap_or_default() }
    }

    /// Where data is kept.
    pub(crate) fn store(&self) -> Store {
        self.store
    }

    /// Runs tests there, and says which were skipped.
    ///
    /// # Errors
    /// A test failed.
    pub(crate) async fn run(&self, tests: Program) -> Result<(), String> {
        let skipped = self.list_of_skipped()?;
        let tests = tests.variable("GATEWAY_TEST_STORE", self.store.to_string()).variable("TEST_SKIPPED", &skipped);
        let tests = match self.servers.as_str() {
            // Servers that somebody named for another run are not asked: what is not run is told at the end.
            "" => tests.without_variable("TEST_POSTGRES"),
            servers => tests.variable("TEST_POSTGRES", servers),
        };
        let outcome = tests.run().await;
        if let Ok(lines) = fs::read_to_string(&skipped) {
            eprintln!("\nxtask: {} tests were skipped on {}:\n{}", lines.lines().count(), self.store, lines.trim_end());
            fs::remove_file(&skipped).map_err(|error| format!("{}: {error}", skipped.display()))?;
        }
        outcome
    }

    /// A file that is not there yet; a run within a run has its own.
    fn list_of_skipped(&self) -> Result<PathBuf, String> {
        let path = target()?.join(format!("skipped-{}-{}.txt", self.store, std::process::id()));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
            _ => Ok(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_written_as_it_is_asked_for() {
        for store in Store::value_variants() {
            assert_eq!(Store::from_str(&store.to_string(), false), Ok(*store));
        }
    }

    #[tokio::test]
    async fn tests_are_told_the_store_and_what_they_skip_is_forgotten_before_the_next_run() {
        let place = Place { store: Store::Sqlite3, servers: String::new() };
        let script = r#"[ "$GATEWAY_TEST_STORE" = sqlite3 ] && [ ! -e "$TEST_SKIPPED" ] && echo one >>"$TEST_SKIPPED""#;
        for _ in 0..2 {
            place.run(Program::new("sh").arguments(["-c", script])).await.unwrap();
        }
        assert!(!place.list_of_skipped().unwrap().exists());
        // Also not told of the servers of a run that this one is a part of.
        let without =
            Program::new("sh").variable("TEST_POSTGRES", "a").arguments(["-c", "[ -z ${TEST_POSTGRES+set} ]"]);
        place.run(without).await.unwrap();
        let place = Place { store: Store::Postgres, servers: "a,b".to_owned() };
        let with = Program::new("sh").arguments(["-c", r#"[ "$TEST_POSTGRES" = a,b ]"#]);
        place.run(with).await.unwrap();
    }
}
