//! What only one of several at the same time may do. On SQLite one transaction writes at a time; elsewhere they all
//! run.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use database::{Database, Engine, NOW, TIMEOUTS, WRITERS};
use entity::{
    Allowance, Change, Claim, IdempotencyKey, KeyedRoute, Message, Opened, OtpBudget, OtpBudgetKind, OtpChallenge,
    OtpCheck, OutboxEntry, Passenger, PaymentStatus, Ride, Rotation, Session, SignedUp, StoreError, Tx,
    value::{Phone, PhoneHash, Shard},
};
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Barrier;

/// One a connection, so that all can run at once.
const RACERS: usize = WRITERS as usize;

/// The same transaction from everybody at once; what each came to. Where several can be open they all are before the first
/// statement.
async fn race<T: Send + 'static>(
    database: &Database,
    shard: Shard,
    work: impl for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Clone + Send + Sync + 'static,
) -> Vec<T> {
    let (begun, arrived) = (Arc::new(Barrier::new(RACERS)), Arc::new(AtomicUsize::new(0)));
    let all = (0..RACERS).map(|_| {
        let (work, begun, arrived) = (work.clone(), begun.clone(), arrived.clone());
        database.shards.write(shard, move |tx| {
            let (work, begun) = (work.clone(), begun.clone());
            // A transaction that is run again finds nobody to wait for.
            let waits = tx.engine() == Engine::Postgres && arrived.fetch_add(1, Ordering::Relaxed) < RACERS;
            Box::pin(async move {
                if waits {
                    begun.wait().await;
                }
                work(tx).await
            })
        })
    });
    let all = join_all(all).await;
    all.into_iter().map(|one| one.unwrap_or_else(|error| panic!("nobody's fault: {error}"))).collect()
}

fn count<T>(all: &[T], what: impl Fn(&T) -> bool) -> usize {
    all.iter().filter(|one| what(one)).count()
}

