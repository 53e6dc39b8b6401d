//! Who writes next, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use std::sync::{Arc, Mutex};

use database::Database;
use entity::{Shards, StoreError, store::Engine, value::Shard};
use futures_util::future::join_all;
use tokio::sync::oneshot;

const OTHERS: usize = 20;

type Order = Arc<Mutex<Vec<usize>>>;

fn shard() -> Shard {
    Shard::from_first_bits(&[0; 32])
}

/// Notes when it is written; the one after the others goes first.
async fn write(shards: &Shards, who: usize, order: &Order) -> Result<(), StoreError> {
    let order = order.clone();
    if who == OTHERS {
        shards.write_first(shard(), move |_| Box::pin(push(order.clone(), who))).await
    } else {
        shards.write(shard(), move |_| Box::pin(push(order.clone(), who))).await
    }
}

async fn push(order: Order, who: usize) -> Result<(), StoreError> {
    order.lock().unwrap().push(who);
    Ok(())
}

#[tokio::test]
async fn a_ride_under_way_is_written_before_all_who_wait() {
    let database = Database::open(Engine::Sqlite, "turns").await;
    let (shards, order) = (&database.shards, Order::default());
    // One that holds the writer until everybody has lined up.
    let (go, wait) = oneshot::channel::<()>();
    let wait = Arc::new(tokio::sync::Mutex::new(Some(wait)));
    let (is_in, entered) = oneshot::channel();
    let is_in = Arc::new(Mutex::new(Some(is_in)));
    let holds = shards.write(shard(), move |_| {
        let (wait, is_in) = (wait.clone(), is_in.clone());
        Box::pin(async move {
            is_in.lock().unwrap().take().unwrap().send(()).unwrap();
            let wait = wait.lock().await.take().unwrap();
            wait.await.unwrap();
            Ok::<_, StoreError>(())
        })
    });
    let rest = async {
        entered.await.unwrap();
        let others = join_all((0..OTHERS).map(|who| write(shards, who, &order)));
        // On one thread, whoever asks first is first in the line: the others are in it when this one asks.
        let first = async {
            let first = write(shards, OTHERS, &order);
            let go = async { go.send(()).unwrap() };
            tokio::join!(biased; first, go).0
        };
        let (others, first) = tokio::join!(biased; others, first);
        assert!(first.is_ok() && others.iter().all(Result::is_ok));
    };
    let (held, ()) = tokio::join!(holds, rest);
    held.unwrap();
    let order = order.lock().unwrap();
    let place = order.iter().position(|who| *who == OTHERS).unwrap();
    assert_eq!(place, 0, "{order:?}");
    assert!(order.iter().filter(|who| **who < OTHERS).is_sorted(), "the others in their order: {order:?}");
}
