//! Budgets of codes and known devices, in a real database.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, NOW};
use entity::{
    Allowance, KnownDevice, OtpBudget, OtpBudgetKind, OtpVerdict, Shards, StoreError,
    value::{Millis, PhoneHash, Shard},
};

const WINDOW_S: u32 = 600;

fn budget(kind: OtpBudgetKind, who: u8, codes: u32) -> OtpBudget {
    let key_hash = [who; 32];
    let allowance = Allowance::new(codes, WINDOW_S);
    OtpBudget { shard: Shard::from_first_bits(&key_hash), kind, key_hash, allowance }
}

/// Takes a code from all of them, or from none.
async fn take(shards: &Shards, budgets: &[OtpBudget], now: Millis) -> bool {
    let budgets = budgets.to_vec();
    let take = shards.write(budgets[0].shard, move |tx| {
        let budgets = budgets.clone();
        Box::pin(async move { OtpBudget::take(tx, &budgets, now).await })
    });
    let verdict: Result<OtpVerdict, StoreError> = take.await;
    verdict.unwrap().wait_ms() == 0
}

async fn wait_ms(shards: &Shards, budget: OtpBudget, now: Millis) -> i64 {
    OtpBudget::ask(shards, &[budget], now).await.unwrap().wait_ms()
}

on_each_engine! {
    async fn a_code_is_taken_from_every_budget_or_from_none_and_a_restart_forgets_nothing(engine) {
        let database = Database::open(engine, "budgets").await;
        let (phone, address) = (budget(OtpBudgetKind::Phone, 1, 1), budget(OtpBudgetKind::Address, 2, 2));
        assert!(take(&database.shards, &[phone, address], NOW).await);
        for _ in 0..5 {
            assert!(!take(&database.shards, &[address, phone], NOW).await, "the phone's is spent");
        }
        let again = database.open_again().await.unwrap();
        assert_eq!(wait_ms(&again, phone, NOW).await, i64::from(WINDOW_S) * 1000);
        assert!(take(&again, &[address], NOW).await, "the refusals took nothing from it");
        assert!(!take(&again, &[address], NOW).await);
        // The same hash is another budget in another kind.
        assert!(take(&again, &[budget(OtpBudgetKind::Device, 1, 1)], NOW).await);
    }

    async fn what_is_given_back_can_be_taken_again_once(engine) {
        let database = Database::open(engine, "given-back").await;
        let budgets = vec![budget(OtpBudgetKind::Phone, 1, 2), budget(OtpBudgetKind::Global, 2, 2)];
        assert!(take(&database.shards, &budgets, NOW).await);
        let not_sent = database.shards.write::<_, StoreError, _>(budgets[0].shard, {
            let budgets = budgets.clone();
            move |tx| {
                let budgets = budgets.clone();
                Box::pin(async move {
                    assert_eq!(OtpBudget::take(tx, &budgets, NOW).await?.wait_ms(), 0);
                    OtpBudget::give_back(tx, &budgets).await
                })
            }
        });
        not_sent.await.unwrap();
        assert!(take(&database.shards, &budgets, NOW).await);
        assert!(!take(&database.shards, &budgets[..1], NOW).await);
        assert!(!take(&database.shards, &budgets[1..], NOW).await);
    }

    async fn only_full_budgets_are_removed(engine) {
        let database = Database::open(engine, "full").await;
        let [early, late] = [1, 2].map(|who| budget(OtpBudgetKind::Phone, who, 1));
        assert!(take(&database.shards, &[early], NOW).await);
        assert!(take(&database.shards, &[late], NOW.plus_ms(1)).await);
        let full = NOW.plus_s(WINDOW_S);
        let purge = async |before: Millis| {
            let purge = database
                .shards
                .write_everywhere::<_, StoreError, _>(move |tx| Box::pin(OtpBudget::purge_full(tx, before, 10)));
            purge.await.unwrap().iter().sum::<u64>()
        };
        assert_eq!([purge(full.plus_ms(-1)).await, purge(full).await, purge(full).await], [0, 1, 0]);
        assert!(wait_ms(&database.shards, late, full).await > 0);
    }

    async fn a_device_is_known_with_the_phone_that_it_signed_in_with_and_for_its_time(engine) {
        let database = Database::open(engine, "devices").await;
        let device = |phone| KnownDevice { phone_hash: PhoneHash([phone; 32]), device_hash: [7; 32] };
        let [mine, yours] = [1, 2].map(device);
        let remember = async |until: Millis| {
            let remember = database
                .shards
                .write::<_, StoreError, _>(mine.phone_hash.shard(), move |tx| {
                    Box::pin(async move { mine.remember(tx, until).await })
                });
            remember.await.unwrap();
        };
        let known = async |device: KnownDevice, now: Millis| {
            device.is_known(database.shards.read(device.phone_hash.shard()), now).await.unwrap()
        };
        remember(NOW.plus_s(60)).await;
        assert!(known(mine, NOW).await && !known(yours, NOW).await);
        assert!(!known(mine, NOW.plus_s(60)).await);
        remember(NOW.plus_s(120)).await;
        assert!(known(mine, NOW.plus_s(60)).await, "it signed in once more");
        let expire = database
            .shards
            .write_everywhere::<_, StoreError, _>(|tx| Box::pin(KnownDevice::purge_expired(tx, NOW.plus_s(119), 10)));
        assert_eq!(expire.await.unwrap(), [0]);
        let forget = database
            .shards
            .write_everywhere::<_, StoreError, _>(move |tx| Box::pin(KnownDevice::forget_phone(tx, mine.phone_hash)));
        forget.await.unwrap();
        assert!(!known(mine, NOW).await);
    }
}
