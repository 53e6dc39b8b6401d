//! Opening the databases.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use super::{
    Config, Database, Deps, Inner, ShardMap, Shards, StoreError,
    database::{Name, begin},
    dsn::Dsn,
    postgres, schema, sqlite,
};

impl Config {
    /// Opens the databases and applies the migrations they lack; nothing is written unless all of them can be opened.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the database that cannot be opened or is not one of ours.
    pub async fn build(self, deps: Deps) -> Result<Shards, StoreError> {
        let opened = self.open().await?;
        let mut databases = Vec::with_capacity(opened.len());
        for (name, migrator) in opened {
            let open = async {
                schema::apply_missing(&migrator, &name).await?;
                can_write(&migrator).await?;
                let (writer, readers) = self.pools(&name.dsn, migrator).await?;
                Ok(Database { name: name.clone(), writer, readers })
            };
            databases.push(open.await.map_err(|error| cannot("open", &name, &error))?);
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
        for (name, migrator) in self.open().await? {
            let steps = schema::apply_missing(&migrator, &name).await;
            applied += steps.map_err(|error| cannot("migrate", &name, &error))?;
        }
        Ok(applied)
    }

    /// Every database with a connection that may write, none of them written to: one that cannot be reached stops the
    /// start before anything has changed.
    async fn open(&self) -> Result<Vec<(Name, DatabaseConnection)>, StoreError> {
        let opening = self.names()?.into_iter().map(|name| async {
            let opened = self.open_one(&name.dsn).await;
            opened.map_err(|error| cannot("open", &name, &error)).map(|migrator| (name, migrator))
        });
        join_all(opening).await.into_iter().collect()
    }

    async fn open_one(&self, dsn: &Dsn) -> Result<DatabaseConnection, StoreError> {
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
