//! Idempotency keys, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, NOW};
use entity::{Claim, IdempotencyKey, KeyedRoute, StoreError, value::Millis};

on_each_engine! {
    async fn a_key_gives_its_answer_until_it_expires_and_is_free_then(engine) {
        let database = Database::open(engine, "keys").await;
        let passenger_id = database.passenger(1).await;
        let claim = async |asked: u8, answer: &'static str, now: Millis| {
            let key = IdempotencyKey {
                passenger_id,
                route: KeyedRoute::RequestRide,
                key: "k".to_owned(),
                fingerprint: [asked; 32],
            };
            let claim = database.shards.write(passenger_id.shard(), move |tx| {
                let key = key.clone();
                Box::pin(async move {
                    let claim = key.claim(tx, now, now.plus_s(60)).await?;
                    if claim == Claim::New {
                        key.store(tx, answer.to_owned()).await?;
                    }
                    Ok::<_, StoreError>(claim)
                })
            });
            claim.await.unwrap()
        };
        let (last, over) = (NOW.plus_ms(59_999), NOW.plus_s(60));
        assert_eq!(claim(1, "first", NOW).await, Claim::New);
        assert_eq!(claim(1, "", last).await, Claim::Replay("first".to_owned()));
        assert_eq!(claim(2, "", last).await, Claim::Reused);
        assert_eq!(claim(2, "second", over).await, Claim::New);
        assert_eq!(claim(2, "", over).await, Claim::Replay("second".to_owned()));
        assert_eq!(claim(1, "", over).await, Claim::Reused);
    }
}
