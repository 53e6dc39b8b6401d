//! Who is deleted while they do something else, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "../../entity/tests/database/mod.rs"]
mod database;

use std::sync::Arc;

use database::{Database, NOW};
use entity::{Passenger, Quote, Ride, value::Id};
use futures_util::future::join_all;
use runtime::{Entropy, Secret};
use usecase::{
    auth::{self, Keys},
    profile::{ChangeProfile, Error},
    rides::request_ride::{Command, InFlight, RequestRide, Requested},
};

const PASSENGERS: u8 = 40;

/// Any 32 bytes.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

struct World {
    database: Database,
    profile: ChangeProfile,
    requests: RequestRide,
}

impl World {
    async fn request(&self, passenger_id: Id<Passenger>, quote_id: Id<Quote>) -> bool {
        let command = Command {
            passenger_id,
            key: "key".to_owned(),
            quote_id,
            product: "economy".to_owned(),
            render: |_| String::new(),
        };
        matches!(self.requests.run(command, NOW).await, Ok(Requested::Opened(_)))
    }

    /// Whether the passenger is gone afterwards.
    async fn delete(&self, passenger_id: Id<Passenger>) -> bool {
        match self.profile.delete(passenger_id).await {
            Ok(()) => true,
            Err(Error::AlreadyRiding(_)) => false,
            Err(other) => panic!("{other}"),
        }
    }
}

on_each_engine! {
    async fn nobody_is_gone_and_riding(engine) {
        let database = Database::open(engine, "gone").await;
        let keys = auth::Config { token_key: Secret::new(KEY), phone_key: Secret::new(KEY), ..auth::Config::default() };
        let world = World {
            profile: ChangeProfile { keys: Keys::from_config(&keys).unwrap(), shards: database.shards.clone() },
            requests: RequestRide {
                config: Arc::default(),
                entropy: Entropy::seeded(3),
                shards: database.shards.clone(),
                in_flight: InFlight::default(),
            },
            database,
        };
        let mut people = Vec::new();
        for number in 0..PASSENGERS {
            let passenger_id = world.database.passenger(number).await;
            people.push((passenger_id, world.database.economy_quote(passenger_id).await));
        }
        let races = people.iter().map(async |(passenger_id, quote_id)| {
            tokio::join!(world.request(*passenger_id, *quote_id), world.delete(*passenger_id))
        });
        let ended = join_all(races).await;
        for ((passenger_id, _), (opened, deleted)) in people.iter().zip(&ended) {
            assert_ne!(opened, deleted, "one of the two");
            let shard = world.database.shards.read(passenger_id.shard());
            let active = Ride::find_active(shard, *passenger_id).await.unwrap();
            assert_eq!(active.is_some(), *opened);
        }
    }
}
