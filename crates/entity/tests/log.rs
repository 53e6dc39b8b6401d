//! The log and the row of a ride, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, Engine, NOW, TIMEOUTS, has_postgres};
use entity::{
    Change, Driver, DriverRide, Opened, Ride, StoreError, Vehicle,
    value::{DriverId, Id},
};
use proptest::prelude::*;

fn change(kind: u8) -> Change {
    let driver = Driver {
        id: DriverId::parse(&format!("d{kind}")).unwrap(),
        name: "Dana".to_owned(),
        rating: 4.93,
        contact: "212-555-0100".to_owned(),
        vehicle: Vehicle { plate: "T1".to_owned(), model: "M".to_owned(), color: "blue".to_owned() },
    };
    match kind % 9 {
        0 => Change::PaymentAuthorised,
        1 => Change::PaymentDeclined,
        2 | 3 => Change::Accepted { driver, pickup_eta_s: u32::from(kind) },
        4 => Change::Arrived,
        5 => Change::Started,
        6 => Change::Completed,
        7 => Change::Released { by: entity::Actor::Driver },
        _ => Change::Cancelled { by: entity::Actor::System, reason: "test".to_owned(), fee: i64::from(kind) },
    }
}

#[test]
fn the_stored_log_replays_to_the_stored_row_at_every_version() {
    replays(Engine::Sqlite, 60);
    if has_postgres() {
        replays(Engine::Postgres, 60);
    }
}

fn replays(engine: Engine, cases: u32) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let database = tokio.block_on(Database::open(engine, "log"));
    let counter = std::sync::atomic::AtomicU8::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(cases));
    runner
        .run(&prop::collection::vec((any::<u8>(), 0i64..100_000), 0..25), |attempts| {
            let passenger = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio.block_on(async {
                let passenger_id = database.passenger(passenger).await;
                let quote_id = database.quote(passenger_id).await;
                let opened = database.open_ride(passenger_id, quote_id).await;
                // A run of the shrinker may meet the open ride of the run before: nothing to see there.
                let Opened::Opened(first) = opened else { return Ok(()) };
                let (mut seen, mut now) = (vec![*first], NOW);
                for (kind, wait) in attempts {
                    now = now.plus_ms(wait);
                    let newest = seen.last().unwrap().clone();
                    seen.extend(database.change(&newest, change(kind), now).await);
                }
                let newest = seen.last().unwrap().clone();
                let shard = || database.shards.read(newest.id.shard());
                let row = Ride::find(shard(), newest.id).await.unwrap().unwrap();
                prop_assert_eq!(&row, &newest);
                prop_assert_eq!(&row.versions_after(shard(), 0).await.unwrap(), &seen);
                let middle = seen.len() / 2;
                let seq = i32::try_from(middle).unwrap();
                prop_assert_eq!(&row.versions_after(shard(), seq).await.unwrap()[..], &seen[middle..]);
                Ok(())
            })
        })
        .unwrap();
    tokio.block_on(async {
        // Who is still riding is found as open; nobody else is.
        for ride in Ride::list_open(&database.shards, None, 1000).await.unwrap() {
            assert!(!ride.status.is_terminal());
            let active = Ride::find_active(database.shards.read(ride.id.shard()), ride.passenger_id).await.unwrap();
            assert_eq!(active, Some(ride));
        }
    });
}

on_each_engine! {
    async fn the_database_holds_one_active_ride_a_passenger_and_one_ride_a_quote(engine) {
        let database = Database::open(engine, "unique").await;
        let passenger_id = database.passenger(1).await;
        let (one, two) = (database.quote(passenger_id).await, database.quote(passenger_id).await);
        let Opened::Opened(ride) = database.open_ride(passenger_id, one).await else { panic!("the first ride") };
        assert_eq!(database.open_ride(passenger_id, two).await, Opened::AlreadyActive(ride.id));
        let cancel = Change::Cancelled { by: entity::Actor::Passenger, reason: "test".to_owned(), fee: 0 };
        database.change(&ride, cancel, NOW).await.unwrap();
        assert_eq!(database.open_ride(passenger_id, one).await, Opened::QuoteUsed);
        assert!(matches!(database.open_ride(passenger_id, two).await, Opened::Opened(_)));
    }

    async fn a_version_is_committed_once(engine) {
        let database = Database::open(engine, "once").await;
        let ride = database.ride(1).await;
        let next = ride.after(&Change::PaymentAuthorised, NOW).unwrap();
        database.change(&ride, Change::PaymentAuthorised, NOW).await.unwrap();
        let again = database.shards.write(ride.id.shard(), move |tx| {
            let (ride, next) = (ride.clone(), next.clone());
            Box::pin(async move { ride.advance(tx, &next, &Change::PaymentAuthorised, &TIMEOUTS, NOW).await })
        });
        assert!(matches!(again.await, Err(StoreError::Conflict)));
    }

    async fn the_driver_index_keeps_one_row_however_often_it_is_written(engine) {
        let database = Database::open(engine, "index").await;
        let driver = DriverId::parse("d1").unwrap();
        let rides: Vec<Id<Ride>> = ["1024", "2048", "3072"].iter().map(|id| id.parse().unwrap()).collect();
        for ride_id in rides.iter().chain(&rides).copied() {
            let driver = driver.clone();
            let write = database.shards.write(DriverRide::shard(&driver), move |tx| {
                let driver = driver.clone();
                Box::pin(async move { DriverRide::record(tx, &driver, ride_id).await })
            });
            let written: Result<(), StoreError> = write.await;
            written.unwrap();
        }
        let shard = || database.shards.read(DriverRide::shard(&driver));
        let newest_first: Vec<_> = rides.iter().rev().copied().collect();
        assert_eq!(DriverRide::page(shard(), &driver, None, 10).await.unwrap(), newest_first);
        assert_eq!(DriverRide::page(shard(), &driver, Some(rides[2]), 1).await.unwrap(), [rides[1]]);
    }
}
