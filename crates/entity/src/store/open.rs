//! Opening the databases and bringing their schema up to date.

use std::{path::Path, sync::Arc};

use migrations::Migrator;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait,
    sqlx::{Connection, sqlite},
};
use sea_orm_migration::MigratorTrait;

use super::{Config, Database, Deps, Inner, ShardMap, Shards, StoreError, Synchronous, database::Name, immediate};

impl Config {
    /// Opens the databases and applies the migrations they lack; nothing is written unless all of them can be opened.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the database that cannot be opened or is not one of ours.
    pub async fn build(self, deps: Deps) -> Result<Shards, StoreError> {
        let opened = self.open().await?;
        let mut databases = Vec::with_capacity(opened.len());
        for (name, writer) in opened {
            apply_missing(&writer, &name).await.map_err(|e| cannot("open", &name, e))?;
            can_write(&writer).await.map_err(|e| cannot("open", &name, e))?;
            let readers = self.connect(&name.path, self.readers).await.map_err(|e| cannot("open", &name, e))?;
            databases.push(Database { name, writer, readers });
        }
        let map = ShardMap::by_range(databases.len());
        Ok(Shards(Arc::new(Inner { databases, map, deps })))
    }

    /// Applies the migrations that are missing and says how many there were, in all databases together.
    ///
    /// # Errors
    /// As [`Config::build`].
    pub async fn migrate(self) -> Result<usize, StoreError> {
        let mut applied = 0;
        for (name, writer) in self.open().await? {
            applied += apply_missing(&writer, &name).await.map_err(|e| cannot("migrate", &name, e))?;
        }
        Ok(applied)
    }

    /// Every database with its writer, none of them written to.
    async fn open(&self) -> Result<Vec<(Name, DatabaseConnection)>, StoreError> {
        let mut opened = Vec::with_capacity(self.shards.len());
        for name in self.names()? {
            if let Some(folder) = name.path.parent().filter(|f| !f.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)
                    .map_err(|e| StoreError::Open(format!("cannot create {}: {e}", folder.display())))?;
            }
            let writer = self.connect(&name.path, 1).await.map_err(|e| cannot("open", &name, e))?;
            opened.push((name, writer));
        }
        Ok(opened)
    }

    async fn connect(&self, path: &Path, connections: u32) -> Result<DatabaseConnection, StoreError> {
        let synchronous = match self.synchronous {
            Synchronous::Full => sqlite::SqliteSynchronous::Full,
            Synchronous::Normal => sqlite::SqliteSynchronous::Normal,
        };
        let (file, busy) = (path.to_path_buf(), self.acquire_timeout());
        let mut options = ConnectOptions::new("sqlite://replaced-below");
        options
            .max_connections(connections)
            .min_connections(connections)
            .acquire_timeout(self.acquire_timeout())
            // Nobody hangs up on a file, and the pool asks each connection anyway when it comes back: asked at both ends, a
            // read of one row would wake its connection's thread three times.
            .test_before_acquire(false)
            // With `runtime.log = "info,sqlx=debug"` every statement is logged, its values never. Asked once: a driver that
            // may log counts the time of each statement.
            .sqlx_logging(tracing::enabled!(target: "sqlx::query", tracing::Level::DEBUG))
            // The file is given as a path, not as a URL: any name works and no query string changes the settings.
            .map_sqlx_sqlite_opts(move |sqlite| {
                sqlite
                    .filename(&file)
                    .create_if_missing(true)
                    .journal_mode(sqlite::SqliteJournalMode::Wal)
                    .synchronous(synchronous)
                    .foreign_keys(true)
                    .busy_timeout(busy)
                    // What was deleted (a phone, a name) is overwritten, not only forgotten.
                    .pragma("secure_delete", "ON")
            })
            // SQLite rolls a failed COMMIT back (disk full), but the driver goes on counting an open transaction: the next
            // one would be a savepoint, acknowledged and never committed. Such a connection is closed.
            .map_sqlx_sqlite_pool_opts(|pool| {
                pool.after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            });
        Ok(sea_orm::Database::connect(options).await?)
    }
}

fn cannot(what: &str, name: &Name, error: StoreError) -> StoreError {
    StoreError::Open(format!("cannot {what} {name}: {error}"))
}

/// Applies what is missing, one process at a time: those that start together wait for the first. How many steps it was.
async fn apply_missing(writer: &DatabaseConnection, database: &Name) -> Result<usize, StoreError> {
    let _locked = lock(database.path.with_extension("migrate.lock")).await?;
    if let Some(table) = table_of_another_program(writer).await? {
        return Err(StoreError::Open(format!(
            "it belongs to another program: it has a table `{table}` and none of ours"
        )));
    }
    let known = Migrator::migrations();
    let applied = Migrator::get_migration_models(writer).await?;
    if let Some(newer) = applied.iter().find(|step| known.iter().all(|known| known.name() != step.version)) {
        let step = &newer.version;
        return Err(StoreError::Open(format!(
            "it was written by a newer version of this program, with the step {step}"
        )));
    }
    let pending = Migrator::get_pending_migrations(writer).await?;
    let names: Vec<&str> = pending.iter().map(|step| step.name()).collect();
    if !names.is_empty() {
        Migrator::up(writer, None).await?;
        tracing::info!(%database, steps = names.join(", "), "schema brought up to date");
    }
    Ok(names.len())
}

/// A table in a database that no migration of ours was ever applied to.
async fn table_of_another_program(writer: &DatabaseConnection) -> Result<Option<String>, StoreError> {
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let rows = writer.query_all_raw(Statement::from_string(DbBackend::Sqlite, tables)).await?;
    let names = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<Vec<String>, _>>()?;
    let is_ours = names.iter().any(|name| name == "seaql_migrations");
    Ok(names.into_iter().next().filter(|_| !is_ours))
}

/// A lock that the operating system frees when the file is closed, however the process ends.
async fn lock(path: std::path::PathBuf) -> Result<std::fs::File, StoreError> {
    let locked = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::options().create(true).truncate(false).write(true).open(&path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    match locked.await {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => Err(StoreError::Open(format!("cannot lock for the migration: {error}"))),
        Err(panic) => Err(StoreError::Task(panic.to_string())),
    }
}

/// Fails where every write would: a file or folder that this process may only read.
async fn can_write(writer: &DatabaseConnection) -> Result<(), StoreError> {
    let tx = writer.begin_with_options(immediate()).await?;
    tx.execute_unprepared("CREATE TABLE write_probe (probe INTEGER)").await?;
    Ok(tx.rollback().await?)
}
