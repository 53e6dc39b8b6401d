//! Many rides that came to their end, made inside the databases: what a gateway would have written in two months.

use std::{fmt::Write as _, path::PathBuf};

use clusters::Database;
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, Connection, Executor, sqlite::SqliteConnectOptions};

/// The first millisecond of ids, 2024-01-01.
pub(crate) const EPOCH_MS: i64 = 1_704_067_200_000;
const TWO_MONTHS_MS: i64 = 60 * 24 * 3_600_000;
pub(crate) const DRIVERS: u32 = 20_000;
/// Drivers of one statement.
const TOGETHER: usize = 1_000;

/// A database that a gateway has migrated.
pub(crate) enum Seeded {
    /// A file.
    Sqlite(PathBuf),
    /// On a server.
    Postgres(Box<Database>),
}

impl Seeded {
    /// Fills the databases of a store, in their order, with rides up to `now_ms`, each accepted by a driver and in the index.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn fill(databases: &[Self], rides: u32, now_ms: i64) -> Result<(), String> {
        for (place, database) in databases.iter().enumerate() {
            let is_sqlite = matches!(database, Self::Sqlite(_));
            for statement in statements(is_sqlite, rides, now_ms, (place, databases.len())) {
                database.execute(&statement).await?;
            }
        }
        Ok(())
    }

    async fn execute(&self, statement: &str) -> Result<(), String> {
        match self {
            Self::Postgres(database) => database.run(statement).map(drop).map_err(|error| error.to_string()),
            Self::Sqlite(file) => {
                // Nobody minds if this is lost with the machine.
                let options = SqliteConnectOptions::new().filename(file).pragma("synchronous", "OFF");
                let connecting = options.disable_statement_logging().connect().await;
                let mut connection = connecting.map_err(|error| error.to_string())?;
                let done = connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await;
                done.map_err(|error| error.to_string())?;
                connection.close().await.map_err(|error| error.to_string())
            }
        }
    }
}

/// The statements for one of the databases, in time's order as a gateway would have written.
fn statements(is_sqlite: bool, rides: u32, now_ms: i64, (place, of): (usize, usize)) -> Vec<String> {
    let is_here = |shard: &str| format!("({shard}) * {of} / 1024 = {place}");
    let (series, numbers) = match is_sqlite {
        true => {
            let rows = |count: u32| {
                format!("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) ", count - 1)
            };
            (rows(rides), rows(1024))
        }
        false => {
            let rows = |count: u32| format!("WITH n(i) AS (SELECT generate_series(0, {}::bigint)) ", count - 1);
            (rows(rides), rows(1024))
        }
    };
    let step = (TWO_MONTHS_MS / i64::from(rides)).max(1);
    let first = now_ms - EPOCH_MS - step * i64::from(rides);
    let shard = "((i * 397) & 1023)";
    let id = format!("((({first} + i * {step}) << 22) | ((i & 4095) << 10) | {shard})");
    let passenger = format!("(1024 + {shard})");
    let driver = format!("JOIN bench_drivers AS d ON d.n = (i * 7919) % {DRIVERS}");
    let (ours, at) = (is_here(shard), format!("({EPOCH_MS} + {first} + i * {step})"));
    let of_rides = |what: &str, values: &str| format!("{series}INSERT INTO {what} SELECT {values} FROM n WHERE {ours}");
    let point = "40758000, -73985500, 40712700, -74013400";
    let mut all = vec!["CREATE TABLE bench_drivers (n integer PRIMARY KEY, shard integer, id text)".to_owned()];
    all.extend(drivers());
    all.push(format!("{numbers}INSERT INTO passengers (shard, id) SELECT i, 1024 + i FROM n WHERE {}", is_here("i")));
    all.push(of_rides(
        "quotes (shard, id, passenger_id, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, distance_m, duration_s, options, \
         expires_at)",
        &format!("{shard}, {id}, {passenger}, {point}, 6000, 1200, '[]', {at} + 300000"),
    ));
    all.push(of_rides(
        "rides (shard, id, passenger_id, quote_id, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, product, status, status_at, \
         version, payment_status, fare, currency, duration_s, pickup_code)",
        &format!("{shard}, {id}, {passenger}, {id}, {point}, 1, 10, {at}, 6, 1, 1250, 'USD', 1200, '0042'"),
    ));
    let card = r#""name":"Dana D.","rating":4.9,"contact":"+12125550199","vehicle":{"plate":"T123456C","model":"Camry","color":"black"}"#;
    let accepted = format!(r#"'{{"change":"accepted","driver":{{"id":"' || d.id || '",{card}}},"pickup_eta_s":180}}'"#);
    let plain = |change: &str| format!(r#"'{{"change":"{change}"}}'"#);
    let changes = [
        plain("requested"),
        plain("payment_authorised"),
        accepted,
        plain("arrived"),
        plain("started"),
        plain("completed"),
    ];
    let mut events = String::new();
    for (seq, change) in (1..).zip(&changes) {
        let _ = write!(events, "WHEN {seq} THEN {change} ");
    }
    let seqs = "(SELECT 1 AS seq UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6) AS s";
    all.push(format!(
        "{series}INSERT INTO ride_events (shard, ride_id, seq, at, change) SELECT {shard}, {id}, seq, {at} + seq * 60000, \
         CASE seq {events}END FROM n {driver} CROSS JOIN {seqs} WHERE {ours} ORDER BY i, seq"
    ));
    all.push(of_rides("payments (shard, ride_id, status, captured)", &format!("{shard}, {id}, 3, 1250")));
    let there = is_here("d.shard");
    all.push(format!(
        "{series}INSERT INTO driver_rides (shard, driver_id, ride_id) SELECT d.shard, d.id, {id} FROM n {driver} WHERE {there}"
    ));
    all.push("DROP TABLE bench_drivers".to_owned());
    all.push(if is_sqlite { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "VACUUM (ANALYZE)" }.to_owned());
    all
}

/// Where a driver's part of the index lies: the first ten bits of SHA-256.
pub(crate) fn shard_of_driver(id: &str) -> u16 {
    let hash = Sha256::digest(id);
    u16::from_be_bytes([hash[0], hash[1]]) >> 6
}

/// Drivers with the shards that their part of the index lies in.
fn drivers() -> Vec<String> {
    let numbers: Vec<u32> = (0..DRIVERS).collect();
    let row = |number: &u32| {
        let id = format!("driver-{number}");
        format!("({number}, {}, '{id}')", shard_of_driver(&id))
    };
    let insert = |numbers: &[u32]| {
        let rows: Vec<String> = numbers.iter().map(row).collect();
        format!("INSERT INTO bench_drivers (n, shard, id) VALUES {}", rows.join(", "))
    };
    numbers.chunks(TOGETHER).map(insert).collect()
}
