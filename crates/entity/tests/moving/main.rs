//! A shard that is moved to another database while others write to it and read from it.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod cut_off;
#[path = "../database/mod.rs"]
mod database;
mod lists;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use database::{Database, NOW};
use entity::{
    KnownDevice, Ride, Shards, StoreError,
    store::moving::{Failed, Moved, Plan, Progress},
    value::{Millis, PhoneHash, Shard},
};
use runtime::task::Supervisor;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

/// The passenger with this number lies in the first database of three.
const PASSENGER: u8 = 1;

fn shard() -> Shard {
    PhoneHash([PASSENGER; 32]).shard()
}

fn plan(to: usize) -> Plan {
    Plan { shard: shard(), to, pause: Duration::from_secs(2), keep: Duration::from_secs(1) }
}

async fn move_to(shards: &Shards, to: usize) -> Result<Moved, Failed> {
    shards.move_shard(plan(to), &|_| {}).await
}

async fn number(connection: &DatabaseConnection, query: &str) -> i64 {
    let statement = Statement::from_string(connection.get_database_backend(), query);
    connection.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// Rows of the shard in a table of a database.
async fn rows(database: &Database, number_: usize, table: &str) -> i64 {
    let of = shard().number();
    let query = format!("SELECT CAST(count(*) AS bigint) FROM {table} WHERE shard = {of}");
    number(&database.raw(number_).await, &query).await
}

/// What a database says of the shard.
async fn place(database: &Database, number_: usize) -> [i64; 3] {
    let connection = database.raw(number_).await;
    let mut said = [0; 3];
    for (column, said) in ["database", "epoch", "state"].into_iter().zip(&mut said) {
        let of = shard().number();
        *said =
            number(&connection, &format!("SELECT CAST({column} AS bigint) FROM shard_map WHERE shard = {of}")).await;
    }
    said
}

async fn say(database: &Database, number_: usize, what: &str) {
    let of = shard().number();
    let update = format!("UPDATE shard_map SET {what} WHERE shard = {of}");
    database.raw(number_).await.execute_unprepared(&update).await.unwrap();
}

fn device(number: u32) -> KnownDevice {
    let mut device_hash = [0; 32];
    device_hash[..4].copy_from_slice(&number.to_be_bytes());
    KnownDevice { phone_hash: PhoneHash([PASSENGER; 32]), device_hash }
}

async fn remember(shards: &Shards, number: u32) -> Result<(), StoreError> {
    let device = device(number);
    shards.write(shard(), move |tx| Box::pin(async move { device.remember(tx, NOW).await })).await
}

async fn is_remembered(shards: &Shards, number: u32) -> bool {
    device(number).is_known(shards.read(shard()), Millis(NOW.0 - 1)).await.unwrap()
}

fn supervisor() -> Supervisor {
    Supervisor::new(&prometheus::Registry::new()).unwrap()
}

/// Follows moves as a gateway does, to the end of the test.
struct Followed {
    _supervisor: Supervisor,
}

impl Followed {
    fn follow(shards: &Shards) -> Self {
        let (shards, supervisor) = (shards.clone(), supervisor());
        let shutdown = supervisor.shutdown_signal();
        drop(supervisor.run("shard-moves", async move { shards.follow_moves(shutdown).await }));
        Self { _supervisor: supervisor }
    }
}
on_each_engine! {
    async fn a_shard_that_is_moved_takes_all_its_rows_along_and_every_database_knows(engine) {
        let database = Database::open_several(engine, "moved", 3).await;
        let ride = database.ride(PASSENGER).await;
        let other = database.ride(80).await;
        database.append(&ride, &[entity::Message::RequestDriver]).await;
        let moved = move_to(&database.shards, 1).await.unwrap();
        assert_eq!(moved.from, Some(0));
        let catalogue = match engine {
            database::Engine::Postgres => "SELECT table_name::text FROM information_schema.columns WHERE column_name = 'shard' \
                                           AND table_schema = current_schema() AND table_name <> 'shard_map' ORDER BY 1",
            database::Engine::Sqlite => "SELECT m.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c \
                                         WHERE m.type = 'table' AND c.name = 'shard' AND m.name <> 'shard_map' ORDER BY 1",
        };
        let connection = database.raw(0).await;
        let statement = Statement::from_string(connection.get_database_backend(), catalogue);
        let there: Vec<String> =
            connection.query_all_raw(statement).await.unwrap().iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
        let mut named: Vec<&str> = moved.tables.iter().map(|(table, _)| *table).collect();
        named.sort_unstable();
        assert_eq!(named, there, "every table whose rows are of a shard");
        for (table, sum) in &moved.tables {
            assert_eq!(rows(&database, 0, table).await, 0, "{table} where it was");
            assert_eq!(rows(&database, 1, table).await, sum.rows as i64, "{table} where it is");
        }
        for table in ["passengers", "quotes", "rides", "ride_events", "payments", "outbox"] {
            assert!(rows(&database, 1, table).await > 0, "{table}");
        }
        for number_ in 0..3 {
            assert_eq!(place(&database, number_).await, [2, 2, 0], "database {number_}");
            let version = "SELECT CAST(version AS bigint) FROM store_identity";
            assert_eq!(number(&database.raw(number_).await, version).await, 2);
        }
        for shards in [&database.shards, &database.open_again().await.unwrap()] {
            assert_eq!(Ride::find(shards.read(shard()), ride.id).await.unwrap().unwrap().id, ride.id);
            assert!(Ride::find(shards.read(other.id.shard()), other.id).await.unwrap().is_some(), "the others stay");
            remember(shards, 1).await.unwrap();
        }
        assert_eq!((rows(&database, 0, "known_devices").await, rows(&database, 1, "known_devices").await), (0, 1));
        // There already: nothing to do, and nothing changes.
        assert_eq!(move_to(&database.shards, 1).await.unwrap().from, None);
        assert_eq!(place(&database, 0).await, [2, 2, 0]);
    }

    async fn what_was_acknowledged_is_there_for_every_node_while_the_shard_goes_to_and_fro(engine) {
        let database = Database::open_several(engine, "to-and-fro", 2).await;
        database.ride(PASSENGER).await;
        let (node, mover) = (database.open_again().await.unwrap(), database.open_again().await.unwrap());
        let _followed = [Followed::follow(&database.shards), Followed::follow(&node)];
        let over = Arc::new(AtomicBool::new(false));
        let (writing, ended) = (database.shards.clone(), over.clone());
        let load = async {
            let (mut number, mut missing) = (0_u32, Vec::new());
            while !ended.load(Ordering::Relaxed) {
                remember(&writing, number).await.unwrap();
                // At once, by another node; and one of long ago.
                for earlier in [number, number / 2] {
                    if !is_remembered(&node, earlier).await {
                        missing.push(earlier);
                    }
                }
                number += 1;
            }
            (number, missing)
        };
        let moves = async {
            for to in [1, 0] {
                let moved = move_to(&mover, to).await.unwrap();
                assert_eq!(moved.from, Some(1 - to));
            }
            over.store(true, Ordering::Relaxed);
        };
        let ((written, missing), ()) = tokio::join!(load, moves);
        assert!(written > 0 && missing.is_empty(), "of {written} not found: {}, first {:?}", missing.len(), missing.first());
        assert_eq!(rows(&database, 0, "known_devices").await, i64::from(written));
        assert_eq!(rows(&database, 1, "known_devices").await, 0);
    }

    async fn a_node_that_stood_still_while_a_shard_was_moved_looks_before_it_reads(engine) {
        let database = Database::open_several(engine, "stood-still", 2).await;
        remember(&database.shards, 1).await.unwrap();
        // It follows nothing: as if it had not run.
        let node = database.open_again().await.unwrap();
        let kept_longer = Plan { keep: Duration::from_secs(3), ..plan(1) };
        database.shards.move_shard(kept_longer, &|_| {}).await.unwrap();
        assert!(!is_remembered(&node, 1).await, "it reads where the shard was");
        node.keep_up().await;
        assert!(is_remembered(&node, 1).await);
    }

    async fn a_copy_that_takes_too_long_leaves_the_shard_where_it_was(engine) {
        let database = Database::open_several(engine, "too-slow", 2).await;
        let _followed = Followed::follow(&database.shards);
        database.ride(PASSENGER).await;
        let hurried = Plan { pause: Duration::ZERO, ..plan(1) };
        let waited = Mutex::new(Vec::new());
        let tell = |progress| {
            if let Progress::Reopened { pause } = progress {
                waited.lock().unwrap().push(pause);
            }
        };
        let failed = database.shards.move_shard(hurried, &tell).await.unwrap_err();
        assert!(matches!(failed, Failed::TooSlow { .. }), "{failed}");
        // What cannot be done in time is not begun.
        assert_eq!(waited.into_inner().unwrap(), [Duration::ZERO; 5]);
        assert_eq!([place(&database, 0).await, place(&database, 1).await], [[1, 1, 0]; 2]);
        assert_eq!((rows(&database, 0, "rides").await, rows(&database, 1, "rides").await), (1, 0));
        remember(&database.shards, 1).await.unwrap();
    }
}

/// On SQLite it would keep the mover itself waiting: one writes at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_began_before_the_shard_was_closed_is_waited_for() {
    if !database::has_postgres() {
        return;
    }
    let database = Database::open_several(database::Engine::Postgres, "drained", 2).await;
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let waiting = Arc::new(tokio::sync::Mutex::new(Some((begun, may_go_on))));
    let writer = database.open_again().await.unwrap();
    let write = async {
        // Announcing the move would wait for it, too.
        while place(&database, 0).await[2] != 1 {
            tokio::task::yield_now().await;
        }
        let write = writer.write::<_, StoreError, _>(shard(), move |tx| {
            let waiting = waiting.clone();
            Box::pin(async move {
                if let Some((begun, may_go_on)) = waiting.lock().await.take() {
                    begun.send(()).unwrap();
                    may_go_on.await.unwrap();
                }
                device(1).remember(tx, NOW).await
            })
        });
        write.await
    };
    let look = async {
        has_begun.await.unwrap();
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let mut state = place(&database, 0).await[2];
        while state == 1 && number(&database.raw(0).await, waits).await == 0 {
            state = place(&database, 0).await[2];
        }
        go_on.send(()).unwrap();
        state
    };
    let (written, moved, state) = tokio::join!(write, move_to(&database.shards, 1), look);
    written.unwrap();
    moved.unwrap();
    assert_eq!(state, 1, "closed although somebody still wrote to it");
    assert!(is_remembered(&database.shards, 1).await);
}
