//! Limits: who may still do how much. All tiers of a decision are decided together, and either all are spent or none is.
//!
//! Here are only keys, rates and time; what a policy is, and what it is called, is elsewhere. It is public for the benchmarks
//! and the model tests; the gateway goes through [`Admission`](crate::Admission).

mod key;
mod rate;
mod rates;
mod sync;
mod table;
#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests;

use std::time::Duration;

use arrayvec::ArrayVec;

pub use key::{Key, Secret};
pub use rate::{Rate, decide};
pub use rates::Rates;
pub use table::Table;

use crate::Nanos;
use table::{Found, Seen};

/// The most tiers of one decision.
pub const MAX_TIERS: usize = 8;

/// Decides about all `tiers` at `now`, all or nothing: unless an enforced one refuses, each one's cost is spent; otherwise
/// nothing is. Gives whether it was admitted, and in `states` how every tier stands after it, in the order of `tiers`.
///
/// A shadow tier refuses nothing, and is not spent when it would refuse. `now` may be a little behind what other threads gave:
/// a record is decided as of the latest moment that it, or a neighbour, has seen.
///
/// # Panics
/// A programming mistake: more than [`MAX_TIERS`] tiers, or two of tables with the same id. No lock is held then.
pub fn decide_all(tiers: &[Tier<'_>], now: Nanos, states: &mut ArrayVec<State, MAX_TIERS>) -> bool {
    // All threads lock in the order of ids. Two tiers on one table would need an order within it: nobody asks for that.
    let as_given = tiers.windows(2).all(|two| two[0].table.id < two[1].table.id);
    let mut order: [usize; MAX_TIERS] = std::array::from_fn(|tier| tier);
    let order = &mut order[..tiers.len()];
    if !as_given {
        order.sort_unstable_by_key(|&tier| tiers[tier].table.id);
        assert!(order.windows(2).all(|two| tiers[two[0]].table.id < tiers[two[1]].table.id), "one table twice");
    }
    let order = &*order;

    // First all locks, then all look-ups: so the processor fetches the records of several tiers at once.
    let mut stripes = ArrayVec::<_, MAX_TIERS>::new();
    for &tier in order {
        stripes.push(tiers[tier].table.lock(tiers[tier].key));
    }
    let mut seen = Seen::default();
    for (&tier, stripe) in order.iter().zip(&mut stripes) {
        stripe.find(&tiers[tier], now, &mut seen);
    }
    let admitted = order.iter().zip(&seen.found).all(|(&tier, found)| found.verdict.is_ok() || tiers[tier].shadow);
    states.clear();
    for (place, (&tier, stripe)) in order.iter().zip(&mut stripes).enumerate() {
        if admitted {
            stripe.spend(&tiers[tier], place, &mut seen);
        }
        states.push(State::of(&seen.found[place]));
    }
    if !as_given {
        for (&tier, state) in order.iter().zip(states.clone()) {
            states[tier] = state;
        }
    }
    admitted
}

/// One limit in one decision.
#[derive(Clone, Copy)]
pub struct Tier<'a> {
    /// Where its records are.
    pub table: &'a Table,
    /// Who is counted.
    pub key: Key,
    /// Whom newcomers share a bucket with while the table is full.
    pub prefix: Key,
    /// Units that the request takes.
    pub cost: u32,
    /// Only looks: refuses nothing.
    pub shadow: bool,
}

impl Tier<'_> {
    /// How this tier stands at `now` and whether it would refuse its cost. Spends nothing.
    #[must_use]
    pub fn peek(&self, now: Nanos) -> State {
        let mut stripe = self.table.lock(self.key);
        let mut seen = Seen::default();
        stripe.find(self, now, &mut seen);
        State::of(&seen.found[0])
    }
}

/// How a tier stands after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    rate: Rate,
    used_ns: u64,
    wait: Option<Duration>,
    overflow: bool,
}

impl State {
    fn of(found: &Found) -> Self {
        let used_ns = found.tat.0.saturating_sub(found.now.0);
        Self { rate: found.rate, used_ns, wait: found.verdict.err(), overflow: found.is_overflow() }
    }

    /// The rate that was applied: the key's own, or everybody's.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Whole units that are left now.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.rate.remaining(self.used_ns)
    }

    /// When the bucket is full again, if nobody takes anything.
    #[must_use]
    pub fn full_in(&self) -> Duration {
        Duration::from_nanos(self.used_ns)
    }

    /// `Some`: this tier says no (a shadow one would), and would say yes after this long; [`Duration::MAX`] is never.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// Whether the table is full and this is the bucket of all newcomers of the prefix.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        self.overflow
    }
}
