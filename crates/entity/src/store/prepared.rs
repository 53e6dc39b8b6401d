//! Ending transactions that the server itself keeps prepared. That cannot be done inside a transaction, so not through the
//! one door for writes; it begins none either.

use migrations::citus;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{Engine, Shards, StoreError, error::sqlstate, line::Turn};
use crate::value::Shard;

impl Shards {
    /// Runs `COMMIT PREPARED` or `ROLLBACK PREPARED` in the database of `shard`, in a task of its own; `false` when it has no
    /// such transaction.
    pub(crate) async fn end_prepared(&self, shard: Shard, command: String) -> Result<bool, StoreError> {
        let (shards, database) = (self.clone(), self.0.routes.database_of(shard));
        let run = self.0.deps.supervisor.run("write-transaction", async move {
            let database = &shards.0.databases[database];
            // Others wait for what it holds.
            let _at_head = database.line.wait(Turn::First).await?;
            let ended = database.writer.execute_unprepared(&command).await;
            ended.map(|_| true).or_else(|error| match sqlstate(&error).as_deref() {
                Some("42704") => Ok(false),
                // Somebody else is ending it in this moment.
                Some("55000") => Err(StoreError::Busy(error.to_string())),
                _ => Err(error.into()),
            })
        });
        run.await.unwrap_or_else(|error| Err(StoreError::from(error)))
    }

    /// Why transactions cannot be prepared on every database; `None` when they can.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails.
    pub async fn cannot_prepare(&self) -> Result<Option<String>, StoreError> {
        for database in self.databases() {
            let conn = database.conn();
            if conn.engine() != Engine::Postgres {
                return Ok(Some(format!("{} is not PostgreSQL", database.name)));
            }
            if citus::is_present(&conn.0).await? {
                // It commits in two phases by itself, and lets nobody else do so.
                return Ok(Some(format!(
                    "{} is a Citus cluster, which takes no PREPARE TRANSACTION; \"outbox\" and \"tcc\" work there",
                    database.name
                )));
            }
            let shown = Statement::from_string(DbBackend::Postgres, "SHOW max_prepared_transactions");
            let row = conn.0.query_one_raw(shown).await?;
            let most: Option<String> = row.map(|row| row.try_get_by_index(0)).transpose()?;
            if most.as_deref() == Some("0") {
                return Ok(Some(format!("max_prepared_transactions is 0 on {}", database.name)));
            }
        }
        Ok(None)
    }
}
