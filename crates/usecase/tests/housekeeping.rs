//! What housekeeping leaves, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "../../entity/tests/database/mod.rs"]
mod database;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use database::{Database, NOW};
use entity::{KnownDevice, Opened, Quote, StoreError, value::PhoneHash};
use usecase::housekeeping::Housekeeping;

const KEPT_S: u32 = 30 * 24 * 3600;

on_each_engine! {
    async fn an_unused_quote_goes_thirty_days_after_it_expired_and_a_used_one_stays(engine) {
        let database = Database::open(engine, "housekeeping").await;
        let passenger_id = database.passenger(1).await;
        let (unused, used) = (database.quote(passenger_id).await, database.quote(passenger_id).await);
        assert!(matches!(database.open_ride(passenger_id, used).await, Opened::Opened(_)));
        let housekeeping = Housekeeping::new(database.shards.clone());
        let left = async |ids: &[_]| {
            let mut left = Vec::new();
            for id in ids {
                let shard = database.shards.read(passenger_id.shard());
                let quote = Quote::find_owned(shard, passenger_id, *id).await.unwrap();
                left.push(quote.is_some());
            }
            left
        };
        let at_the_end = NOW.plus_s(300).plus_s(KEPT_S);
        assert_eq!(housekeeping.run(move || at_the_end.plus_ms(-1)).await.unwrap(), 0);
        assert_eq!(left(&[unused, used]).await, [true, true]);
        assert_eq!(housekeeping.run(move || at_the_end).await.unwrap(), 1);
        assert_eq!(left(&[unused, used]).await, [false, true]);

        // The clock had been ahead: what expires where it has been is not passed over.
        housekeeping.run(move || at_the_end.plus_s(3600)).await.unwrap();
        let later = database.quote_until(passenger_id, NOW.plus_s(600)).await;
        assert_eq!(housekeeping.run(move || at_the_end).await.unwrap(), 0);
        assert_eq!(housekeeping.run(move || at_the_end.plus_s(300)).await.unwrap(), 1);
        assert_eq!(left(&[later, used]).await, [false, true]);
    }

    async fn what_has_not_expired_since_the_clock_was_set_back_stays_though_housekeeping_had_begun(engine) {
        let database = Database::open(engine, "set-back").await;
        let device = KnownDevice { phone_hash: PhoneHash([1; 32]), device_hash: [2; 32] };
        let remember = database.shards.write::<_, StoreError, _>(device.phone_hash.shard(), move |tx| {
            Box::pin(async move { device.remember(tx, NOW.plus_s(60)).await })
        });
        remember.await.unwrap();
        let is_ahead = Arc::new(AtomicBool::new(true));
        let clock = move || if is_ahead.swap(false, Ordering::Relaxed) { NOW.plus_s(3600) } else { NOW };
        assert_eq!(Housekeeping::new(database.shards.clone()).run(clock).await.unwrap(), 0);
        assert!(device.is_known(database.shards.read(device.phone_hash.shard()), NOW).await.unwrap());
    }
}
