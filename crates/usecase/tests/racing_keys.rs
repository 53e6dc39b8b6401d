//! Who waits for a key that is in use, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "../../entity/tests/database/mod.rs"]
mod database;

use std::sync::Arc;

use database::{Database, NOW};
use entity::{Passenger, StoreConfig, StoreError};
use runtime::Entropy;
use tokio::sync::Notify;
use usecase::rides::request_ride::{Command, Error, InFlight, RequestRide};

on_each_engine! {
    async fn only_a_racer_for_the_same_key_hears_that_it_is_in_progress(engine) {
        let settings = StoreConfig { acquire_timeout_s: 1, ..StoreConfig::default() };
        let database = Database::open_with(engine, "racing-keys", settings).await;
        let (shards, passenger_id) = (&database.shards, database.passenger(1).await);
        let requests = RequestRide {
            config: Arc::default(),
            entropy: Entropy::seeded(2),
            shards: shards.clone(),
            in_flight: InFlight::default(),
        };
        let request = |key: &str| {
            let command = Command {
                passenger_id,
                key: key.to_owned(),
                quote_id: "1".parse().unwrap(),
                product: "economy".to_owned(),
                render: |_| String::new(),
            };
            requests.run(command, NOW)
        };

        // Somebody else holds the only writer, or the passenger, for longer than anybody waits.
        let (held, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, until) = (held.clone(), release.clone());
        let holding = shards.write(passenger_id.shard(), move |tx| {
            let (told, until) = (told.clone(), until.clone());
            Box::pin(async move {
                Passenger::find_alone(tx, passenger_id).await?;
                told.notify_one();
                until.notified().await;
                Ok::<_, StoreError>(())
            })
        });
        let asking = async {
            held.notified().await;
            let answers = tokio::join!(request("one"), request("one"), request("two"));
            release.notify_one();
            answers
        };
        let (held, (first, racer, other)) = tokio::join!(holding, asking);
        held.unwrap();
        assert!(matches!(first, Err(Error::Store(StoreError::Busy(_)))), "{first:?}");
        assert!(matches!(racer, Err(Error::InProgress)), "{racer:?}");
        assert!(matches!(other, Err(Error::Store(StoreError::Busy(_)))), "{other:?}");
        // Nobody is counted for ever.
        assert!(matches!(request("one").await, Err(Error::QuoteNotFound)));
    }
}
