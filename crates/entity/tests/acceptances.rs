//! The log and the index as they are compared.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, NOW};
use entity::{
    Actor, Change, Driver, DriverRide, IndexRow, Message, OutboxEntry, Ride, StoreError, Vehicle,
    ride::{Pair, RideRange},
    value::{DriverId, Id, Shard},
};
use sea_orm::{ConnectionTrait, Statement};

fn driver(name: &str) -> DriverId {
    DriverId::parse(name).unwrap()
}

fn accepted(by: &str, name: &str) -> Change {
    let vehicle = Vehicle { plate: "T1".to_owned(), model: "M".to_owned(), color: "blue".to_owned() };
    let (name, contact) = (name.to_owned(), "212-555-0100".to_owned());
    Change::Accepted { driver: Driver { id: driver(by), name, rating: 4.9, contact, vehicle }, pickup_eta_s: 60 }
}

async fn goes(database: &Database, ride: Ride, changes: impl IntoIterator<Item = Change>) -> Ride {
    let mut ride = ride;
    for change in changes {
        ride = database.change(&ride, change, NOW).await.unwrap();
    }
    ride
}

/// A ride that ana let go, bob let go, and ana took again.
async fn ride_of_ana_and_bob(database: &Database, passenger: u8) -> Ride {
    let released = || Change::Released { by: Actor::Driver };
    let ana = || accepted("ana", "Dana");
    let changes = [Change::PaymentAuthorised, ana(), released(), accepted("bob", "Bob"), released(), ana()];
    goes(database, database.ride(passenger).await, changes).await
}

async fn execute(database: &Database, statement: &str) {
    database.raw(0).await.execute_unprepared(statement).await.unwrap();
}

