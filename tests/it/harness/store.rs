//! Where the gateways of the tests keep their data: `GATEWAY_TEST_STORE` is `sqlite` (one file, the default), `sqlite3`
//! (three files), `postgres` (a database) or `postgres3` (a database on each of three servers).
//!
//! The servers are those that `TEST_POSTGRES` names (DSNs, comma-separated), or servers of our own that go with this
//! process.

use std::{
    env, fs,
    io::Write as _,
    path::Path,
    process::Command,
    sync::OnceLock,
    thread::{self, current},
};

use clusters::{Binaries, Cluster, Database, Options, Server};

use super::process::{BINARY, Folder, variable};

/// The files of `sqlite3`; `sqlite` has the first.
const FILES: [&str; 3] = ["gateway.db", "gateway2.db", "gateway3.db"];

/// Every row of every table as it is kept: a `COPY` for each, run by psql.
const EVERYTHING: &str = "SELECT format('COPY %I.%I TO STDOUT (FORMAT binary)', schemaname, tablename) FROM pg_tables \
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema') \\gexec";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite(usize),
    Postgres(usize),
}

/// What this run was asked for.
fn kind() -> Kind {
    let asked = env::var_os("GATEWAY_TEST_STORE").unwrap_or_else(|| "sqlite".into());
    match asked.to_str() {
        Some("sqlite") => Kind::Sqlite(1),
        Some("sqlite3") => Kind::Sqlite(3),
        Some("postgres") => Kind::Postgres(1),
        Some("postgres3") => Kind::Postgres(3),
        _ => panic!("GATEWAY_TEST_STORE is {asked:?}; allowed are sqlite, sqlite3, postgres, postgres3"),
    }
}

/// Whether data lies in one SQLite file. If not, the test that asks is about such a file; it is skipped, and that is
/// said also of a test that passes.
pub(crate) fn on_one_file() -> bool {
    let on_one_file = kind() == Kind::Sqlite(1);
    if !on_one_file {
        skipped("being about a SQLite file");
    }
    on_one_file
}

/// Whether each gateway has a database on each of three servers.
pub(crate) fn has_three_servers() -> bool {
    kind() == Kind::Postgres(3)
}

/// The same for a test that is about such servers: elsewhere it is skipped, as by [`on_one_file`].
pub(crate) fn on_three_servers() -> bool {
    if !has_three_servers() {
        skipped("being about PostgreSQL");
    }
    has_three_servers()
}

fn skipped(why: &str) {
    let line = format!("skipped, {why}: {}\n", current().name().unwrap_or("a test"));
    // Not `eprintln`, which is kept back for tests that fail.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(list) = env::var_os("TEST_SKIPPED") {
        let list = fs::File::options().create(true).append(true).open(list);
        list.and_then(|mut list| list.write_all(line.as_bytes())).expect("the list of skipped tests");
    }
}

/// The databases of one gateway, its own from the first start to the end of the test.
pub(crate) enum Databases {
    /// Files in the gateway's folder.
    Sqlite(Vec<std::path::PathBuf>),
    /// Already migrated; dropped with this.
    Postgres(Vec<Database>),
}

impl Databases {
    /// New ones of the kind that this run is about. Blocks for some 0.1 s on PostgreSQL.
    pub(super) fn new(folder: &Folder) -> Self {
        match kind() {
            Kind::Sqlite(count) => Self::Sqlite(FILES[..count].iter().map(|file| folder.path().join(file)).collect()),
            Kind::Postgres(count) => {
                Self::Postgres(each(&templates()[..count], |(server, template)| create(server, Some(template))))
            }
        }
    }

    /// How to reach them.
    pub(super) fn dsns(&self) -> Vec<String> {
        match self {
            Self::Sqlite(files) => files.iter().map(|file| format!("sqlite://{}", file.display())).collect(),
            Self::Postgres(databases) => databases.iter().map(Database::dsn).collect(),
        }
    }

    /// Every byte that is kept of every row.
    pub(super) fn stored(&self) -> Vec<u8> {
        match self {
            Self::Sqlite(files) => files.iter().flat_map(|file| with_files_beside(file)).collect(),
            Self::Postgres(databases) => each(databases, |database| database.run(EVERYTHING).expect("a copy")).concat(),
        }
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        if let Self::Postgres(databases) = self {
            thread::scope(|scope| databases.drain(..).for_each(|database| drop(scope.spawn(move || drop(database)))));
        }
    }
}