on_each_engine! {
    async fn racing_first_sign_ins_make_one_passenger(engine) {
        let database = Database::open(engine, "sign-ins").await;
        let hash = PhoneHash([9; 32]);
        let all = race(&database, hash.shard(), move |tx| {
            let phone = Phone::parse("+12125550100").unwrap();
            Box::pin(async move { Passenger::find_or_create(tx, &phone, hash, NOW).await })
        })
        .await;
        assert_eq!(count(&all, |one| matches!(one, SignedUp::New(_))), 1);
        let ids: BTreeSet<i64> = all
            .iter()
            .map(|one| match one {
                SignedUp::New(passenger) | SignedUp::Known(passenger) => passenger.id.value(),
            })
            .collect();
        assert_eq!(ids.len(), 1);
    }

    async fn racing_requests_open_one_ride_and_use_a_quote_once(engine) {
        let database = Database::open(engine, "requests").await;
        let passenger_id = database.passenger(1).await;
        let one = database.quote(passenger_id).await;
        let all = race(&database, passenger_id.shard(), move |tx| {
            Box::pin(Ride::open(tx, Database::new_ride(passenger_id, one), &TIMEOUTS, NOW))
        }).await;
        let opened = all.iter().filter_map(|one| match one {
            Opened::Opened(ride) => Some(ride),
            _ => None,
        });
        let [ride] = opened.collect::<Vec<_>>()[..] else { panic!("{all:?}") };
        assert_eq!(count(&all, |one| *one == Opened::AlreadyActive(ride.id)), RACERS - 1);
        let cancel = Change::Cancelled { by: entity::Actor::Passenger, reason: "test".to_owned(), fee: 0 };
        database.change(ride, cancel, NOW).await.unwrap();
        let all = race(&database, passenger_id.shard(), move |tx| {
            Box::pin(Ride::open(tx, Database::new_ride(passenger_id, one), &TIMEOUTS, NOW))
        }).await;
        assert!(all.iter().all(|one| *one == Opened::QuoteUsed), "{all:?}");
    }

    async fn racing_uses_of_a_key_do_the_work_once(engine) {
        let database = Database::open(engine, "claims").await;
        let passenger_id = database.passenger(1).await;
        let key =
            IdempotencyKey { passenger_id, route: KeyedRoute::RequestRide, key: "k".to_owned(), fingerprint: [1; 32] };
        for now in [NOW, NOW.plus_s(60)] {
            let key = key.clone();
            let all = race(&database, passenger_id.shard(), move |tx| {
                let key = key.clone();
                Box::pin(async move {
                    let claim = key.claim(tx, now, now.plus_s(60)).await?;
                    if claim == Claim::New {
                        key.store(tx, format!("at {}", now.0)).await?;
                    }
                    Ok(claim)
                })
            })
            .await;
            assert_eq!(count(&all, |one| *one == Claim::New), 1, "{all:?}");
            assert_eq!(count(&all, |one| *one == Claim::Replay(format!("at {}", now.0))), RACERS - 1, "{all:?}");
        }
    }

    async fn racing_asks_never_take_one_code_too_many(engine) {
        let database = Database::open(engine, "codes").await;
        let budget = |kind, who: u8, codes| OtpBudget {
            shard: Shard::from_first_bits(&[who; 32]),
            kind,
            key_hash: [who; 32],
            allowance: Allowance::new(codes, 600),
        };
        // Rows that nobody has written yet, then rows that are there, in any order.
        let (phone, address) = (budget(OtpBudgetKind::Phone, 1, 5), budget(OtpBudgetKind::Address, 2, 8));
        let mut admitted = 0;
        for budgets in [[phone, address], [address, phone]] {
            let all = race(&database, phone.shard, move |tx| {
                Box::pin(async move { OtpBudget::take(tx, &budgets, NOW).await })
            })
            .await;
            admitted += count(&all, |one| one.wait_ms() == 0);
        }
        assert_eq!(admitted, 5);
        let left = OtpBudget::ask(&database.shards, &[address], NOW).await.unwrap();
        let (_, standing) = left.standings().next().unwrap();
        let three_left = matches!(standing, entity::Standing::Admits { remaining: 2, .. });
        assert!(three_left, "five of eight are gone: {standing:?}");
    }

    async fn racing_tries_use_up_one_attempt_each(engine) {
        let database = Database::open(engine, "tries").await;
        let hash = PhoneHash([3; 32]);
        let store = database.shards.write::<_, StoreError, _>(hash.shard(), move |tx| {
            Box::pin(async move {
                let id = OtpChallenge::draw_id(tx, hash, NOW)?;
                let phone = Phone::parse("+12125550100").unwrap();
                let challenge = OtpChallenge { id, phone, phone_hash: hash, expires_at: NOW.plus_s(300) };
                challenge.insert(tx, [1; 32], 5).await?;
                Ok(id)
            })
        });
        let id = store.await.unwrap();
        let all = race(&database, hash.shard(), move |tx| {
            Box::pin(async move { OtpChallenge::check(tx, id, NOW, |_| false).await })
        })
        .await;
        let left: BTreeSet<i16> = all
            .iter()
            .filter_map(|one| match one {
                OtpCheck::Wrong { attempts_left } => Some(*attempts_left),
                _ => None,
            })
            .collect();
        assert_eq!(left, (0..5).collect(), "{all:?}");
        assert_eq!(count(&all, |one| matches!(one, OtpCheck::Gone)), RACERS - 5, "{all:?}");
    }

    async fn racing_refreshes_are_given_the_same_successor(engine) {
        let database = Database::open(engine, "refreshes").await;
        let passenger_id = database.passenger(1).await;
        let open = database.shards.write::<_, StoreError, _>(passenger_id.shard(), move |tx| {
            Box::pin(Session::open(tx, passenger_id, "phone", NOW, NOW.plus_s(60)))
        });
        let id = open.await.unwrap().id;
        let all = race(&database, passenger_id.shard(), move |tx| {
            Box::pin(Session::rotate(tx, id, 1, NOW, NOW.plus_s(60), 10_000))
        })
        .await;
        let is_second = |one: &Rotation| matches!(one, Rotation::Current(session) if session.generation == 2);
        assert_eq!(count(&all, is_second), RACERS, "{all:?}");
    }

    async fn racing_changes_of_a_ride_see_each_other(engine) {
        let database = Database::open(engine, "changes").await;
        let ride_id = database.ride(1).await.id;
        let all = race(&database, ride_id.shard(), move |tx| {
            Box::pin(async move {
                let ride = Ride::find(tx, ride_id).await?.unwrap();
                if ride.payment_status != PaymentStatus::Pending {
                    return Ok(false);
                }
                let next = ride.after(&Change::PaymentAuthorised, NOW).unwrap();
                ride.advance(tx, &next, &Change::PaymentAuthorised, &TIMEOUTS, NOW).await?;
                Ok(true)
            })
        })
        .await;
        assert_eq!(count(&all, |changed| *changed), 1);
    }

    async fn a_dead_letter_gets_one_more_life_from_several_operators(engine) {
        let database = Database::open(engine, "operators").await;
        let ride = database.ride(1).await;
        database.append(&ride, &[Message::Void]).await;
        let key = OutboxEntry::heads(database.shards.read(ride.id.shard()), ride.id).await.unwrap()[0].key;
        let give_up = database.shards.write::<_, StoreError, _>(ride.id.shard(), move |tx| {
            Box::pin(async move { OutboxEntry::put_off(tx, key, None, "down", NOW).await })
        });
        give_up.await.unwrap();
        let all = race(&database, ride.id.shard(), move |tx| Box::pin(OutboxEntry::requeue(tx, key, NOW))).await;
        assert_eq!(count(&all, Option::is_some), 1);
    }
}
