//! Limits under the model checker: every order of a few threads, within a bound of forced switches.
//!
//! `cargo test -p traffic --features model --test model`

#![allow(clippy::unwrap_used, reason = "a test; its helpers are outside of the functions that clippy knows as tests")]

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use arrayvec::ArrayVec;
use loom::thread::{self, JoinHandle};
use traffic::{
    Nanos,
    limit::{Key, Rate, Rates, Secret, Table, Tier, decide_all},
};

/// Tries every order of the threads that takes at most this many switches away from a thread that could go on.
fn every_order(switches: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(model);
}

/// `burst` at once, one more every ten nanoseconds.
fn rates(burst: u32) -> Rates {
    Rates::new(Rate::new(NonZeroU32::MIN, Duration::from_nanos(10), NonZeroU32::new(burst).unwrap()), [])
}

/// A table for `max_keys` keys.
fn table(id: u32, burst: u32, max_keys: usize) -> Arc<Table> {
    Arc::new(Table::new(id, rates(burst), max_keys))
}

fn tier(table: &Table, key: Key, cost: u32) -> Tier<'_> {
    Tier { table, key, prefix: Key::SHARED, cost, shadow: false }
}

/// Decides in a thread of its own: one unit of the shared key of each table. Gives whether it was admitted.
fn decide<const N: usize>(tables: [&Arc<Table>; N], now: u64) -> JoinHandle<bool> {
    let tables = tables.map(Arc::clone);
    thread::spawn(move || {
        decide_all(&tables.each_ref().map(|table| tier(table, Key::SHARED, 1)), Nanos(now), &mut ArrayVec::new())
    })
}

fn admitted<const N: usize>(threads: [JoinHandle<bool>; N]) -> u32 {
    threads.map(|thread| u32::from(thread.join().unwrap())).iter().sum()
}

fn left(table: &Table, now: u64) -> u32 {
    tier(table, Key::SHARED, 1).peek(Nanos(now)).remaining()
}

#[test]
fn two_tables_in_opposite_order_are_spent_together_or_not_at_all() {
    every_order(8, || {
        let [one, two] = [table(1, 2, 9), table(2, 1, 9)];
        let both = [decide([&one, &two], 0), decide([&two, &one], 0)];
        let single = decide([&one], 0);
        let (both, single) = (admitted(both), admitted([single]));
        assert_eq!((both, single), (1, 1));
        assert_eq!((left(&one, 0), left(&two, 0)), (2 - both - single, 1 - both));
    });
}

#[test]
fn reloads_and_sweeps_meanwhile_keep_what_was_used() {
    every_order(5, || {
        let [one, two] = [table(1, 2, 9), table(2, 1, 9)];
        let deciding = [decide([&one, &two], 0), decide([&two, &one], 0)];
        let reloading = thread::spawn({
            let [one, two] = [one.clone(), two.clone()];
            move || {
                two.set_rates(rates(1), Nanos(0));
                one.set_rates(rates(3), Nanos(0));
                one.sweep(Nanos(0));
                two.sweep(Nanos(0));
            }
        });
        assert_eq!(admitted(deciding), 1);
        reloading.join().unwrap();
        assert_eq!((left(&one, 0), left(&two, 0)), (2, 0));
    });
}

#[test]
fn two_reloads_at_once_leave_one_of_them_everywhere() {
    every_order(8, || {
        let table = table(1, 2, 9);
        let reload = |burst| {
            let table = table.clone();
            thread::spawn(move || table.set_rates(rates(burst), Nanos(0)))
        };
        for thread in [reload(3), reload(4)] {
            thread.join().unwrap();
        }
        // The record, and the bucket of newcomers once the table is full.
        let bursts = (0..20).map(|key| {
            decide_all(&[tier(&table, Key::SHARED, 1)], Nanos(0), &mut ArrayVec::new());
            let mut states = ArrayVec::new();
            let newcomer = Secret::new([7; 16]).key(&[key]);
            decide_all(&[tier(&table, newcomer, 1)], Nanos(0), &mut states);
            states[0].rate().burst()
        });
        let bursts: Vec<_> = bursts.collect();
        assert!(bursts.iter().all(|burst| *burst == bursts[0]));
    });
}

#[test]
fn a_newcomer_that_gets_a_record_of_its_own_cannot_spend_twice() {
    every_order(8, || {
        let table = table(1, 2, 1);
        assert!(decide_all(&[tier(&table, Secret::new([7; 16]).key(b"first"), 1)], Nanos(0), &mut ArrayVec::new()));
        let newcomer = |now| {
            let table = table.clone();
            thread::spawn(move || decide_all(&[tier(&table, Key::SHARED, 2)], Nanos(now), &mut ArrayVec::new()))
        };
        // Half a unit comes back from 5 to 10, so both together are too many, wherever they are written down.
        let threads = [newcomer(5), newcomer(10)];
        table.sweep(Nanos(10));
        assert_eq!(admitted(threads), 1);
    });
}
