//! The driver index, and what is under way to it.

use entity::{Attempt, Barrier, Decision, DriverRide, Transaction};

use super::{Case, reads, writes};
use crate::{database::NOW, seed};

const PAGE: u64 = 50;
const SWEEP: u64 = 100;
const BATCH: u64 = 1_000;
const LEASE_MS: i64 = 10_000;

/// Nobody has made it.
fn new_attempt() -> Attempt {
    Attempt { ride_id: seed::ride(500), driver_id: seed::driver(9), number: -1 }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = reads! { w =>
        DriverRide::exists(w.at(w.row.shard), &w.row.driver_id, w.row.ride_id);
        DriverRide::present(&w.shards, &[w.row.clone(), w.row.clone()]);
        DriverRide::page(w.at(w.row.shard), &w.row.driver_id, None, PAGE);
        DriverRide::page(w.at(w.row.shard), &w.row.driver_id, Some(w.row.ride_id), PAGE);
        DriverRide::of_ride(&w.shards, w.row.ride_id, BATCH);
        DriverRide::rows_in(w.at(w.row.shard), w.row.shard, w.week(), None, 500);
        DriverRide::rows_in(w.at(w.row.shard), w.row.shard, w.week(), Some(&w.row), 500);
        DriverRide::rows_among(&w.shards, &w.some_shards(), w.week(), 50_000);
        DriverRide::oldest_indexed(w.at(w.row.shard), w.row.shard);
        Transaction::committed(&w.shards, &w.rides);
        Transaction::list_due(&w.shards, NOW, LEASE_MS, SWEEP);
        Transaction::unfinished(&w.shards, NOW, LEASE_MS);
        Barrier::list_due(&w.shards, NOW, LEASE_MS, SWEEP);
        Barrier::unfinished(&w.shards, NOW, LEASE_MS);
    };
    cases.extend(writes! { tx, w =>
        DriverRide::record(tx, &seed::driver(9), w.ride.id);
        DriverRide::record(tx, &w.row.driver_id, w.row.ride_id);
        DriverRide::forget(tx, &w.row);
        Transaction::decide(tx, &new_attempt(), Decision::Commit, NOW, LEASE_MS);
        Transaction::decide(tx, &w.attempt(400), Decision::Abort, NOW, LEASE_MS);
        Transaction::forget(tx, &w.attempt(400));
        Transaction::claim(&Transaction { attempt: w.attempt(400), due_at: NOW }, tx, NOW, LEASE_MS);
        Transaction::purge_aborted(tx, NOW, BATCH);
        Barrier::reserve(tx, &new_attempt(), NOW, LEASE_MS);
        Barrier::reserve(tx, &w.attempt(400), NOW, LEASE_MS);
        Barrier::confirm(tx, &w.attempt(400));
        Barrier::confirm(tx, &new_attempt());
        Barrier::free(tx, &w.attempt(400));
        Barrier::cancel(tx, &new_attempt(), NOW);
        Barrier::cancel(tx, &w.attempt(400), NOW);
        Barrier::claim(&Barrier { attempt: w.attempt(400), due_at: NOW }, tx, NOW, LEASE_MS);
        Barrier::purge_cancelled(tx, NOW, BATCH);
    });
    cases
}
