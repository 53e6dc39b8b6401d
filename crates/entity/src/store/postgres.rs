//! Connections to PostgreSQL.

use std::time::Duration;

use sea_orm::{
    DatabaseConnection,
    sqlx::{
        self, ConnectOptions, Connection,
        postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
    },
};

use super::StoreError;

/// What an operator sees in `pg_stat_activity`.
const APPLICATION: &str = "passenger-gateway";

/// A connection that was idle for longer is asked whether it still lives before it is used.
const ASKED_AFTER: Duration = Duration::from_secs(1);

/// Connects once, to say in plain words why it cannot be done: a pool would only say that it waited.
pub(super) async fn probe(options: &PgConnectOptions, timeout: Duration) -> Result<(), StoreError> {
    let told = |error: sqlx::Error| StoreError::Open(reason(&error));
    let connecting = PgConnection::connect_with(options);
    match tokio::time::timeout(timeout, connecting).await {
        Ok(Ok(connection)) => connection.close().await.map_err(told),
        Ok(Err(error)) => Err(told(error)),
        Err(_) => Err(StoreError::Open(format!("no answer within {} s", timeout.as_secs()))),
    }
}

/// What the server or the system said, without anything of the DSN.
fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(said) => match said.code().as_deref() {
            // The server's text names the user.
            Some("28P01" | "28000") => "it refuses this user or password".to_owned(),
            _ => said.message().to_owned(),
        },
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Connections for what passengers wait for: a statement may wait for a lock as long as they for a connection, and take
/// twice that in all; a transaction that does nothing for four times as long has lost its owner.
pub(super) async fn pool(
    options: &PgConnectOptions,
    connections: u32,
    wait: Duration,
) -> Result<DatabaseConnection, sqlx::Error> {
    let ms = |times: u32| (wait * times).as_millis().to_string();
    let limits =
        [("lock_timeout", ms(1)), ("statement_timeout", ms(2)), ("idle_in_transaction_session_timeout", ms(4))];
    connect(options.clone().options(limits), connections, wait).await
}

/// One connection for migrations, which may take their time. Those who wait for another process do so for a minute.
pub(super) async fn for_migrations(
    options: &PgConnectOptions,
    wait: Duration,
) -> Result<DatabaseConnection, sqlx::Error> {
    // That a table is there already is no news: the migration library asks for its own again and again.
    let limits = [("lock_timeout", "60000"), ("client_min_messages", "warning")];
    connect(options.clone().options(limits), 1, wait).await
}

async fn connect(
    options: PgConnectOptions,
    connections: u32,
    wait: Duration,
) -> Result<DatabaseConnection, sqlx::Error> {
    let options = options.application_name(APPLICATION);
    // As on SQLite: with `runtime.log = "info,sqlx=debug"` every statement is logged, its values never.
    let options = match tracing::enabled!(target: "sqlx::query", tracing::Level::DEBUG) {
        true => options,
        false => options.disable_statement_logging(),
    };
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(wait)
        // Asking each time would double the way to the server; one that was used a moment ago lives, or its statement says so.
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for >= ASKED_AFTER {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        // A transaction that could be neither committed nor rolled back must not become part of the next one.
        .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await?;
    Ok(DatabaseConnection::from(pool))
}