/// All pairs of a shard, read in pages of this size.
async fn pairs(database: &Database, shard: Shard, limit: u64) -> Vec<Pair> {
    let mut all: Vec<Pair> = Vec::new();
    loop {
        let (range, conn) = (RideRange::from_hour_on(0), database.shards.read(shard));
        let page = Ride::accepted_in(conn, shard, range, all.last(), limit).await.unwrap();
        let is_last = (page.len() as u64) < limit;
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

on_each_engine! {
    async fn every_acceptance_is_found_by_ride_and_every_ride_by_its_drivers_once(engine) {
        let database = Database::open_several(engine, "acceptances", 3).await;
        let rides = [ride_of_ana_and_bob(&database, 1).await, ride_of_ana_and_bob(&database, 250).await];
        let ids = [rides[0].id, rides[1].id];
        let log = Ride::acceptances(&database.shards, &ids).await.unwrap();
        let of_first: Vec<_> =
            log.found.iter().filter(|a| a.ride_id == ids[0]).map(|a| (a.seq, a.driver_id.as_str())).collect();
        assert_eq!(of_first, [(3, "ana"), (5, "bob"), (7, "ana")]);
        assert_eq!((log.found.len(), log.unreadable.len()), (6, 0));
        assert_eq!(log.last(&driver("ana"), ids[1]).map(|last| last.seq), Some(7));
        let mut newest_first = ids;
        newest_first.sort_unstable_by(|a, b| b.cmp(a));
        let by = async |name, before, limit| {
            Ride::accepted_by(&database.shards, &driver(name), before, limit).await.unwrap()
        };
        assert_eq!(by("ana", None, 10).await, newest_first);
        assert_eq!(by("ana", None, 1).await, newest_first[..1]);
        assert_eq!(by("ana", Some(newest_first[0]), 10).await, newest_first[1..]);
        assert_eq!(by("nobody", None, 10).await, []);
    }

    async fn each_pair_is_read_once_whatever_the_page(engine) {
        let database = Database::open(engine, "pairs").await;
        let ride = ride_of_ana_and_bob(&database, 1).await;
        for limit in [1, 2, 3, 100] {
            let read = pairs(&database, ride.id.shard(), limit).await;
            assert_eq!(read, [(ride.id, driver("ana")), (ride.id, driver("bob"))], "{limit} a page");
        }
        let (conn, shard) = (database.shards.read(ride.id.shard()), ride.id.shard());
        assert_eq!(Ride::oldest_accepted(conn, shard).await.unwrap(), Some(ride.id));
        let (conn, hour) = (database.shards.read(shard), RideRange::hours(ride.id.hour() + 1, 1));
        assert_eq!(Ride::accepted_in(conn, shard, hour, None, 10).await.unwrap(), []);
    }

    // It is the database that reads the driver's id from the event, each engine in its way.
    async fn who_accepted_is_what_the_event_says_however_it_is_written(engine) {
        let database = Database::open(engine, "derived").await;
        let odd = r#"o"d\d"#;
        let ride = database.ride(1).await;
        let ride = goes(&database, ride, [Change::PaymentAuthorised, accepted(odd, "\"accepted\" \\u0001 \u{7}")]).await;
        let read = async || pairs(&database, ride.id.shard(), 10).await;
        assert_eq!(read().await, [(ride.id, driver(odd))]);
        // Written by hand.
        let by_hand = r#"UPDATE ride_events SET change = '{ "driver": {"id": "cy"}, "change": "accepted" }' WHERE seq = 3"#;
        execute(&database, by_hand).await;
        assert_eq!(read().await, [(ride.id, driver("cy"))]);
        let other = r#"UPDATE ride_events SET change = '{"change":"cancelled","reason":"accepted"}' WHERE seq = 3"#;
        execute(&database, other).await;
        assert_eq!(read().await, []);
    }

    async fn an_event_that_cannot_be_read_is_told(engine) {
        let database = Database::open(engine, "unreadable").await;
        let ride = ride_of_ana_and_bob(&database, 1).await;
        execute(&database, "UPDATE ride_events SET change = '{' WHERE seq = 7").await;
        let log = Ride::acceptances(&database.shards, &[ride.id]).await.unwrap();
        assert_eq!((log.found.len(), log.unreadable.contains(&ride.id)), (2, true));
    }

    async fn the_index_is_read_by_ride_whatever_the_page(engine) {
        let database = Database::open(engine, "rows-in").await;
        let shard = DriverRide::shard(&driver("ana"));
        let ids: Vec<Id<Ride>> = ["5", "6", "7"].map(|id| id.parse().unwrap()).to_vec();
        let (here, elsewhere) = (shard.number(), (shard.number() + 1) % 1024);
        let write = format!(
            "INSERT INTO driver_rides (shard, driver_id, ride_id) VALUES ({here}, 'ana', 5), ({here}, 'ana', 6), \
             ({here}, 'lost', 6), ({here}, 'ana', 7), ({elsewhere}, 'ana', 6)"
        );
        execute(&database, &write).await;
        for limit in [1, 2, 3, 100] {
            let mut all: Vec<IndexRow> = Vec::new();
            loop {
                let (range, conn) = (RideRange::from_hour_on(0), database.shards.read(shard));
                let page = DriverRide::rows_in(conn, shard, range, all.last(), limit).await.unwrap();
                let is_last = (page.len() as u64) < limit;
                all.extend(page);
                if is_last {
                    break;
                }
            }
            let read: Vec<_> = all.iter().map(|row| (row.ride_id, row.driver_id.as_str())).collect();
            let expected = [(ids[0], "ana"), (ids[1], "ana"), (ids[1], "lost"), (ids[2], "ana")];
            assert_eq!(read, expected, "{limit} a page");
        }
        let rows = DriverRide::of_ride(&database.shards, ids[1], 100).await.unwrap();
        assert_eq!(rows.len(), 3);
        let astray: Vec<&IndexRow> = rows.iter().filter(|row| row.is_misplaced()).collect();
        assert_eq!(astray.len(), 2, "a driver's row in another shard, and another driver's in this one: {rows:?}");
        let stray = astray[0].clone();
        let forgotten = database.shards.write::<_, StoreError, _>(stray.shard, move |tx| {
            let stray = stray.clone();
            Box::pin(async move { Ok((DriverRide::forget(tx, &stray).await?, DriverRide::forget(tx, &stray).await?)) })
        });
        assert_eq!(forgotten.await.unwrap(), (true, false));
        let present = DriverRide::present(&database.shards, &rows).await.unwrap();
        assert_eq!((present.len(), present.contains(astray[0])), (2, false));
        assert_eq!(DriverRide::oldest_indexed(database.shards.read(shard), shard).await.unwrap(), Some(ids[0]));
    }

    async fn rows_that_are_still_to_be_written_are_told_by_their_messages(engine) {
        let database = Database::open_several(engine, "unindexed", 3).await;
        let (ride, other) = (database.ride(1).await, database.ride(250).await);
        database.append(&ride, &[Message::Authorise, Message::IndexDriver { driver_id: driver("ana") }]).await;
        let waiting = OutboxEntry::unindexed(&database.shards, &[ride.id, other.id]).await.unwrap();
        assert_eq!(waiting.into_iter().collect::<Vec<_>>(), [(ride.id, driver("ana"))]);
    }

    async fn what_an_older_version_wrote_is_read_as_well(engine) {
        let database = Database::open(engine, "before").await;
        let ride = ride_of_ana_and_bob(&database, 1).await;
        let back = "DROP INDEX ix_ride_events_driver; DROP INDEX ix_ride_events_accepted; DROP INDEX ix_driver_rides_ride;\
                    DROP TABLE scan_findings; DROP TABLE scans; ALTER TABLE ride_events DROP COLUMN driver_id;\
                    DELETE FROM seaql_migrations WHERE version = 'm0006_consistency'";
        execute(&database, back).await;
        let shards = database.open_again().await.unwrap();
        for name in ["ana", "bob"] {
            assert_eq!(Ride::accepted_by(&shards, &driver(name), None, 10).await.unwrap(), [ride.id]);
        }
        let raw = database.raw(0).await;
        let known = Statement::from_string(raw.get_database_backend(), "SELECT count(driver_id) FROM ride_events");
        let known: i64 = raw.query_one_raw(known).await.unwrap().unwrap().try_get_by_index(0).unwrap();
        assert_eq!(known, 3, "and nothing else");
    }
}
