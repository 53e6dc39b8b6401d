//! Opening the databases and bringing their schema up to date.

use std::{path::Path, sync::Arc};

use migrations::Migrator;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement, TransactionTrait,
    sqlx::{Connection, sqlite},
};
use sea_orm_migration::MigratorTrait;

use super::{Config, Deps, Inner, Shards, StoreError, Synchronous, immediate, line::Line, nice};

impl Config {
    /// Opens the databases and applies the migrations they lack.
    ///
    /// # Errors
    /// [`StoreError::Open`] when a file cannot be opened or is not a database.
    pub async fn build(self, deps: Deps) -> Result<Shards, StoreError> {
        let path = self.file()?;
        let opened = |error: StoreError| StoreError::Open(format!("cannot open {}: {error}", path.display()));
        let writer = self.connect(&path, 1).await.map_err(opened)?;
        apply_missing(&writer, &path).await.map_err(opened)?;
        can_write(&writer).await.map_err(opened)?;
        let readers = self.connect(&path, self.readers).await.map_err(opened)?;
        let line = Line::new(1, self.acquire_timeout());
        Ok(Shards(Arc::new(Inner { line, writer, readers, deps })))
    }

    /// Applies the migrations that are missing and names them, per database.
    ///
    /// # Errors
    /// [`StoreError::Open`] when a file cannot be opened or is not a database.
    pub async fn migrate(self) -> Result<Vec<String>, StoreError> {
        let path = self.file()?;
        let opened = |error: StoreError| StoreError::Open(format!("cannot migrate {}: {error}", path.display()));
        let writer = self.connect(&path, 1).await.map_err(opened)?;
        apply_missing(&writer, &path).await.map_err(opened)
    }

    fn file(&self) -> Result<std::path::PathBuf, StoreError> {
        let path =
            self.sqlite_path().ok_or_else(|| StoreError::Open("store.shards names no SQLite file".to_owned()))?;
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|e| StoreError::Open(format!("cannot create {}: {e}", folder.display())))?;
        }
        Ok(path.to_path_buf())
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
                    .thread_name(|number| format!("{}{number}", nice::NAME))
                    // What was deleted (a phone, a name) is overwritten, not only forgotten.
                    .pragma("secure_delete", "ON")
            })
            // SQLite rolls a failed COMMIT back (disk full), but the driver goes on counting an open transaction: the next
            // one would be a savepoint, acknowledged and never committed. Such a connection is closed.
            .map_sqlx_sqlite_pool_opts(|pool| {
                pool.after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
                    // Each has a thread of its own, also one that is opened anew.
                    .after_connect(|_, _| {
                        nice::give_way();
                        Box::pin(async { Ok(()) })
                    })
            });
        Ok(Database::connect(options).await?)
    }
}

/// Applies what is missing, one process at a time: those that start together wait for the first.
async fn apply_missing(writer: &DatabaseConnection, path: &Path) -> Result<Vec<String>, StoreError> {
    let _locked = lock(path.with_extension("migrate.lock")).await?;
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
    let names: Vec<String> = pending.iter().map(|step| step.name().to_owned()).collect();
    if !names.is_empty() {
        Migrator::up(writer, None).await?;
        tracing::info!(steps = names.join(", "), "schema brought up to date");
    }
    Ok(names)
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
