//! Opening the databases.

use std::{
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use futures_util::future::join_all;
use runtime::{Entropy, Stopwatch};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use super::{
    Config, Database, Deps, Inner, Routes, Shards, StoreError,
    database::{Name, begin},
    dsn::Dsn,
    follow,
    identity::Identity,
    line::Line,
    map::ShardMap,
    muster::{self, Start},
    postgres, schema, sqlite,
};

/// How often the databases are asked again when somebody else makes the store at the same time.
const RACES: u32 = 5;

impl Config {
    /// Opens the databases and applies the migrations they lack; nothing is written unless all of them can be opened and are
    /// those of one store, in their places.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the database that cannot be opened or is not the one that belongs there.
    pub async fn build(self, deps: Deps) -> Result<Shards, StoreError> {
        let opened = self.open().await?;
        let (map, _) = settle(&opened, &deps.entropy).await?;
        let mut databases = Vec::with_capacity(opened.len());
        for (name, migrator) in opened {
            let line = Line::new(self.turns(&name.dsn), self.acquire_timeout());
            let pools = self.pools(&name.dsn, migrator).await;
            let (writer, readers) = pools.map_err(|error| cannot("open", &name, &error))?;
            tracing::info!(database = %name, holds = %map.held_by(name.number), "opened");
            let not_here = Mutex::new(Arc::default());
            let (moves, looked) = (Mutex::default(), AtomicU64::default());
            databases.push(Database { name, line, writer, readers, not_here, moves, looked });
        }
        // A connection, and twice that for the statement.
        let patience = self.acquire_timeout() * 3;
        let routes = Routes::new(&map, databases.len());
        // A node that finds a shard closed for too long opens it again: whoever waits sees that.
        let move_patience = self.acquire_timeout() + follow::ABANDONED;
        let (opened, looking) = (Stopwatch::start(), tokio::sync::Mutex::default());
        Ok(Shards(Arc::new(Inner { databases, routes, patience, move_patience, opened, looking, deps })))
    }

    /// Applies the migrations that are missing and says how many there were, in all databases together. At the first start
    /// each is given its part of the shards.
    ///
    /// # Errors
    /// As [`Config::build`].
    pub async fn migrate(self, entropy: &Entropy) -> Result<usize, StoreError> {
        let (_, applied) = settle(&self.open().await?, entropy).await?;
        Ok(applied)
    }

    /// Every database with a connection that may write, none of them written to: one that cannot be reached stops the
    /// start before anything has changed.
    async fn open(&self) -> Result<Vec<(Name, DatabaseConnection)>, StoreError> {
        let opening = self.names()?.into_iter().map(|name| async {
            let open = async {
                let migrator = self.open_one(&name.dsn).await?;
                can_write(&migrator).await?;
                Ok(migrator)
            };
            let opened = open.await;
            opened.map_err(|error| cannot("open", &name, &error)).map(|migrator| (name, migrator))
        });
        join_all(opening).await.into_iter().collect()
    }

    pub(super) async fn open_one(&self, dsn: &Dsn) -> Result<DatabaseConnection, StoreError> {
        match dsn {
            Dsn::Sqlite(path) => {
                if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
                    let made = std::fs::create_dir_all(folder);
                    made.map_err(|e| StoreError::Open(format!("cannot create {}: {e}", folder.display())))?;
                }
                Ok(sqlite::connect(self, path, 1).await?)
            }
            Dsn::Postgres(options) => {
                postgres::probe(options, self.acquire_timeout()).await?;
                postgres::for_migrations(options, self.acquire_timeout()).await.map_err(in_a_pool)
            }
        }
    }

    /// How many write at the same time.
    fn turns(&self, dsn: &Dsn) -> usize {
        match dsn {
            Dsn::Sqlite(_) => 1,
            Dsn::Postgres(_) => usize::try_from(self.writers).unwrap_or(1),
        }
    }

    /// The writers and the readers.
    async fn pools(
        &self,
        dsn: &Dsn,
        migrator: DatabaseConnection,
    ) -> Result<(DatabaseConnection, DatabaseConnection), StoreError> {
        match dsn {
            // The connection that migrated goes on as the one that writes.
            Dsn::Sqlite(path) => Ok((migrator, sqlite::connect(self, path, self.readers).await?)),
            Dsn::Postgres(options) => {
                migrator.close().await?;
                let pool = |connections| postgres::pool(options, connections, self.acquire_timeout());
                Ok((pool(self.writers).await.map_err(in_a_pool)?, pool(self.readers).await.map_err(in_a_pool)?))
            }
        }
    }

    pub(super) fn acquire_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.acquire_timeout_s))
    }
}

