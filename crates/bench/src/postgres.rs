//! A hand in a PostgreSQL database from outside, while a gateway or pgbench works on it.

use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::sync::Mutex;

use crate::clock;

/// How long what a measurement left may take to be done.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A connection of the bench's own.
pub(crate) struct Hand(Mutex<PgConnection>);

impl Hand {
    /// Opens a database that somebody else serves.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn open(dsn: &str) -> Result<Self, String> {
        let options: PgConnectOptions = dsn.parse().map_err(|_| "not a DSN of PostgreSQL".to_owned())?;
        let connection = options.disable_statement_logging().connect().await;
        Ok(Self(Mutex::new(connection.map_err(|e| e.to_string())?)))
    }

    /// The number that a statement answers.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn number(&self, statement: &str) -> Result<i64, String> {
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(statement));
        query.fetch_one(&mut *self.0.lock().await).await.map_err(|e| e.to_string())
    }

    /// The text that a statement answers.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn text(&self, statement: &str) -> Result<String, String> {
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(statement));
        query.fetch_one(&mut *self.0.lock().await).await.map_err(|e| e.to_string())
    }

    /// Does what a statement says.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn run(&self, statement: &str) -> Result<(), String> {
        let mut connection = self.0.lock().await;
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await.map(drop).map_err(|e| e.to_string())
    }

    /// Waits until these tables are empty: what was begun has been done.
    ///
    /// # Errors
    /// They do not become empty.
    pub(crate) async fn settled(&self, tables: &[&str]) -> Result<(), String> {
        let counts: Vec<_> = tables.iter().map(|table| format!("(SELECT count(*) FROM {table})")).collect();
        let (left, began) = (format!("SELECT {}", counts.join(" + ")), clock::now());
        loop {
            match self.number(&left).await? {
                0 => return Ok(()),
                left if began.elapsed() > SETTLES_WITHIN => {
                    return Err(format!("{left} rows of {} are still there", tables.join(", ")));
                }
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Closes the connection, so that it keeps nobody from the database.
    pub(crate) async fn close(self) {
        let _ = self.0.into_inner().close().await;
    }
}
