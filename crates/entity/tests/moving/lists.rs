//! Databases that were told of a move, and such that were not.

use sea_orm::TransactionTrait;

use super::*;

on_each_engine! {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_there_is_not_is_refused() {
    let database = Database::open_several(database::Engine::Sqlite, "no-such", 2).await;
    let failed = move_to(&database.shards, 2).await.unwrap_err();
    assert_eq!(failed.to_string(), "there is no database 3: store.shards names 2");
    assert_eq!(place(&database, 0).await, [1, 1, 0]);
}

/// A start that is slow between asking and joining; who migrates another database stands for the slowness.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_has_joined_meanwhile_and_was_given_a_shard_keeps_it() {
    if !database::has_postgres() {
        return;
    }
    let places = database::Places::make(database::Engine::Postgres, "joined-meanwhile", 3).await;
    places.store().await.unwrap();
    let (first, third, asking) = (places.raw(0).await, places.raw(2).await, places.raw(0).await);
    // Tables, and nothing of a store: as one that is new.
    let forget = "CREATE TABLE kept AS SELECT * FROM store_identity; CREATE TABLE kept_map AS SELECT * FROM shard_map; \
                  DELETE FROM store_identity; DELETE FROM shard_map";
    for number_ in 0..3 {
        let connection = places.raw(number_).await;
        connection.execute_unprepared("UPDATE store_identity SET databases = 2").await.unwrap();
        connection.execute_unprepared("UPDATE shard_map SET database = 2 WHERE database = 3").await.unwrap();
    }
    third.execute_unprepared(forget).await.unwrap();
    let migrating = first.begin().await.unwrap();
    migrating.execute_unprepared("SELECT id FROM migration_lock FOR UPDATE").await.unwrap();
    let slow = places.store();
    let meanwhile = async {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while number(&asking, waits).await == 0 {
            tokio::task::yield_now().await;
        }
        let of = shard().number();
        let given = format!(
            "UPDATE shard_map SET database = 3, epoch = 2 WHERE shard = {of}; UPDATE store_identity SET version = 2"
        );
        let joined = "INSERT INTO store_identity SELECT * FROM kept; INSERT INTO shard_map SELECT * FROM kept_map";
        third.execute_unprepared(joined).await.unwrap();
        for number_ in 0..3 {
            places.raw(number_).await.execute_unprepared(&given).await.unwrap();
        }
        migrating.rollback().await.unwrap();
    };
    let (started, ()) = tokio::join!(slow, meanwhile);
    drop(started);
    let said =
        format!("SELECT CAST(database * 10 + epoch AS bigint) FROM shard_map WHERE shard = {}", shard().number());
    assert_eq!(number(&third, &said).await, 32);
    assert!(remember(&places.store().await.unwrap(), 1).await.is_ok());
}
