//! What holds for limits.

mod basics;
mod bounds;
mod full;

mod reload;
mod same_as_governor;
mod threads;

use std::{num::NonZeroU32, time::Duration};

use super::*;

/// `burst` units at once and one more every `interval_ns`.
fn rate(interval_ns: u64, burst: u32) -> Rate {
    Rate::new(NonZeroU32::MIN, Duration::from_nanos(interval_ns), NonZeroU32::new(burst).unwrap())
}

/// A table where everybody has this rate.
fn table(id: u32, rate: Rate, max_keys: usize) -> Table {
    Table::new(id, Rates::new(rate, []), max_keys)
}

fn tier(table: &Table, key: u64, cost: u32) -> Tier<'_> {
    Tier { table, key: Key(key), prefix: Key(key >> 8), cost, shadow: false }
}

fn shadow(table: &Table, key: u64, cost: u32) -> Tier<'_> {
    Tier { shadow: true, ..tier(table, key, cost) }
}

/// Decides at `now`; how all tiers stand after it.
fn all(tiers: &[Tier<'_>], now: u64) -> (bool, ArrayVec<State, MAX_TIERS>) {
    let mut states = ArrayVec::new();
    (decide_all(tiers, Nanos(now), &mut states), states)
}

/// Whether this alone is admitted at `now`.
fn admits(tier: Tier<'_>, now: u64) -> bool {
    all(&[tier], now).0
}
