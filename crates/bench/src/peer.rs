//! The peer: the gateway's statements, straight through the driver, in a process of its own. No HTTP, no tokens, no JSON, no
//! rules: what is left is what the database costs in any case.

use std::{
    io::{BufRead, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use sqlx::{
    ConnectOptions, Connection, Executor, Row, Sqlite, SqlitePool, TypeInfo, ValueRef,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::task::JoinSet;

use crate::{
    clock,
    statements::{GET, Gives, POST, Statement, Unit, Values},
};

/// What the bench starts a peer with.
#[derive(Args)]
pub(crate) struct Options {
    /// A copy of the gateway's database
    #[arg(long)]
    database: PathBuf,
    /// [`Work`] as JSON
    #[arg(long)]
    work: PathBuf,
}

/// What there is to do.
#[derive(Serialize, Deserialize)]
pub(crate) struct Work {
    /// What a POST keeps for replays; every one as long as this.
    pub(crate) answer: String,
    /// Passengers and their quotes.
    pub(crate) passengers: Vec<(i64, i64)>,
}

/// First millisecond of ids: 2024-01-01.
const EPOCH_MS: i64 = 1_704_067_200_000;
/// As in the product's defaults (`store.readers`, `store.acquire_timeout_s`).
const READERS: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes `post TIMES CONCURRENCY` and `get TIMES CONCURRENCY` from standard input, one a line, and says `done` to each.
///
/// # Errors
/// In words.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let text = std::fs::read_to_string(&options.work).map_err(|e| e.to_string())?;
    let work: Work = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let pools = Pools { writer: options.pool(1).await?, readers: options.pool(READERS).await? };
    let mut waiting = work.passengers.into_iter();
    let mut newest = Vec::new();
    say_done()?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let words: Vec<&str> = line.split(' ').collect();
        let [what, times, concurrency] = words[..] else { return Err(format!("`{line}` is no command")) };
        let times = times.parse().map_err(|_| format!("`{line}`: how often?"))?;
        let concurrency = concurrency.parse().map_err(|_| format!("`{line}`: how many at once?"))?;
        if what == "post" {
            let passengers = waiting.by_ref().take(times).enumerate();
            newest = passengers.map(|(number, who)| Arc::new(Values::new(number, who, &work.answer))).collect();
            pools.execute(POST, newest.clone(), concurrency).await?;
        } else {
            let rides = newest.iter().cycle().take(times).cloned().collect();
            pools.execute(GET, rides, concurrency).await?;
        }
        say_done()?;
    }
    Ok(())
}

fn say_done() -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "done").and_then(|()| out.flush()).map_err(|e| e.to_string())
}

impl Values {
    fn new(number: usize, (passenger, quote): (i64, i64), answer: &str) -> Self {
        let now = clock::unix_ms();
        let shard = passenger & 1023;
        let ride = ((now - EPOCH_MS) << 22) | ((number as i64 & 4095) << 10) | shard;
        let (key, answer) = (format!("bench-{quote}"), answer.to_owned());
        Self { shard: shard as i16, passenger, quote, ride, now, key, answer }
    }
}

impl Options {
    /// The product's own settings (`entity/src/store/open.rs`).
    async fn pool(&self, connections: u32) -> Result<SqlitePool, String> {
        let sqlite = SqliteConnectOptions::new()
            .filename(&self.database)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(ACQUIRE_TIMEOUT)
            .pragma("secure_delete", "ON")
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            .min_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }));
        pool.connect_with(sqlite).await.map_err(|e| e.to_string())
    }
}

/// One connection that writes, some that read.
#[derive(Clone)]
struct Pools {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Pools {
    /// The units once for each set of values, `concurrency` sets at a time.
    async fn execute(
        &self,
        units: &'static [Unit],
        values: Vec<Arc<Values>>,
        concurrency: usize,
    ) -> Result<(), String> {
        let (values, next) = (Arc::new(values), Arc::new(AtomicUsize::new(0)));
        let mut workers = JoinSet::new();
        for _ in 0..concurrency {
            let (pools, values, next) = (self.clone(), values.clone(), next.clone());
            workers.spawn(async move {
                while let Some(values) = values.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for unit in units {
                        pools.unit(unit, values).await?;
                    }
                }
                Ok::<_, sqlx::Error>(())
            });
        }
        // The first that fails ends the others: nobody goes on writing behind an error.
        while let Some(ended) = workers.join_next().await {
            ended.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    async fn unit(&self, unit: &Unit, values: &Values) -> Result<(), sqlx::Error> {
        match unit {
            Unit::Read(statement) => statement.run(&self.readers, values).await,
            Unit::Write(statements) => {
                let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
                for statement in *statements {
                    statement.run(&mut *transaction, values).await?;
                }
                transaction.commit().await
            }
        }
    }
}

impl Statement {
    async fn run<'c>(&self, on: impl Executor<'c, Database = Sqlite>, values: &Values) -> Result<(), sqlx::Error> {
        let query = (self.bind)(sqlx::query(self.sql), values);
        match self.gives {
            Gives::Nothing => query.execute(on).await.map(drop),
            Gives::OneRow => query.fetch_optional(on).await?.iter().try_for_each(take),
            Gives::Rows => query.fetch_all(on).await?.iter().try_for_each(take),
        }
    }
}

/// Takes every column over, as its own type.
fn take(row: &SqliteRow) -> Result<(), sqlx::Error> {
    for column in 0..row.len() {
        let value = row.try_get_raw(column)?;
        if value.is_null() {
            continue;
        }
        match value.type_info().name() {
            "INTEGER" => drop(std::hint::black_box(row.try_get::<i64, _>(column)?)),
            "TEXT" => drop(std::hint::black_box(row.try_get::<String, _>(column)?)),
            _ => drop(std::hint::black_box(row.try_get_unchecked::<Vec<u8>, _>(column)?)),
        }
    }
    Ok(())
}
