//! A server as its clients see it: where it is, SQL by `psql`, and a database for each test.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{Binaries, Error, cluster::succeeded, random};

/// The role of tests: it may make databases, and nothing that the product's own role may not.
pub(crate) const ROLE: &str = "gateway";
/// What it takes to be told by which plan a statement ran, and to fill tables without looking up each reference.
const FOR_PLANS: [&str; 6] = [
    "session_preload_libraries",
    "session_replication_role",
    "auto_explain.log_min_duration",
    "auto_explain.log_level",
    "auto_explain.log_format",
    "auto_explain.log_nested_statements",
];
/// The database that is always there.
const ALWAYS: &str = "postgres";
const SCHEME: &str = "postgres://";

/// How to reach a server.
#[derive(Clone)]
pub struct Server {
    user: String,
    password: String,
    host: String,
    port: u16,
    psql: PathBuf,
}

impl Server {
    pub(crate) fn new(user: &str, password: String, port: u16, psql: PathBuf) -> Self {
        Self { user: user.to_owned(), password, host: "127.0.0.1".to_owned(), port, psql }
    }

    /// The server of a DSN such as `postgres://user:password@127.0.0.1:5432/postgres`, whose user may make databases.
    ///
    /// # Errors
    /// It is no such DSN.
    pub fn at(dsn: &str, binaries: &Binaries) -> Result<Self, Error> {
        let parts = dsn.strip_prefix(SCHEME).and_then(|rest| {
            let (user, address) = rest.rsplit_once('@')?;
            let (user, password) = user.split_once(':')?;
            let (host, port) = address.split_once('/')?.0.rsplit_once(':')?;
            Some((user.to_owned(), password.to_owned(), host.to_owned(), port.parse().ok()?))
        });
        let (user, password, host, port) = parts.ok_or(Error::NoDsn)?;
        Ok(Self { user, password, host, port, psql: binaries.program("psql") })
    }

    /// Its DSN, with the name of the database that is always there.
    pub fn dsn(&self) -> String {
        self.dsn_of(ALWAYS)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL, or what else `psql` understands, one statement a transaction; what it writes, values apart by `|`.
    ///
    /// # Errors
    /// The server is not there, or refused a statement.
    pub fn run(&self, sql: &str) -> Result<Vec<u8>, Error> {
        self.run_in(ALWAYS, sql)
    }

    /// A new database of an own name: empty, or a copy of another one of this server, which nobody may use meanwhile.
    /// A copy takes about as long as an empty one, some 50 ms.
    ///
    /// # Errors
    /// As [`Server::run`].
    pub fn create_database(&self, copy_of: Option<&Database>) -> Result<Database, Error> {
        let name = format!("test_{}", random::hex::<8>()?);
        // template0: nobody adds anything to it.
        let template = copy_of.map_or("template0", |database| &database.name);
        self.run(&format!("CREATE DATABASE {name} TEMPLATE {template};"))?;
        Ok(Database { server: self.clone(), name })
    }

    /// Makes the role of another way to reach this server. It may do little more than the role of a gateway: make databases
    /// and, from PostgreSQL 15 on, have [`FOR_PLANS`] set in them.
    pub(crate) fn make_role(&self, other: &Self, version: u32) -> Result<(), Error> {
        let Self { user, password, .. } = other;
        let mut sql = format!("CREATE ROLE {user} LOGIN CREATEDB PASSWORD '{password}';");
        if version >= 15 {
            sql.push_str(&format!("GRANT SET ON PARAMETER {} TO {user};", FOR_PLANS.join(", ")));
        }
        self.run(&sql).map(drop)
    }

    fn dsn_of(&self, database: &str) -> String {
        let Self { user, password, host, port, .. } = self;
        format!("{SCHEME}{user}:{password}@{host}:{port}/{database}")
    }

    fn run_in(&self, database: &str, sql: &str) -> Result<Vec<u8>, Error> {
        let failed = |error| Error::program("psql", error);
        let mut command = Command::new(&self.psql);
        // Habits of whoever runs us stay out of it.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.args(["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-h", &self.host, "-U", &self.user]);
        command.args(["-p", &self.port.to_string(), "-d", database, "-f", "-"]);
        // Not among the arguments, nor is the SQL: everybody may read those of any process.
        command.env("PGPASSWORD", &self.password).env("PGCONNECT_TIMEOUT", "10");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(failed)?;
        if let Some(mut input) = process.stdin.take() {
            // Who could not connect has ended without reading it, and says so itself.
            let _ = input.write_all(sql.as_bytes());
        }
        succeeded("psql", process.wait_with_output())
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("user", &self.user).field("host", &self.host).field("port", &self.port).finish()
    }
}

/// A database of one's own; dropped when this is, whoever still uses it.
#[derive(Debug)]
pub struct Database {
    server: Server,
    name: String,
}

impl Database {
    /// How to reach it, with user and password.
    pub fn dsn(&self) -> String {
        self.server.dsn_of(&self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As [`Server::run`], in this database.
    ///
    /// # Errors
    /// As [`Server::run`].
    pub fn run(&self, sql: &str) -> Result<Vec<u8>, Error> {
        self.server.run_in(&self.name, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped = self.server.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE);", self.name));
        // The server may have been killed on purpose, and takes the database with it then.
        if let Err(error) = dropped {
            eprintln!("the database {} stays behind: {error}", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dsn_is_taken_apart_and_what_is_none_is_not_repeated() {
        let Ok(binaries) = Binaries::find() else {
            eprintln!("skipped: there is no PostgreSQL here");
            return;
        };
        let dsn = "postgres://gateway:hunter2@127.0.0.1:15432/postgres";
        let server = Server::at(dsn, &binaries).unwrap();
        assert_eq!((server.dsn().as_str(), server.port()), (dsn, 15_432));
        assert!(!format!("{server:?}").contains("hunter2"));
        for wrong in ["hunter2", "postgres://hunter2", "postgres://a:hunter2@host/db", "sqlite://hunter2:a@b:1/c"] {
            let error = Server::at(wrong, &binaries).unwrap_err().to_string();
            assert!(error.contains("not a DSN") && !error.contains("hunter2"), "{error}");
        }
    }
}