/// A SQLite file and its log, whose names begin alike.
fn with_files_beside(file: &Path) -> Vec<u8> {
    let (folder, name) = (file.parent().expect("a folder"), file.file_name().expect("a name").to_string_lossy());
    let entries = fs::read_dir(folder).expect("the gateway's folder").map(|entry| entry.expect("a file").path());
    let beside =
        entries.filter(|path| path.file_name().is_some_and(|other| other.to_string_lossy().starts_with(&*name)));
    beside.flat_map(|path| fs::read(path).expect("a file of the database")).collect()
}

/// For each server a database that the gateway has migrated: copies of it are made in less time than a migration takes.
fn templates() -> &'static [(Server, Database)] {
    static TEMPLATES: OnceLock<Vec<(Server, Database)>> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        let Kind::Postgres(count) = kind() else { unreachable!("asked on PostgreSQL only") };
        let servers = servers(count);
        let databases = each(&servers, |server| create(server, None));
        migrate(&databases);
        servers.into_iter().zip(databases).collect()
    })
}

/// As many servers as asked.
fn servers(count: usize) -> Vec<Server> {
    // Never dropped: when this process ends, however it does, their keepers end them.
    static OURS: OnceLock<Vec<Cluster>> = OnceLock::new();
    let binaries = Binaries::find().unwrap_or_else(|error| panic!("{error}"));
    if let Some(given) = env::var_os("TEST_POSTGRES") {
        let given = given.into_string().expect("TEST_POSTGRES is text");
        let servers: Vec<_> = given.split(',').map(|dsn| Server::at(dsn, &binaries).expect("TEST_POSTGRES")).collect();
        assert!(servers.len() >= count, "TEST_POSTGRES names {} of {count} servers", servers.len());
        return servers.into_iter().take(count).collect();
    }
    let ours = OURS.get_or_init(|| {
        Cluster::start_many(count, &binaries, &Options::default()).unwrap_or_else(|error| panic!("{error}"))
    });
    ours.iter().map(|cluster| cluster.server().clone()).collect()
}

fn create(server: &Server, template: Option<&Database>) -> Database {
    server.create_database(template).unwrap_or_else(|error| panic!("{error}"))
}

/// The gateway's own work, as it would do at its first start.
fn migrate(databases: &[Database]) {
    let folder = Folder::new();
    let dsns: Vec<_> = databases.iter().map(Database::dsn).collect();
    let mut command = Command::new(BINARY);
    command.arg("migrate").current_dir(folder.path()).env(variable("store.shards"), dsns.join(","));
    let output = command.output().expect("the built binary starts");
    assert!(output.status.success(), "migrating: {}", String::from_utf8_lossy(&output.stderr));
}

/// At once for all of them.
fn each<T: Sync, R: Send>(all: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let acting: Vec<_> = all.iter().map(|one| scope.spawn(|| act(one))).collect();
        acting.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Gateway;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_gateways_databases_are_its_own_and_go_with_it() {
        let (one, other) = (Gateway::start().await, Gateway::start().await);
        let phone = one.passenger().await.phone;
        let knows = |gateway: &Gateway| {
            let stored = gateway.stored();
            assert!(stored.len() > 50, "the steps that were applied, at least");
            stored.windows(phone.len()).any(|bytes| bytes == phone.as_bytes())
        };
        assert!(knows(&one) && !knows(&other));
        let (dsns, others) = (one.dsns(), other.dsns());
        assert!(dsns.iter().all(|dsn| !others.contains(dsn)), "each has its own");
        assert_eq!(one.passwords().len(), if kind() == Kind::Postgres(dsns.len()) { dsns.len() } else { 0 });
        drop(one);
        for dsn in dsns {
            assert!(sea_orm::Database::connect(&dsn).await.is_err(), "it is still there");
        }
        for dsn in others {
            assert!(sea_orm::Database::connect(&dsn).await.is_ok(), "nobody ended it");
        }
    }
}
