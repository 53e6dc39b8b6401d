//! Shards on several databases.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, NOW, TIMEOUTS};
use entity::{
    Change, Driver, Message, OutboxEntry, Ride, StoreError, Vehicle,
    outbox::LEASE_MS,
    value::{DriverId, Id, Millis, Shard},
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

/// Passengers whose shards lie in the first, the second and the third of three databases, two each.
const PASSENGERS: [[u8; 2]; 3] = [[1, 80], [90, 170], [180, 250]];

/// A ride of each of them, a millisecond apart, in an order that jumps between the databases.
async fn rides(database: &Database) -> Vec<Ride> {
    let mut rides = Vec::new();
    for column in [0, 1] {
        for row in [2, 0, 1] {
            rides.push(database.ride(PASSENGERS[row][column]).await);
        }
    }
    rides
}

fn ids(rides: &[Ride]) -> Vec<Id<Ride>> {
    let mut ids: Vec<_> = rides.iter().map(|ride| ride.id).collect();
    ids.sort_unstable();
    ids
}

fn driver(id: &str) -> Driver {
    Driver {
        id: DriverId::parse(id).unwrap(),
        name: "Dana".to_owned(),
        rating: 4.9,
        contact: "212-555-0100".to_owned(),
        vehicle: Vehicle { plate: "T1".to_owned(), model: "M".to_owned(), color: "blue".to_owned() },
    }
}

async fn lose_rides(database: &Database, number: usize) {
    let connection = database.raw(number).await;
    let lose = match connection.get_database_backend() {
        DbBackend::Postgres => "DROP TABLE rides CASCADE",
        _ => "PRAGMA foreign_keys = OFF; DROP TABLE rides",
    };
    connection.execute_unprepared(lose).await.unwrap();
}

async fn count(database: &Database, number: usize, what: &str) -> i64 {
    let connection = database.raw(number).await;
    let statement = Statement::from_string(connection.get_database_backend(), format!("SELECT count(*) FROM {what}"));
    let row = connection.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

on_each_engine! {
    async fn everything_of_a_passenger_lies_in_the_database_of_their_shard_and_nowhere_else(engine) {
        let database = Database::open_several(engine, "routing", 3).await;
        let rides = rides(&database).await;
        for (number, (first, last)) in [(0, 341), (342, 682), (683, 1023)].into_iter().enumerate() {
            for table in ["passengers", "quotes", "rides", "ride_events", "payments"] {
                assert_eq!(count(&database, number, table).await, 2, "{table} in database {number}");
                let elsewhere = format!("{table} WHERE shard NOT BETWEEN {first} AND {last}");
                assert_eq!(count(&database, number, &elsewhere).await, 0, "{table} in database {number}");
            }
        }
        let shards = database.open_again().await.unwrap();
        for ride in &rides {
            assert_eq!(Ride::find(shards.read(ride.id.shard()), ride.id).await.unwrap().as_ref(), Some(ride));
        }
        let of = |number| Shard::new(number).unwrap();
        assert!(shards.same_database(of(0), of(341)) && !shards.same_database(of(341), of(342)));
    }

    async fn rows_of_several_databases_are_found_together(engine) {
        let database = Database::open_several(engine, "together", 3).await;
        let rides = rides(&database).await;
        let driver = driver("driver-1");
        for ride in &rides[1..] {
            let ride = database.change(ride, Change::PaymentAuthorised, NOW).await.unwrap();
            database.change(&ride, Change::Accepted { driver: driver.clone(), pickup_eta_s: 60 }, NOW).await.unwrap();
        }
        let found = Ride::find_accepted(&database.shards, &ids(&rides), &driver.id).await.unwrap();
        assert_eq!(ids(&found), ids(&rides[1..]));
        assert_eq!(Ride::find_accepted(&database.shards, &[], &driver.id).await.unwrap(), []);
        let another = DriverId::parse("driver-2").unwrap();
        assert_eq!(Ride::find_accepted(&database.shards, &ids(&rides), &another).await.unwrap(), []);
        let pages = async |after| ids(&Ride::list_open(&database.shards, after, 4).await.unwrap());
        let first = pages(None).await;
        assert_eq!(first, ids(&rides)[..4], "the first by id, wherever they lie");
        assert_eq!(pages(first.last().copied()).await, ids(&rides)[4..]);
    }

    async fn what_is_due_is_found_in_every_database_the_oldest_first(engine) {
        let database = Database::open_several(engine, "due", 3).await;
        let rides = rides(&database).await;
        // Each ride is due a second before the one before it: its clock stood so far back.
        for (place, ride) in (0..).zip(&rides) {
            database.change(ride, Change::PaymentAuthorised, NOW.plus_ms(-1000 * place)).await.unwrap();
        }
        let late = NOW.plus_s(TIMEOUTS.match_s);
        let oldest = Ride::list_timed_out(&database.shards, late, 4).await.unwrap();
        let expected: Vec<_> = rides.iter().rev().take(4).map(|ride| ride.id).collect();
        assert_eq!(oldest, expected);

        for ride in &rides {
            database.append(&Ride { version: 2, ..ride.clone() }, &[Message::Authorise]).await;
        }
        let due = async |at: Millis| OutboxEntry::due_rides(&database.shards, at, LEASE_MS * 10, 10).await.unwrap();
        assert_eq!(due(NOW).await, []);
        assert_eq!(due(NOW.plus_ms(LEASE_MS)).await, ids(&rides));
        assert_eq!(OutboxEntry::depth(&database.shards).await.unwrap(), (6, 0));
        let index = Message::IndexDriver { driver_id: DriverId::parse("driver-1").unwrap() };
        for ride in &rides[..4] {
            database.append(&Ride { version: 3, ..ride.clone() }, &[index.clone(), Message::RequestDriver]).await;
        }
        let lanes = OutboxEntry::waiting_by_lane(&database.shards).await.unwrap();
        assert_eq!(lanes, [("bank", 6), ("driver_index", 4), ("dispatch", 4)]);
        for number in 0..3 {
            database.raw(number).await.execute_unprepared("DELETE FROM outbox WHERE (seq & 6) <> 0").await.unwrap();
        }
        assert_eq!(OutboxEntry::waiting_by_lane(&database.shards).await.unwrap()[0], ("bank", 6));
        for (place, ride) in (0..).zip(&rides) {
            let key = OutboxEntry::heads(database.shards.read(ride.id.shard()), ride.id).await.unwrap()[0].key;
            let died_at = NOW.plus_ms(-place);
            let give_up = database.shards.write::<_, StoreError, _>(ride.id.shard(), move |tx| {
                Box::pin(async move { OutboxEntry::put_off(tx, key, None, "down", died_at).await })
            });
            give_up.await.unwrap();
        }
        let dead = OutboxEntry::list_dead(&database.shards, 4).await.unwrap();
        assert_eq!(dead.iter().map(|dead| dead.key.ride_id).collect::<Vec<_>>(), expected);
        assert_eq!(OutboxEntry::depth(&database.shards).await.unwrap(), (0, 6));
    }

    async fn a_database_that_does_not_answer_keeps_no_other_from_being_asked_and_written(engine) {
        let database = Database::open_several(engine, "one-fails", 3).await;
        let rides = rides(&database).await;
        lose_rides(&database, 0).await;
        let late = NOW.plus_s(TIMEOUTS.match_s);
        let found = Ride::list_timed_out(&database.shards, late, 10).await.unwrap();
        let mut expected: Vec<_> = [0, 2, 3, 5].map(|place| rides[place].id).to_vec();
        expected.sort_unstable();
        assert_eq!(found.len(), 4);
        assert!(expected.iter().all(|id| found.contains(id)), "{found:?}");
        let written = database.shards.write_everywhere::<_, StoreError, _>(|tx| {
            Box::pin(async move {
                let brought = Ride::bring_deadlines_back(tx, &TIMEOUTS, NOW.plus_ms(-60_000)).await?;
                assert!(brought == 2 && tx.database() > 0);
                Ok(brought)
            })
        });
        assert!(written.await.is_err(), "it is told");
        assert_eq!(count(&database, 1, "rides WHERE due_at < 1790000060000").await, 0);
        let earlier = NOW.plus_ms(-60_000).plus_s(TIMEOUTS.match_s);
        let written = Ride::list_timed_out(&database.shards, earlier, 10).await.unwrap();
        assert_eq!(written.len(), 4, "the others were written");
        for number in [1, 2] {
            lose_rides(&database, number).await;
        }
        assert!(Ride::list_timed_out(&database.shards, late, 10).await.is_err(), "none answers");
    }
}
