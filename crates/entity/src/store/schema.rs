//! Bringing the schema of a database up to date, one process at a time.

use std::path::PathBuf;

use migrations::{Migrator, citus};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait};
use sea_orm_migration::{IntoSchemaManagerConnection, MigratorTrait};

use super::{StoreError, database::Name, dsn::Dsn, error::sqlstate};

/// The migration library's own table.
pub(super) const APPLIED: &str = "seaql_migrations";
/// The step since which a shard map knows of moves.
pub(super) const MOVES: &str = "m0007_shard_moves";
/// On PostgreSQL whoever migrates holds its only row.
const LOCK: &str = "migration_lock";

/// Applies what is missing; those that start together wait for the first. How many steps it was.
pub(super) async fn apply_missing(connection: &DatabaseConnection, database: &Name) -> Result<usize, StoreError> {
    let steps = match &database.dsn {
        Dsn::Sqlite(path) => {
            let _locked = lock(path.with_extension("migrate.lock")).await?;
            apply(connection).await?
        }
        Dsn::Postgres(_) => {
            make_the_lock(connection).await?;
            // All steps or none, and the lock is free again however this process ends.
            let tx = connection.begin().await?;
            let lock = format!("SELECT id FROM {LOCK} WHERE id = 1 FOR UPDATE");
            tx.query_one_raw(Statement::from_string(DbBackend::Postgres, lock)).await?;
            let is_cluster = citus::is_present(&tx).await?;
            if is_cluster {
                citus::begin(&tx).await?;
            }
            let steps = apply(&tx).await?;
            if is_cluster {
                let tables = citus::distribute(&tx).await?;
                if !tables.is_empty() {
                    tracing::info!(%database, tables = tables.join(", "), "a Citus cluster: distributed by shard");
                }
            }
            tx.commit().await?;
            steps
        }
    };
    match steps.as_slice() {
        [] => tracing::info!(%database, "the schema is up to date"),
        steps => tracing::info!(%database, steps = steps.join(", "), "schema brought up to date"),
    }
    Ok(steps.len())
}

async fn apply<'c, C>(connection: &'c C) -> Result<Vec<String>, StoreError>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    let pending = Migrator::get_pending_migrations(connection).await?;
    let steps: Vec<String> = pending.iter().map(|step| step.name().to_owned()).collect();
    if !steps.is_empty() {
        Migrator::up(connection, None).await?;
    }
    Ok(steps)
}

/// The steps that were applied to a database; one with a step that this program does not know is refused.
pub(super) async fn applied(connection: &impl ConnectionTrait) -> Result<Vec<String>, StoreError> {
    let steps = texts(connection, &format!("SELECT version FROM {APPLIED} ORDER BY version")).await?;
    let known = Migrator::migrations();
    match steps.iter().find(|step| known.iter().all(|known| known.name() != step.as_str())) {
        Some(step) => {
            Err(StoreError::Open(format!("it was written by a newer version of this program, with the step {step}")))
        }
        None => Ok(steps),
    }
}

/// Refuses a database that holds tables, none of them made by this program.
pub(super) fn refuse_another_program(tables: &[String]) -> Result<(), StoreError> {
    match tables.first() {
        Some(table) if !tables.iter().any(|name| name == APPLIED || name == LOCK) => {
            Err(StoreError::Open(format!("it belongs to another program: it has a table `{table}` and none of ours")))
        }
        _ => Ok(()),
    }
}

/// The tables of a database, by name.
pub(super) async fn tables(connection: &impl ConnectionTrait) -> Result<Vec<String>, StoreError> {
    let tables = match connection.get_database_backend() {
        // What an extension made is nobody's data.
        DbBackend::Postgres => {
            "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace \
             AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e') ORDER BY relname"
        }
        _ => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    };
    texts(connection, tables).await
}

async fn texts(connection: &impl ConnectionTrait, query: &str) -> Result<Vec<String>, StoreError> {
    let statement = Statement::from_string(connection.get_database_backend(), query);
    let rows = connection.query_all_raw(statement).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}

/// Makes the table of the lock with its row. Several processes may try at once, and PostgreSQL tells the slower ones that it
/// is there although they said that it may be.
async fn make_the_lock(connection: &DatabaseConnection) -> Result<(), StoreError> {
    let table = format!("CREATE TABLE IF NOT EXISTS {LOCK} (id smallint CONSTRAINT pk_{LOCK} PRIMARY KEY)");
    let row = format!("INSERT INTO {LOCK} (id) VALUES (1) ON CONFLICT DO NOTHING");
    match connection.execute_unprepared(&table).await {
        Err(error) if is_there_already(&error) => {}
        made => {
            made?;
        }
    }
    connection.execute_unprepared(&row).await?;
    Ok(())
}

fn is_there_already(error: &DbErr) -> bool {
    // unique_violation in the catalogue, duplicate_table, duplicate_object (the type of its rows)
    matches!(sqlstate(error).as_deref(), Some("23505" | "42P07" | "42710"))
}

/// A lock that the operating system frees when the file is closed, however the process ends.
async fn lock(path: PathBuf) -> Result<std::fs::File, StoreError> {
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
