//! Attempts to write in two databases: who decides, what is reserved, who finishes.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, NOW};
use entity::{
    Attempt, Barrier, Confirmed, Decision, DriverRide, Ride, StoreError, Transaction, Tx, Unfinished,
    value::{DriverId, Millis},
};
use futures_util::future::{BoxFuture, join, join_all};

const LEASE_MS: i64 = 6_000;

fn attempt(ride: &Ride, number: i64) -> Attempt {
    Attempt { ride_id: ride.id, driver_id: DriverId::parse("d1").unwrap(), number }
}

async fn at_driver<T: Send + 'static>(
    database: &Database,
    attempt: &Attempt,
    work: impl for<'t> Fn(&'t Tx, Attempt) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
) -> T {
    let attempt = attempt.clone();
    let shard = DriverRide::shard(&attempt.driver_id);
    database.shards.write(shard, move |tx| work(tx, attempt.clone())).await.unwrap()
}

async fn reserve(database: &Database, attempt: &Attempt) -> bool {
    at_driver(database, attempt, |tx, it| Box::pin(async move { Barrier::reserve(tx, &it, NOW, LEASE_MS).await })).await
}

async fn confirm(database: &Database, attempt: &Attempt) -> Confirmed {
    at_driver(database, attempt, |tx, it| Box::pin(async move { Barrier::confirm(tx, &it).await })).await
}

async fn cancel(database: &Database, attempt: &Attempt) {
    at_driver(database, attempt, |tx, it| Box::pin(async move { Barrier::cancel(tx, &it, NOW).await })).await;
}

async fn decide(database: &Database, attempt: &Attempt, wanted: Decision) -> Decision {
    let it = attempt.clone();
    let decided = database.shards.write::<_, StoreError, _>(attempt.ride_id.shard(), move |tx| {
        let it = it.clone();
        Box::pin(async move { Transaction::decide(tx, &it, wanted, NOW, LEASE_MS).await })
    });
    decided.await.unwrap()
}

async fn is_indexed(database: &Database, attempt: &Attempt) -> bool {
    let shard = database.shards.read(DriverRide::shard(&attempt.driver_id));
    DriverRide::exists(shard, &attempt.driver_id, attempt.ride_id).await.unwrap()
}

/// The numbers of the attempts whose reservations are due.
async fn due(database: &Database, now: Millis) -> Vec<i64> {
    let due = Barrier::list_due(&database.shards, now, LEASE_MS, 10).await.unwrap();
    due.into_iter().map(|barrier| barrier.attempt.number).collect()
}

/// Removes what may be forgotten by then: decisions and cancellations.
async fn purge(database: &Database, before: Millis) -> [u64; 2] {
    let aborted = database
        .shards
        .write_everywhere::<_, StoreError, _>(move |tx| Box::pin(Transaction::purge_aborted(tx, before, 100)));
    let cancelled = database
        .shards
        .write_everywhere::<_, StoreError, _>(move |tx| Box::pin(Barrier::purge_cancelled(tx, before, 100)));
    [aborted.await.unwrap().iter().sum(), cancelled.await.unwrap().iter().sum()]
}

