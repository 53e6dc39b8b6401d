//! A shard that is moved to another database while others write to it and read from it.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use database::{Database, NOW};
use entity::{
    KnownDevice, OutboxEntry, Ride, Shards, StoreError,
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
struct Followed(#[allow(dead_code, reason = "it keeps the task")] Supervisor);

impl Followed {
    fn follow(shards: &Shards) -> Self {
        let (shards, supervisor) = (shards.clone(), supervisor());
        let shutdown = supervisor.shutdown_signal();
        drop(supervisor.run("shard-moves", async move { shards.follow_moves(shutdown).await }));
        Self(supervisor)
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

    async fn writes_go_on_when_the_mover_has_died_while_they_waited(engine) {
        let database = Database::open_several(engine, "died-closed", 2).await;
        let _followed = Followed::follow(&database.shards);
        say(&database, 1, "state = 4, other = 1, move_id = 77").await;
        say(&database, 0, "state = 2, other = 2, move_id = 77").await;
        remember(&database.shards, 1).await.unwrap();
        assert_eq!(place(&database, 0).await, [1, 1, 0]);
        // A gateway starts all the same, and the next move puts an end to it.
        database.open_again().await.unwrap();
        assert_eq!(move_to(&database.shards, 0).await.unwrap().from, None);
        assert_eq!(place(&database, 1).await, [1, 1, 0]);
    }

    async fn writes_go_on_at_the_new_place_when_the_mover_has_died_after_it_was_given_the_shard(engine) {
        let database = Database::open_several(engine, "died-flipped", 2).await;
        let _followed = Followed::follow(&database.shards);
        say(&database, 1, "state = 4, other = 1, move_id = 77").await;
        say(&database, 0, "state = 3, database = 2, epoch = 2, other = 2, move_id = 77").await;
        database.raw(0).await.execute_unprepared("UPDATE store_identity SET version = 2").await.unwrap();
        // Nobody has told the new owner yet, and a gateway starts all the same.
        let other = database.open_again().await.unwrap();
        let _also = Followed::follow(&other);
        remember(&other, 1).await.unwrap();
        remember(&database.shards, 2).await.unwrap();
        assert_eq!(place(&database, 1).await, [2, 2, 0]);
        assert_eq!((rows(&database, 0, "known_devices").await, rows(&database, 1, "known_devices").await), (0, 2));
        assert_eq!(move_to(&other, 1).await.unwrap().from, None);
        assert_eq!(place(&database, 0).await, [2, 2, 0]);
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
        let failed = database.shards.move_shard(hurried, &|_| {}).await.unwrap_err();
        assert!(matches!(failed, Failed::TooSlow { .. }), "{failed}");
        assert_eq!([place(&database, 0).await, place(&database, 1).await], [[1, 1, 0]; 2]);
        assert_eq!((rows(&database, 0, "rides").await, rows(&database, 1, "rides").await), (1, 0));
        remember(&database.shards, 1).await.unwrap();
    }

    async fn a_gateway_that_does_not_know_the_database_calls_the_move_off(engine) {
        let places = database::Places::make(engine, "unknown", 2).await;
        let old = places.store_on(&[0]).await.unwrap();
        remember(&old, 1).await.unwrap();
        let _followed = Followed::follow(&old);
        let new = places.store().await.unwrap();
        let failed = move_to(&new, 1).await.unwrap_err();
        assert!(matches!(failed, Failed::Overtaken), "{failed}");
        assert!(failed.to_string().contains("store.shards"), "{failed}");
        remember(&old, 2).await.unwrap();
        assert!(is_remembered(&old, 1).await && is_remembered(&new, 2).await);
    }

    async fn a_database_that_holds_nothing_is_told_at_the_next_start_of_moves_by_who_did_not_know_it(engine) {
        let places = database::Places::make(engine, "not-told", 3).await;
        let two = places.store_on(&[0, 1]).await.unwrap();
        places.store().await.unwrap();
        move_to(&two, 1).await.unwrap();
        for _ in 0..2 {
            let three = places.store().await.unwrap();
            remember(&three, 1).await.unwrap();
            for (number_, version) in [(0, 2), (1, 2), (2, 2)] {
                let connection = places.raw(number_).await;
                let asked = "SELECT CAST(version AS bigint) FROM store_identity";
                assert_eq!(number(&connection, asked).await, version, "database {number_}");
                let asked = "SELECT CAST(sum(epoch) AS bigint) FROM shard_map";
                assert_eq!(number(&connection, asked).await, 1025, "database {number_}");
            }
        }
    }

    async fn a_database_from_before_a_move_is_refused(engine) {
        let places = database::Places::make(engine, "from-before", 2).await;
        move_to(&places.store().await.unwrap(), 1).await.unwrap();
        let of = shard().number();
        let back = format!("UPDATE shard_map SET database = 1, epoch = 1 WHERE shard = {of}; UPDATE store_identity SET version = 1");
        for number_ in [0, 1] {
            places.raw(number_).await.execute_unprepared(&back).await.unwrap();
            let Err(refused) = places.store().await else { panic!("it started") };
            let refused = refused.to_string();
            assert!(refused.contains("version 1") && refused.contains("version 2"), "{refused}");
            let forth =
                format!("UPDATE shard_map SET database = 2, epoch = 2 WHERE shard = {of}; UPDATE store_identity SET version = 2");
            places.raw(number_).await.execute_unprepared(&forth).await.unwrap();
        }
        places.store().await.unwrap();
    }

    async fn who_takes_a_move_over_stops_the_one_before(engine) {
        let database = Database::open_several(engine, "taken-over", 2).await;
        database.ride(PASSENGER).await;
        let second = database.open_again().await.unwrap();
        let (begun, wait) = tokio::sync::oneshot::channel();
        let begun = std::sync::Mutex::new(Some(begun));
        let tell = |progress: Progress| {
            if let (Progress::Copied { .. }, Some(begun)) = (progress, begun.lock().unwrap().take()) {
                begun.send(()).unwrap();
            }
        };
        let first = database.shards.move_shard(plan(1), &tell);
        let take_over = async {
            wait.await.unwrap();
            move_to(&second, 1).await
        };
        let (first, took_over) = tokio::join!(first, take_over);
        assert!(matches!(first.unwrap_err(), Failed::Overtaken));
        assert_eq!(took_over.unwrap().from, Some(0));
        assert_eq!([place(&database, 0).await, place(&database, 1).await], [[2, 2, 0]; 2]);
    }

    async fn who_is_not_in_charge_any_more_copies_nothing_more(engine) {
        let database = Database::open_several(engine, "not-in-charge", 2).await;
        for number in 0..500 {
            remember(&database.shards, number).await.unwrap();
        }
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel();
        let waiting = std::sync::Mutex::new(Some((begun, may_go_on)));
        // Told after the first transaction of 400 rows.
        let tell = move |_| {
            if let Some((begun, may_go_on)) = waiting.lock().unwrap().take() {
                begun.send(()).unwrap();
                tokio::task::block_in_place(|| may_go_on.recv().unwrap());
            }
        };
        let take_over = async {
            has_begun.await.unwrap();
            say(&database, 1, "move_id = 77").await;
            go_on.send(()).unwrap();
        };
        let shards = database.shards.clone();
        let moving = async move { shards.move_shard(plan(1), &tell).await };
        // In a task of its own: it waits without letting go of its thread.
        let moving = supervisor().run("move", moving);
        take_over.await;
        assert!(matches!(moving.await.unwrap().unwrap_err(), Failed::Overtaken));
        assert_eq!(rows(&database, 1, "known_devices").await, 400);
    }

    async fn rows_that_are_still_to_be_removed_are_neither_due_nor_cleaned(engine) {
        let database = Database::open_several(engine, "left-over", 2).await;
        let ride = database.ride(PASSENGER).await;
        database.append(&ride, &[entity::Message::RequestDriver]).await;
        remember(&database.shards, 1).await.unwrap();
        let late = NOW.plus_s(4_000_000_000);
        let clean = async |shards: &Shards| -> u64 {
            let purge = shards.write_everywhere::<_, StoreError, _>(move |tx| {
                Box::pin(async move { KnownDevice::purge_expired(tx, late, 100).await })
            });
            purge.await.unwrap().iter().sum()
        };
        assert!(OutboxEntry::depth(&database.shards).await.unwrap().0 > 0);
        assert_eq!(Ride::list_timed_out(&database.shards, late, 100).await.unwrap(), [ride.id]);
        // As after a move whose mover died before it removed anything.
        say(&database, 1, "database = 2, epoch = 2").await;
        say(&database, 0, "state = 3, database = 2, epoch = 2, other = 2, move_id = 77").await;
        for number_ in 0..2 {
            database.raw(number_).await.execute_unprepared("UPDATE store_identity SET version = 2").await.unwrap();
        }
        let node = database.open_again().await.unwrap();
        let _followed = Followed::follow(&node);
        let deadline = tokio::time::timeout(Duration::from_secs(20), async {
            while OutboxEntry::depth(&node).await.unwrap().0 > 0 {
                tokio::task::yield_now().await;
            }
        });
        assert!(deadline.await.is_ok(), "what is left is not counted");
        assert_eq!(Ride::list_timed_out(&node, late, 100).await.unwrap(), []);
        assert_eq!((clean(&node).await, rows(&database, 0, "known_devices").await), (0, 1));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_there_is_not_is_refused() {
    let database = Database::open_several(database::Engine::Sqlite, "no-such", 2).await;
    let failed = move_to(&database.shards, 2).await.unwrap_err();
    assert_eq!(failed.to_string(), "there is no database 3: store.shards names 2");
    assert_eq!(place(&database, 0).await, [1, 1, 0]);
}
