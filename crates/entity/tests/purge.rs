//! What has expired goes, a batch at a time, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, NOW};
use entity::{Opened, Quote, Session, StoreError, quote::Purged, value::Millis};

on_each_engine! {
    async fn quotes_go_in_batches_except_those_that_a_ride_was_requested_with(engine) {
        let database = Database::open(engine, "quotes").await;
        let passenger_id = database.passenger(1).await;
        let mut quotes = Vec::new();
        for ms in [1, 2, 3, 3, 4, 5] {
            quotes.push(database.quote_until(passenger_id, NOW.plus_ms(ms)).await);
        }
        assert!(matches!(database.open_ride(passenger_id, quotes[1]).await, Opened::Opened(_)));
        let purge = async |after: Millis| -> Purged {
            let before = NOW.plus_ms(4);
            let purge = database
                .shards
                .write_everywhere::<_, StoreError, _>(move |tx| Box::pin(Quote::purge_unused(tx, after, before, 3)));
            purge.await.unwrap().remove(0)
        };
        let third = NOW.plus_ms(3);
        assert_eq!(purge(Millis(i64::MIN)).await, Purged { removed: 3, next: Some(third) }, "one was used");
        assert_eq!(purge(third).await, Purged { removed: 1, next: None });
        assert_eq!(purge(Millis(i64::MIN)).await, Purged { removed: 0, next: None });
        let mut left = Vec::new();
        for id in quotes.clone() {
            let found = Quote::find_owned(database.shards.read(passenger_id.shard()), passenger_id, id).await.unwrap();
            left.extend(found.map(|quote| quote.id));
        }
        assert_eq!(left, [quotes[1], quotes[5]], "the used one and the one that is not old enough");
    }

    async fn the_oldest_sessions_go_first_and_only_expired_ones(engine) {
        let database = Database::open(engine, "sessions").await;
        let passenger_id = database.passenger(1).await;
        for ms in [1, 2, 3, 3, 4] {
            let open = database.shards.write_everywhere::<_, StoreError, _>(move |tx| {
                Box::pin(Session::open(tx, passenger_id, "phone", NOW, NOW.plus_ms(ms)))
            });
            open.await.unwrap();
        }
        let purge = async || {
            let purge = database
                .shards
                .write_everywhere::<_, StoreError, _>(|tx| Box::pin(Session::purge_expired(tx, NOW.plus_ms(3), 2)));
            purge.await.unwrap().iter().sum::<u64>()
        };
        assert_eq!([purge().await, purge().await, purge().await], [2, 2, 0]);
        let left = database
            .shards
            .write_everywhere::<_, StoreError, _>(move |tx| Box::pin(Session::revoke_all(tx, passenger_id)));
        assert_eq!(left.await.unwrap(), [1]);
    }
}