/// Makes sure that these are the databases of one store, then brings their schema up to date and gives a part to those that
/// have none. Where every shard lies, and how many steps were applied.
async fn settle(databases: &[(Name, DatabaseConnection)], entropy: &Entropy) -> Result<(ShardMap, usize), StoreError> {
    let mut applied = 0;
    for _ in 0..RACES {
        let start = ask_all(databases).await?;
        for (name, connection) in databases {
            let steps = schema::apply_missing(connection, name).await;
            applied += steps.map_err(|error| cannot("migrate", name, &error))?;
        }
        match start {
            Start::First => {
                let store = i64::from_be_bytes(entropy.bytes()) & i64::MAX;
                if let Some(map) = muster::give_parts(databases, store).await? {
                    return Ok((map, applied));
                }
            }
            Start::Known { identity, map, joining, behind } => {
                for place in joining {
                    let (name, connection) = &databases[place];
                    muster::join(name, connection, Identity { place, ..identity }, &map, false).await?;
                    tracing::info!(database = %name, "it is new and holds no shard until one is moved to it");
                }
                for place in behind {
                    muster::tell(&databases[place].1, Identity { place, ..identity }, &map).await?;
                }
                return Ok((map, applied));
            }
        }
    }
    Err(StoreError::Busy("somebody else makes the store at the same time".to_owned()))
}

/// What the start has to do. Another node may make the store while the databases are asked one after the other: what looks
/// wrong must look the same again.
async fn ask_all(databases: &[(Name, DatabaseConnection)]) -> Result<Start, StoreError> {
    let names: Vec<&Name> = databases.iter().map(|(name, _)| name).collect();
    let mut before = None;
    loop {
        let mut found = Vec::with_capacity(databases.len());
        for (name, connection) in databases {
            found.push(muster::ask(connection).await.map_err(|error| cannot("open", name, &error))?);
        }
        match muster::judge(&names, &found) {
            Ok(start) => return Ok(start),
            Err(wrong) if before.as_ref() == Some(&found) => return Err(StoreError::Open(wrong)),
            Err(_) => before = Some(found),
        }
    }
}

fn in_a_pool(error: sea_orm::sqlx::Error) -> StoreError {
    StoreError::from(DbErr::Conn(sea_orm::RuntimeErr::SqlxError(Arc::new(error))))
}

fn cannot(what: &str, name: &Name, error: &StoreError) -> StoreError {
    StoreError::Open(format!("cannot {what} {name}: {error}"))
}

/// Fails where every write would: a file or folder that this process may only read, a server that only follows another.
async fn can_write(connection: &DatabaseConnection) -> Result<(), StoreError> {
    match connection.get_database_backend() {
        DbBackend::Postgres => {
            let asked = Statement::from_string(DbBackend::Postgres, "SHOW transaction_read_only");
            let row = connection.query_one_raw(asked).await?;
            match row.map(|row| row.try_get_by_index::<String>(0)).transpose()?.as_deref() {
                Some("off") => Ok(()),
                _ => Err(StoreError::Open("it takes no writes: a standby, or set to read only".to_owned())),
            }
        }
        _ => {
            let tx = begin(connection).await?;
            tx.execute_unprepared("CREATE TABLE write_probe (probe INTEGER)").await?;
            Ok(tx.rollback().await?)
        }
    }
}
