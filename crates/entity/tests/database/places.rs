//! Where a test's databases lie.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use entity::{
    Shards, StoreConfig, StoreError,
    store::{Deps, Engine},
};
use runtime::{Entropy, Secret, task::Supervisor};
use sea_orm::DatabaseConnection;

use super::server;

/// Connections that write to each database of a test.
pub const WRITERS: u32 = 8;

/// Empty databases, removed at the end.
pub struct Places {
    folder: PathBuf,
    dsns: Vec<String>,
    servers: Vec<server::Database>,
}

impl Places {
    pub async fn make(engine: Engine, name: &str, count: usize) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{name}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("gateway-entity-{unique}"));
        let mut places = Self { folder, dsns: Vec::new(), servers: Vec::new() };
        for number in 1..=count {
            match engine {
                Engine::Sqlite => {
                    let file = places.folder.join(format!("gateway-{number}.db"));
                    places.dsns.push(format!("sqlite://{}", file.display()));
                }
                Engine::Postgres => {
                    let database = server::Database::create(&format!("{unique}-{number}"), number).await;
                    places.dsns.push(database.dsn.clone());
                    places.servers.push(database);
                }
            }
        }
        std::fs::create_dir_all(&places.folder).unwrap();
        places
    }

    /// A store on them, as a process that starts opens it.
    pub async fn store(&self) -> Result<Shards, StoreError> {
        self.store_with(StoreConfig::default()).await
    }

    pub async fn store_with(&self, config: StoreConfig) -> Result<Shards, StoreError> {
        Self::open(&self.dsns, config).await
    }

    /// A store on some of them, by their places from 0, in this order.
    pub async fn store_on(&self, places: &[usize]) -> Result<Shards, StoreError> {
        let dsns: Vec<String> = places.iter().map(|place| self.dsns[*place].clone()).collect();
        Self::open(&dsns, StoreConfig::default()).await
    }

    /// A store on any databases.
    pub async fn open(dsns: &[String], config: StoreConfig) -> Result<Shards, StoreError> {
        let shards = dsns.iter().map(Secret::new).collect();
        // A server has not as many connections for each of the tests that run at once as for a gateway.
        StoreConfig { shards, writers: config.writers.min(WRITERS), ..config }.build(deps()).await
    }

    pub async fn raw(&self, number: usize) -> DatabaseConnection {
        let dsn = &self.dsns[number];
        let dsn = if dsn.starts_with("sqlite:") { format!("{dsn}?mode=rwc") } else { dsn.clone() };
        let mut options = sea_orm::ConnectOptions::new(dsn);
        sea_orm::Database::connect(options.max_connections(1).to_owned()).await.unwrap()
    }

    pub fn dsns(&self) -> &[String] {
        &self.dsns
    }

    pub fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(&self.folder).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Every process draws numbers of its own.
fn deps() -> Deps {
    static SEED: AtomicU64 = AtomicU64::new(7);
    Deps {
        supervisor: Supervisor::new(&prometheus::Registry::new()).unwrap(),
        entropy: Entropy::seeded(SEED.fetch_add(1, Ordering::Relaxed)),
        on_commit: Arc::new(|_| {}),
    }
}
