//! Moves that were cut off, taken over or called off.

use std::time::Duration;

use entity::{
    KnownDevice, OutboxEntry, Ride, Shards, StoreError,
    store::moving::{Failed, Progress},
};

use sea_orm::TransactionTrait;

use super::*;

on_each_engine! {
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
        // While it is only leaving it is cleaned as ever.
        say(&database, 0, "state = 1, other = 2, move_id = 77").await;
        assert_eq!((clean(&database.shards).await, rows(&database, 0, "known_devices").await), (1, 0));
        remember(&database.shards, 1).await.unwrap();
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
}

/// What it has begun to write would otherwise be committed over the copy of who took over.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_move_over_waits_for_rows_that_are_being_written() {
    if !database::has_postgres() {
        return;
    }
    let database = Database::open_several(database::Engine::Postgres, "being-written", 2).await;
    remember(&database.shards, 1).await.unwrap();
    let (second, locking, asking) =
        (database.open_again().await.unwrap(), database.raw(1).await, database.raw(1).await);
    let lock = locking.begin().await.unwrap();
    lock.execute_unprepared("LOCK TABLE known_devices IN EXCLUSIVE MODE").await.unwrap();
    let of = shard().number();
    let in_charge = format!("SELECT coalesce(max(move_id), 0) FROM shard_map WHERE shard = {of}");
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let (writes, is_written) = tokio::sync::oneshot::channel();
    let look = async {
        while number(&asking, waits).await == 0 {
            tokio::task::yield_now().await;
        }
        let first = number(&asking, &in_charge).await;
        writes.send(()).unwrap();
        while number(&asking, waits).await < 2 && number(&asking, &in_charge).await == first {
            tokio::task::yield_now().await;
        }
        let now = number(&asking, &in_charge).await;
        lock.rollback().await.unwrap();
        now == first
    };
    let take_over = async {
        is_written.await.unwrap();
        move_to(&second, 1).await
    };
    let (first, took_over, has_waited) = tokio::join!(move_to(&database.shards, 1), take_over, look);
    assert!(has_waited, "somebody still wrote there");
    assert!(matches!(first.unwrap_err(), Failed::Overtaken));
    assert_eq!(took_over.unwrap().from, Some(0));
    assert!(is_remembered(&second, 1).await);
}
