//! Who signs in, and what they may do how often.

use entity::{
    IdempotencyKey, KeyedRoute, KnownDevice, OtpBudget, OtpChallenge, Passenger, ProfilePatch, Session,
    value::{Id, Phone},
};

use super::{Case, reads, writes};
use crate::{database::NOW, seed};

/// Rows of a batch of housekeeping.
const BATCH: u64 = 1_000;

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey {
        passenger_id: seed::passenger(2_000),
        route: KeyedRoute::RequestRide,
        key: name.to_owned(),
        fingerprint: [1; 32],
    }
}

fn device(number: i64) -> KnownDevice {
    KnownDevice { phone_hash: seed::phone(number), device_hash: seed::hash(number) }
}

fn challenge() -> OtpChallenge {
    OtpChallenge {
        id: seed::challenge(200_000),
        phone: phone(),
        phone_hash: seed::phone(200_000),
        expires_at: NOW.plus_s(60),
    }
}

fn named() -> ProfilePatch {
    ProfilePatch { name: Some(Some("Ada".to_owned())), ..ProfilePatch::default() }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = reads! { w =>
        Passenger::find(w.at(w.passenger.shard()), w.passenger);
        Passenger::find_by_phone(w.at(seed::phone(777).shard()), seed::phone(777));
        Passenger::is_active(w.at(w.passenger.shard()), w.passenger);
        Session::is_open(w.at(session().shard()), session(), NOW);
        KnownDevice::is_known(&device(777), w.at(seed::phone(777).shard()), NOW);
        OtpBudget::ask(&w.shards, &w.budgets, NOW);
    };
    cases.extend(writes! { tx, w =>
        Passenger::find_or_create(tx, &phone(), seed::phone(777), NOW);
        Passenger::find_or_create(tx, &phone(), seed::phone(500_000), NOW);
        Passenger::find(tx, w.passenger);
        Passenger::find_alone(tx, w.passenger);
        Passenger::patch(tx, w.passenger, named());
        Passenger::anonymise(tx, w.passenger);
        Session::open(tx, w.passenger, "device", NOW, NOW.plus_s(60));
        Session::rotate(tx, session(), 3, NOW, NOW.plus_s(60), 0);
        Session::rotate(tx, session(), 1, NOW, NOW.plus_s(60), 0);
        Session::revoke(tx, session());
        Session::revoke_all(tx, w.passenger);
        Session::purge_expired(tx, NOW, BATCH);
        OtpChallenge::insert(&challenge(), tx, [1; 32], 3);
        OtpChallenge::check(tx, seed::challenge(50_000), NOW, |_| false);
        OtpChallenge::withdraw(tx, seed::challenge(50_000));
        OtpChallenge::forget_phone(tx, seed::phone(777));
        OtpChallenge::purge_expired(tx, NOW, BATCH);
        OtpBudget::take(tx, &w.budgets, NOW);
        OtpBudget::give_back(tx, &w.budgets);
        OtpBudget::purge_full(tx, NOW, BATCH);
        KnownDevice::remember(&device(777), tx, NOW.plus_s(60));
        KnownDevice::remember(&device(500_000), tx, NOW.plus_s(60));
        KnownDevice::forget_phone(tx, seed::phone(777));
        KnownDevice::purge_expired(tx, NOW, BATCH);
        IdempotencyKey::claim(&key("new"), tx, NOW, NOW.plus_s(60));
        IdempotencyKey::claim(&key("key-2000"), tx, NOW, NOW.plus_s(60));
        IdempotencyKey::store(&key("key-2000"), tx, "{}".to_owned());
        IdempotencyKey::purge_expired(tx, NOW, BATCH);
    });
    cases
}

fn phone() -> Phone {
    Phone::parse("+12125550100").unwrap()
}

fn session() -> Id<Session> {
    seed::session(50_000)
}
