//! The PostgreSQL servers that a test may use.

use sea_orm::{ConnectOptions, ConnectionTrait};

/// DSNs of a user who may create databases, one a server.
const SERVERS: &str = "TEST_POSTGRES";

/// Whether there is a server; says so when not.
pub fn has_postgres() -> bool {
    let has_one = !servers().is_empty();
    if !has_one {
        eprintln!("skipped on PostgreSQL: {SERVERS} names no server");
    }
    has_one
}

#[allow(clippy::disallowed_methods, reason = "where the servers are is no setting of the product")]
fn servers() -> Vec<String> {
    let list = std::env::var(SERVERS).unwrap_or_default();
    list.split(',').map(str::trim).filter(|dsn| !dsn.is_empty()).map(str::to_owned).collect()
}

/// A database of one's own, dropped at the end.
pub struct Database {
    pub dsn: String,
    admin: String,
    name: String,
}

impl Database {
    /// An empty one on one of the servers: several of a test lie on different ones, as far as there are.
    pub async fn create(name: &str, number: usize) -> Self {
        let servers = servers();
        let admin = servers[number % servers.len()].clone();
        let name = format!("test-{name}");
        execute(&admin, &format!("CREATE DATABASE \"{name}\"")).await.unwrap();
        let (server, query) = admin.split_once('?').unwrap_or((&admin, ""));
        let (server, _) = server.rsplit_once('/').unwrap();
        let dsn = format!("{server}/{name}{}{query}", if query.is_empty() { "" } else { "?" });
        Self { dsn, admin, name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
        let admin = self.admin.clone();
        let dropping = async move { execute(&admin, &drop).await };
        let dropped = match tokio::runtime::Handle::try_current() {
            Ok(tokio) => tokio::task::block_in_place(|| tokio.block_on(dropping)),
            // The test has a runtime of its own, which is not this thread's.
            Err(_) => tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(dropping),
        };
        if let Err(error) = dropped {
            eprintln!("a test's database stays: {error}");
        }
    }
}

async fn execute(dsn: &str, sql: &str) -> Result<(), sea_orm::DbErr> {
    let mut options = ConnectOptions::new(dsn);
    let connection = sea_orm::Database::connect(options.max_connections(1).to_owned()).await?;
    connection.execute_unprepared(sql).await?;
    connection.close().await
}
