//! The shards on several databases.

use std::collections::BTreeSet;

use entity::{
    DriverRide,
    value::{DriverId, Id, Shard},
};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};
use serde_json::Value;

use crate::harness::{Driver, Folder, Gateway, Passenger, eventually, has_three_servers, run_to_exit_in, text};

/// Three files in the gateway's folder, which it runs in.
pub(crate) const THREE: &str = "sqlite://data/one.db,sqlite://data/two.db,sqlite://data/three.db";
const FILES: [&str; 3] = ["data/one.db", "data/two.db", "data/three.db"];

/// Which of three databases holds a shard: equal parts, neighbours together.
fn place(shard: Shard) -> usize {
    usize::from(shard.number().unsigned_abs()) * 3 / 1024
}

fn place_of_ride(id: &str) -> usize {
    place(id.parse::<Id<entity::Ride>>().unwrap().shard())
}

/// Passengers until each database has one: where a phone's passenger lies is as good as drawn by lot.
pub(crate) async fn a_passenger_in_each(gateway: &Gateway) -> [Passenger; 3] {
    let mut found = [None, None, None];
    for _ in 0..100 {
        let passenger = gateway.passenger().await;
        let place = place(passenger.id.parse::<Id<entity::Passenger>>().unwrap().shard());
        found[place].get_or_insert(passenger);
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    found.map(|passenger| passenger.expect("a hundred phones reach every database"))
}

/// A driver whose part of the index lies in each database.
pub(crate) fn a_driver_in_each(gateway: &Gateway) -> [Driver; 3] {
    [0, 1, 2].map(|wanted| {
        let mut names = (0..1000).map(|number| format!("driver-{number}"));
        let lies_there = |name: &String| place(DriverRide::shard(&DriverId::parse(name).unwrap())) == wanted;
        gateway.driver(&names.find(lies_there).expect("a name"))
    })
}

/// Settings with which a gateway has three databases: on three servers, if this run is about them, else three files.
pub(crate) fn on_three_databases<'s>(settings: &[(&'s str, &'s str)]) -> Vec<(&'s str, &'s str)> {
    let mut all = settings.to_vec();
    if !has_three_servers() {
        all.push(("store.shards", THREE));
    }
    all
}

/// How to reach the three from anywhere.
pub(crate) fn dsns(gateway: &Gateway) -> Vec<String> {
    match has_three_servers() {
        true => gateway.dsns(),
        false => FILES.iter().map(|file| format!("sqlite://{}", gateway.file(file).display())).collect(),
    }
}

/// A connection of one's own to one of the three.
pub(crate) async fn raw(gateway: &Gateway, place: usize) -> DatabaseConnection {
    let dsn = dsns(gateway).remove(place);
    Database::connect(ConnectOptions::new(dsn).max_connections(1).to_owned()).await.unwrap()
}

async fn rows(gateway: &Gateway, place: usize, table: &str) -> Vec<i64> {
    let database = raw(gateway, place).await;
    let shards = format!("SELECT cast(shard AS bigint) FROM {table}");
    let shards = Statement::from_string(database.get_database_backend(), shards);
    let rows = database.query_all_raw(shards).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

pub(crate) fn ids(page: &Value) -> BTreeSet<String> {
    page["rides"].as_array().unwrap().iter().map(|ride| text(&ride["id"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rides_run_to_their_end_wherever_passenger_and_driver_lie() {
    let mut gateway = Gateway::start_with(&on_three_databases(&[])).await;
    let (passengers, drivers) = (a_passenger_in_each(&gateway).await, a_driver_in_each(&gateway));
    let mut driven = [(); 3].map(|()| BTreeSet::new());
    for (home, passenger) in passengers.iter().enumerate() {
        for (driver, driven) in drivers.iter().zip(&mut driven) {
            let ride = text(&driver.ride_at(passenger, "completed").await["id"]);
            assert_eq!(place_of_ride(&ride), home);
            passenger.receipt_with(&ride, "captured").await;
            driven.insert(ride);
        }
    }
    gateway.crash_and_restart().await;
    for (passenger, home) in passengers.iter().zip(0..) {
        let history = passenger.api.get("/v1/rides").send().await.expect(200);
        assert_eq!(ids(&history).len(), 3);
        assert!(ids(&history).iter().all(|ride| place_of_ride(ride) == home));
    }
    for (driver, driven) in drivers.iter().zip(&driven) {
        eventually("the index has every ride, wherever it lies", async || {
            (ids(&driver.rides().await) == *driven).then_some(())
        })
        .await;
    }
    assert_eq!(gateway.stop().await, Some(0));
    for home in 0..3 {
        for (table, least) in
            [("passengers", 1), ("sessions", 1), ("quotes", 3), ("rides", 3), ("ride_events", 3), ("driver_rides", 3)]
        {
            let shards = rows(&gateway, home, table).await;
            assert!(shards.len() >= least, "{table} in database {home}: {}", shards.len());
            let strays = shards.iter().filter(|shard| **shard * 3 / 1024 != i64::try_from(home).unwrap()).count();
            assert_eq!(strays, 0, "{table} in database {home}");
        }
        assert_eq!(rows(&gateway, home, "outbox").await, [0_i64; 0], "every message was delivered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_times_out_and_a_release_is_answered_again_in_every_database() {
    let gateway = Gateway::start_with(&on_three_databases(&[("rides.match_timeout_s", "2")])).await;
    let (passengers, drivers) = (a_passenger_in_each(&gateway).await, a_driver_in_each(&gateway));
    for (home, passenger) in passengers.iter().enumerate() {
        // A driver whose index lies elsewhere.
        let driver = &drivers[(home + 1) % 3];
        let ride = text(&driver.ride_at(passenger, "accepted").await["id"]);
        for _ in 0..2 {
            driver.step(&ride, "release").await.expect(200);
        }
        drivers[home].step(&ride, "release").await.problem(409, "illegal-transition");
        passenger.ride_with(&ride, "status", "expired").await;
        eventually("nobody waits for a driver", async || {
            (passenger.api.get("/v1/rides/current").send().await.status == 204).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_reached_stops_every_command_and_nothing_is_written_or_told_of_its_password() {
    // A port that is free: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shards = format!("sqlite://one.db,postgres://rider:hunter%2F2@127.0.0.1:{port}/rides");
    for command in [&["serve"][..], &["migrate"], &["consistency", "check"]] {
        let folder = Folder::new();
        let (code, said) =
            run_to_exit_in(&folder, command, &[("store.shards", &shards), ("runtime.log", "trace")]).await;
        let place = format!("database 2 (127.0.0.1:{port}/rides)");
        assert!(code != 0 && said.contains(&place), "{command:?}: {said}");
        assert!(!said.contains("hunter") && !said.contains("rider"), "{command:?}: {said}");
        let file = format!("sqlite://{}?mode=rwc", folder.path().join("one.db").display());
        let first = Database::connect(ConnectOptions::new(file).max_connections(1).to_owned()).await.unwrap();
        let tables = Statement::from_string(first.get_database_backend(), "SELECT name FROM sqlite_master");
        assert!(first.query_all_raw(tables).await.unwrap().is_empty(), "{command:?}: nothing is written");
    }
}
