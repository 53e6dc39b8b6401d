//! Databases whose log and index the test writes apart.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "shared by test binaries")]

#[path = "../../../entity/tests/database/mod.rs"]
pub mod database;
pub mod seed;

use std::sync::Arc;

use database::Database;
pub use database::{Engine, NOW};
use entity::{
    Actor, Attempt, Barrier, Change, Decision, Driver, DriverRide, IndexRow, Message, OutboxEntry, Ride, Shards,
    StoreError, Transaction, Vehicle,
    value::{DriverId, Id},
};
use runtime::{Clock, Entropy, task::Supervisor};
use sea_orm::ConnectionTrait;
use usecase::{
    driver_index,
    rides::drive_ride::{Command, DriveRide, Step},
};

pub struct World {
    database: Database,
    pub databases: usize,
}

impl World {
    /// The shards on so many databases.
    pub async fn new(engine: Engine, name: &str, databases: usize) -> Self {
        let database = Database::open_several(engine, &format!("{name}-{databases}"), databases).await;
        Self { database, databases }
    }

    pub fn shards(&self) -> &Shards {
        &self.database.shards
    }

    /// A driver whose part of the index lies in the same database as the ride, or in another.
    pub fn driver(&self, ride: &Ride, is_near: bool) -> DriverId {
        let mut ids = (0..1000).map(|number| DriverId::parse(&format!("driver-{number}")).unwrap());
        let lies = |id: &DriverId| self.shards().same_database(DriverRide::shard(id), ride.id.shard());
        ids.find(|id| lies(id) == is_near).expect("a name")
    }

    /// A ride of this passenger that a driver may accept.
    pub async fn ride(&self, passenger: u8) -> Ride {
        let ride = self.database.ride(passenger).await;
        self.change(&ride, Change::PaymentAuthorised).await
    }

    pub async fn change(&self, ride: &Ride, change: Change) -> Ride {
        self.database.change(ride, change, NOW).await.expect("a legal change")
    }

    /// The acceptance alone, without its index row.
    pub async fn accept(&self, ride: &Ride, driver_id: &DriverId) -> Ride {
        self.change(ride, Change::Accepted { driver: card(driver_id), pickup_eta_s: 60 }).await
    }

    /// The driver lets the ride go.
    pub async fn release(&self, ride: &Ride) -> Ride {
        self.change(ride, Change::Released { by: Actor::Driver }).await
    }

    /// The relay is told to write the row.
    pub async fn tell(&self, ride: &Ride, driver_id: &DriverId) {
        self.database.append(ride, &[Message::IndexDriver { driver_id: driver_id.clone() }]).await;
    }

    /// The row is held ready at the driver's side.
    pub async fn reserve(&self, attempt: &Attempt) {
        let (shard, attempt) = (DriverRide::shard(&attempt.driver_id), attempt.clone());
        let reserve = self.shards().write::<_, StoreError, _>(shard, move |tx| {
            let attempt = attempt.clone();
            Box::pin(async move { Barrier::reserve(tx, &attempt, NOW, 6_000).await })
        });
        assert!(reserve.await.unwrap());
    }

    /// It is decided that it becomes the row.
    pub async fn decide(&self, attempt: &Attempt) {
        let (shard, attempt) = (attempt.ride_id.shard(), attempt.clone());
        let decide = self.shards().write::<_, StoreError, _>(shard, move |tx| {
            let attempt = attempt.clone();
            Box::pin(async move { Transaction::decide(tx, &attempt, Decision::Commit, NOW, 6_000).await })
        });
        assert_eq!(decide.await.unwrap(), Decision::Commit);
    }

    /// The index row alone, without an acceptance.
    pub async fn index(&self, driver_id: &DriverId, ride_id: Id<Ride>) {
        let (row, driver_id) = (IndexRow::of(driver_id.clone(), ride_id), driver_id.clone());
        let record = self.shards().write::<_, StoreError, _>(row.shard, move |tx| {
            let driver_id = driver_id.clone();
            Box::pin(async move { DriverRide::record(tx, &driver_id, ride_id).await })
        });
        record.await.unwrap();
    }

    /// The index loses a row.
    pub async fn forget(&self, driver_id: &DriverId, ride_id: Id<Ride>) {
        let row = IndexRow::of(driver_id.clone(), ride_id);
        let forget = self.shards().write::<_, StoreError, _>(row.shard, move |tx| {
            let row = row.clone();
            Box::pin(async move { DriverRide::forget(tx, &row).await })
        });
        assert!(forget.await.unwrap());
    }

    /// A ride of this passenger from beginning to end, now, as dispatch drives it; what the relay is told nobody does.
    pub async fn drive(&self, passenger: u8, driver_id: &DriverId) -> Ride {
        let ride = self.ride(passenger).await;
        let driver_index = driver_index::Config::default().build(driver_index::Deps {
            shards: self.shards().clone(),
            supervisor: Supervisor::new(&prometheus::Registry::new()).unwrap(),
            entropy: Entropy::seeded(11),
        });
        let drive = DriveRide { config: Arc::default(), shards: self.shards().clone(), driver_index };
        let accept = Step::Accept { driver: card(driver_id), pickup_eta_s: 60 };
        for step in [accept, Step::Arrive, Step::Start { pickup_code: None }, Step::Complete] {
            let command = Command { ride_id: ride.id, driver_id: driver_id.clone(), step };
            drive.run(command, Clock::system().now()).await.unwrap();
        }
        ride
    }

    /// The ride, which a driver has accepted, comes to its end.
    pub async fn complete(&self, ride: &Ride) {
        let arrived = self.change(ride, Change::Arrived).await;
        let started = self.change(&arrived, Change::Started).await;
        self.change(&started, Change::Completed).await;
    }

    pub async fn is_indexed(&self, driver_id: &DriverId, ride_id: Id<Ride>) -> bool {
        let shard = self.shards().read(DriverRide::shard(driver_id));
        DriverRide::exists(shard, driver_id, ride_id).await.unwrap()
    }

    /// Runs a statement in every database.
    pub async fn execute(&self, statement: &str) {
        for number in 0..self.databases {
            self.execute_in(number, statement).await;
        }
    }

    /// Runs a statement in one of the databases.
    pub async fn execute_in(&self, number: usize, statement: &str) {
        self.database.raw(number).await.execute_unprepared(statement).await.unwrap();
    }

    /// What the relay does with the messages about the index.
    pub async fn deliver(&self, ride_id: Id<Ride>) {
        for message in OutboxEntry::heads(self.shards().read(ride_id.shard()), ride_id).await.unwrap() {
            let Message::IndexDriver { driver_id } = message.message else { continue };
            self.index(&driver_id, ride_id).await;
            let acknowledge = self.shards().write::<_, StoreError, _>(ride_id.shard(), move |tx| {
                Box::pin(async move { OutboxEntry::acknowledge(tx, message.key).await })
            });
            acknowledge.await.unwrap();
        }
    }
}

fn card(driver_id: &DriverId) -> Driver {
    let vehicle = Vehicle { plate: "T1".to_owned(), model: "M".to_owned(), color: "blue".to_owned() };
    let (name, contact) = ("Dana".to_owned(), "212-555-0100".to_owned());
    Driver { id: driver_id.clone(), name, rating: 4.9, contact, vehicle }
}