on_each_engine! {
    async fn a_reservation_becomes_the_row_and_a_second_confirmation_changes_nothing(engine) {
        let database = Database::open(engine, "confirm").await;
        let attempt = attempt(&database.ride(1).await, 7);
        assert!(reserve(&database, &attempt).await);
        assert!(reserve(&database, &attempt).await, "a try that is repeated is the same");
        assert!(!is_indexed(&database, &attempt).await);
        assert_eq!(confirm(&database, &attempt).await, Confirmed::Reserved);
        assert_eq!(confirm(&database, &attempt).await, Confirmed::Before);
        assert!(is_indexed(&database, &attempt).await);
        assert_eq!(due(&database, NOW.plus_s(86_400)).await, [0_i64; 0], "nothing is left to finish");
    }

    async fn what_was_cancelled_before_it_came_is_not_reserved(engine) {
        let database = Database::open(engine, "empty-cancel").await;
        let ride = database.ride(1).await;
        let (late, next) = (attempt(&ride, 7), attempt(&ride, 8));
        cancel(&database, &late).await;
        assert!(!reserve(&database, &late).await, "the try comes late");
        assert!(reserve(&database, &next).await, "another attempt is another matter");
        cancel(&database, &next).await;
        cancel(&database, &next).await;
        assert!(!reserve(&database, &next).await);
        assert!(!is_indexed(&database, &late).await);
    }

    async fn a_try_and_its_cancellation_that_race_leave_it_cancelled(engine) {
        let database = Database::open(engine, "race-cancel").await;
        let ride = database.ride(1).await;
        for number in 0..20 {
            let attempt = attempt(&ride, number);
            join(reserve(&database, &attempt), cancel(&database, &attempt)).await;
            assert!(!reserve(&database, &attempt).await, "attempt {number}");
        }
    }

    async fn a_confirmation_of_what_was_cancelled_writes_the_row_and_says_so(engine) {
        let database = Database::open(engine, "contradiction").await;
        let attempt = attempt(&database.ride(1).await, 7);
        cancel(&database, &attempt).await;
        assert_eq!(confirm(&database, &attempt).await, Confirmed::Cancelled);
        assert!(is_indexed(&database, &attempt).await);
    }

    async fn whoever_decides_first_decides(engine) {
        let database = Database::open(engine, "decide").await;
        let ride = database.ride(1).await;
        let (made, undone) = (attempt(&ride, 1), attempt(&ride, 2));
        assert_eq!(decide(&database, &made, Decision::Commit).await, Decision::Commit);
        assert_eq!(decide(&database, &made, Decision::Abort).await, Decision::Commit);
        assert_eq!(decide(&database, &undone, Decision::Abort).await, Decision::Abort);
        assert_eq!(decide(&database, &undone, Decision::Commit).await, Decision::Abort);
        for number in 10..30 {
            let attempt = attempt(&ride, number);
            let wanted = [Decision::Commit, Decision::Abort, Decision::Commit, Decision::Abort];
            let decided = join_all(wanted.map(|wanted| decide(&database, &attempt, wanted))).await;
            assert!(decided.iter().all(|one| *one == decided[0]), "{decided:?}");
        }
    }

    async fn what_a_node_has_left_is_due_when_its_lease_is_over_and_taken_by_one(engine) {
        let database = Database::open(engine, "leases").await;
        let ride = database.ride(1).await;
        let (tried, cancelled) = (attempt(&ride, 1), attempt(&ride, 2));
        reserve(&database, &tried).await;
        cancel(&database, &cancelled).await;
        decide(&database, &tried, Decision::Commit).await;
        let late = NOW.plus_ms(LEASE_MS);
        assert_eq!(due(&database, late.plus_ms(-1)).await, [0_i64; 0]);
        assert_eq!(due(&database, late).await, [1]);
        assert_eq!(due(&database, NOW.plus_s(3600)).await, [1]);
        assert_eq!(due(&database, NOW.plus_ms(-60_000)).await, [0_i64; 0], "its node's clock is ahead of ours");
        assert_eq!(due(&database, NOW.plus_ms(-60_001)).await, [1], "the clock was set back");
        let decisions = Transaction::list_due(&database.shards, late, LEASE_MS, 10).await.unwrap();
        assert_eq!(decisions.len(), 1);
        let found = Barrier::list_due(&database.shards, late, LEASE_MS, 10).await.unwrap().remove(0);
        let claim = async || {
            let found = found.clone();
            at_driver(&database, &tried, move |tx, _| {
                let found = found.clone();
                Box::pin(async move { found.claim(tx, late, LEASE_MS).await })
            })
            .await
        };
        let claims = join_all((0..4).map(|_| claim())).await;
        assert_eq!(claims.iter().filter(|claimed| **claimed).count(), 1);
        assert_eq!(due(&database, late).await, [0_i64; 0]);
    }

    async fn what_is_older_than_its_lease_is_counted_with_its_age_until_it_is_finished(engine) {
        let database = Database::open(engine, "unfinished").await;
        let ride = database.ride(1).await;
        let (first, second, cancelled) = (attempt(&ride, 1), attempt(&ride, 2), attempt(&ride, 3));
        for it in [&first, &second] {
            reserve(&database, it).await;
        }
        cancel(&database, &cancelled).await;
        decide(&database, &first, Decision::Commit).await;
        decide(&database, &cancelled, Decision::Abort).await;
        let counted = async |at: Millis| {
            let reserved = Barrier::unfinished(&database.shards, at, LEASE_MS).await.unwrap();
            (reserved, Transaction::unfinished(&database.shards, at, LEASE_MS).await.unwrap())
        };
        let none = Unfinished::default();
        assert_eq!(counted(NOW.plus_ms(LEASE_MS - 1)).await, (none, none), "their node may still be at it");
        let old = |count| Unfinished { count, oldest_ms: 60_000 };
        assert_eq!(counted(NOW.plus_s(60)).await, (old(2), old(1)));
        confirm(&database, &first).await;
        assert_eq!(counted(NOW.plus_s(60)).await, (old(1), old(1)));
    }

    async fn what_was_called_off_is_remembered_for_an_hour(engine) {
        let database = Database::open(engine, "forgetting").await;
        let ride = database.ride(1).await;
        let (open, off) = (attempt(&ride, 1), attempt(&ride, 2));
        reserve(&database, &open).await;
        decide(&database, &open, Decision::Commit).await;
        cancel(&database, &off).await;
        decide(&database, &off, Decision::Abort).await;
        assert_eq!(purge(&database, NOW.plus_s(3600).plus_ms(-1)).await, [0, 0]);
        assert_eq!(purge(&database, NOW.plus_s(3600)).await, [1, 1]);
        assert_eq!(purge(&database, NOW.plus_s(86_400)).await, [0, 0], "what is open stays");
        assert_eq!(due(&database, NOW.plus_s(86_400)).await, [1]);
        assert_eq!(decide(&database, &open, Decision::Abort).await, Decision::Commit);
    }
}
