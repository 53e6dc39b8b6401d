//! Who waits for a key that is in use, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::sync::Arc;

use entity::{
    Passenger, Shards, SignedUp, StoreConfig, StoreError,
    store::Deps,
    value::{Id, Millis, Phone, PhoneHash},
};
use runtime::{Entropy, Secret, task::Supervisor};
use tokio::sync::Notify;
use usecase::rides::request_ride::{Command, Error, InFlight, RequestRide};

const NOW: Millis = Millis(1_790_000_000_000);

async fn passenger(shards: &Shards) -> Id<Passenger> {
    let hash = PhoneHash([1; 32]);
    let phone = Phone::parse("+12125550123").unwrap();
    let signed_up: Result<SignedUp, StoreError> = shards
        .write(hash.shard(), move |tx| {
            let phone = phone.clone();
            Box::pin(async move { Passenger::find_or_create(tx, &phone, hash, NOW).await })
        })
        .await;
    match signed_up.unwrap() {
        SignedUp::New(passenger) | SignedUp::Known(passenger) => passenger.id,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_racer_for_the_same_key_hears_that_it_is_in_progress() {
    let folder = std::env::temp_dir().join(format!("gateway-racing-keys-{}", std::process::id()));
    let config = StoreConfig {
        shards: vec![Secret::new(format!("sqlite://{}", folder.join("gateway.db").display()))],
        acquire_timeout_s: 1,
        ..StoreConfig::default()
    };
    let deps = Deps {
        supervisor: Supervisor::new(&prometheus::Registry::new()).unwrap(),
        entropy: Entropy::seeded(1),
        on_commit: Arc::new(|_| {}),
    };
    let shards = config.build(deps).await.unwrap();
    let passenger_id = passenger(&shards).await;
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

    // Somebody else holds the only writer for longer than anybody waits.
    let (held, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, until) = (held.clone(), release.clone());
    let holding = shards.write(passenger_id.shard(), move |_| {
        let (told, until) = (told.clone(), until.clone());
        Box::pin(async move {
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
    shards.close().await;
    std::fs::remove_dir_all(folder).unwrap();
}
