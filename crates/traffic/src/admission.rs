//! The two decisions about every request, and the policies that they follow.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use arrayvec::ArrayVec;
use prometheus::Registry;
use serde::Serialize;

use crate::{
    Class, Config, Gate, Nanos,
    decision::Decision,
    limit::{Key, MAX_TIERS, Secret, State, Table, Tier, decide_all},
    lists::{address_key, prefix_key},
    metrics::{Metrics, count},
    policies::{KeyKind, Policies, Policy},
    set::{Plan, PolicySet, Step, rates},
};

/// Keys that a table of classes may hold: enough for each class to have a lock of its own, most of the time.
const CLASS_KEYS: usize = 1 << 15;

/// Decides about every request. One of it serves all threads: share it by `Arc`.
pub struct Admission {
    set: ArcSwap<PolicySet>,
    gate: Gate,
    secret: Secret,
    max_keys: usize,
    pub(crate) metrics: Metrics,
    /// Tables that were made; held while policies are replaced.
    replacing: Mutex<u32>,
}

/// Who sends a request, as far as is known.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Where from.
    pub address: IpAddr,
    /// Whose token it has.
    pub passenger: Option<i64>,
    /// The device of the token's session.
    pub device: Option<&'a str>,
}

/// What a change of policies did, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Of the set that is in effect now.
    pub revision: u64,
    /// Policies that were not there.
    pub added: Vec<String>,
    /// Policies that say something else now. Whoever used something of them still has.
    pub changed: Vec<String>,
    /// Policies that are gone, with what was used of them.
    pub removed: Vec<String>,
    /// Whether anything is different, be it only the order.
    pub is_different: bool,
}

/// The keys of one caller, by kind.
pub(crate) struct Keys {
    pub(crate) address: Option<(IpAddr, Key)>,
    pub(crate) passenger: Option<Key>,
    pub(crate) device: Option<Key>,
    /// Whom the caller shares a bucket with when a table is full.
    pub(crate) prefix: Key,
}

impl Admission {
    /// Starts with these policies and reports to `registry`. `seed` is random and secret: whoever knows it can choose
    /// addresses and devices that share a record.
    ///
    /// # Errors
    /// The metrics are already registered there.
    pub fn build(
        config: &Config,
        policies: Policies,
        seed: [u8; 16],
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let gate = Gate::new(policies.overload.clone(), registry)?;
        let (metrics, secret) = (Metrics::register(registry)?, Secret::new(seed));
        let max_keys = usize::try_from(config.max_keys).unwrap_or(usize::MAX);
        let mut made = 0;
        let table = |policy: &Policy| Arc::new(new_table(policy, &mut made, max_keys, &secret));
        let set = PolicySet::new(policies, 1, &secret, &metrics, table);
        metrics.revision.set(1);
        Ok(Self { set: ArcSwap::from_pointee(set), gate, secret, max_keys, metrics, replacing: Mutex::new(made) })
    }

    /// The first decision, before anything but the address is looked at: all address policies of the class, all or
    /// nothing among them. What it took stays taken, whatever becomes of the request.
    #[must_use]
    pub fn check_address(&self, address: IpAddr, class: Class, now: Nanos) -> Decision {
        let keys = Keys {
            address: Some((address, address_key(address, &self.secret))),
            passenger: None,
            device: None,
            prefix: prefix_key(address, &self.secret),
        };
        decide(&self.set.load(), |plan| &plan.address, &keys, class, now)
    }

    /// The second decision, once the token was looked at: passenger, device, class and global policies, all or nothing.
    /// Whoever has no token is only counted by the last two.
    ///
    /// It is asynchronous for the fleet-wide tier: a policy with `scope = "fleet"` will lease units from a shared store
    /// in slices, and wait for that here, before `decide`, on the rare decision that finds its slice used up. Nothing
    /// waits today.
    pub async fn check_caller(&self, caller: Caller<'_>, class: Class, now: Nanos) -> Decision {
        let keys = Keys {
            address: None,
            passenger: caller.passenger.map(|id| self.secret.key(&id.to_le_bytes())),
            device: caller.device.map(|name| self.secret.key(name.as_bytes())),
            prefix: prefix_key(caller.address, &self.secret),
        };
        decide(&self.set.load(), |plan| &plan.caller, &keys, class, now)
    }

    /// The limit of work in progress.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The policies in effect.
    #[must_use]
    pub fn policies(&self) -> Arc<PolicySet> {
        self.set.load_full()
    }

    /// From now on these policies hold. Decisions go on meanwhile. A policy that had a namesake with the same kind of key
    /// goes on with its records: what was used stays used.
    pub fn replace(&self, policies: Policies, now: Nanos) -> Changed {
        let mut made = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.set.load_full();
        if *old.policies() == policies {
            return Changed { revision: old.revision(), ..Changed::default() };
        }
        let (revision, known) = (old.revision() + 1, old.tables());
        let table = |policy: &Policy| match known.get(&(policy.name.as_str(), policy.key)) {
            Some(table) => Arc::clone(table),
            None => Arc::new(new_table(policy, &mut made, self.max_keys, &self.secret)),
        };
        let changed = difference(revision, old.policies(), &policies);
        let set = Arc::new(PolicySet::new(policies, revision, &self.secret, &self.metrics, table));
        self.set.store(Arc::clone(&set));
        for (policy, ready) in set.each() {
            let is_known = known.contains_key(&(policy.name.as_str(), policy.key));
            if is_known && !old.policies().has_same_budgets(policy) {
                ready.table.set_rates(rates(policy, &self.secret), now);
            }
        }
        self.gate.set_config(set.policies().overload.clone());
        let names: BTreeSet<&str> = set.policies().list.iter().map(|policy| policy.name.as_str()).collect();
        for gone in old.policies().list.iter().filter(|policy| !names.contains(policy.name.as_str())) {
            self.metrics.forget(&gone.name);
        }
        self.metrics.revision.set(i64::try_from(revision).unwrap_or(i64::MAX));
        changed
    }

    /// Forgets callers whose budget is full again: they are like new ones. Call it every few seconds; it holds no lock
    /// for longer than a small part of a table takes.
    pub fn sweep(&self, now: Nanos) {
        for (policy, ready) in self.set.load_full().each() {
            self.metrics.set_keys(&policy.name, ready.table.sweep(now));
        }
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl Keys {
    pub(crate) fn of(&self, step: &Step) -> Option<Key> {
        match step.kind {
            KeyKind::Address => self.address.map(|(_, key)| key),
            KeyKind::Passenger => self.passenger,
            KeyKind::Device => self.device,
            KeyKind::Class | KeyKind::Global => Some(step.fixed),
        }
    }
}

/// Locks are taken in the order of ids: what more callers share comes later, and is held shorter.
fn new_table(policy: &Policy, made: &mut u32, max_keys: usize, secret: &Secret) -> Table {
    *made += 1;
    let id = (policy.key as u32) << 28 | (*made & 0x0FFF_FFFF);
    let max_keys = match policy.key {
        KeyKind::Address | KeyKind::Passenger | KeyKind::Device => max_keys,
        KeyKind::Class => CLASS_KEYS,
        KeyKind::Global => 1,
    };
    Table::new(id, rates(policy, secret), max_keys)
}

/// Decides by the policies of one plan, all or nothing, and counts what each said. A deny list is looked at first: whoever
/// is on one spends nothing anywhere.
fn decide(set: &Arc<PolicySet>, steps: impl Fn(&Plan) -> &[Step], keys: &Keys, class: Class, now: Nanos) -> Decision {
    let mut decision = Decision::new(Arc::clone(set));
    let mut counted: ArrayVec<&Step, MAX_TIERS> = ArrayVec::new();
    let mut tiers: ArrayVec<Tier<'_>, MAX_TIERS> = ArrayVec::new();
    for step in steps(set.plan(class)) {
        let Some(key) = keys.of(step) else { continue };
        let (_, ready) = set.policy(step.policy);
        let lists = |list: &crate::lists::List| match keys.address {
            Some((address, _)) => list.has_address(address),
            None => list.has_key(key),
        };
        if lists(&ready.deny) {
            match &step.counters.denied {
                Some(counter) => {
                    counter.inc();
                    decision.denied(step.policy);
                }
                // In shadow mode nothing is refused, and what is not admitted is not spent.
                None => step.counters.refused.inc(),
            }
        } else if lists(&ready.allow) {
            count(step.counters.allowed.as_ref());
        } else {
            counted.push(step);
            tiers.push(Tier { table: &ready.table, key, prefix: keys.prefix, cost: step.cost, shadow: step.shadow });
        }
    }
    if !decision.is_admitted() {
        return decision;
    }
    let mut states = ArrayVec::new();
    let admitted = decide_tiers(&mut tiers, now, &mut states);
    if !admitted {
        decision.refuse();
    }
    for (step, state) in counted.into_iter().zip(&states) {
        if state.is_overflow() {
            count(step.counters.overflow.as_ref());
        }
        if state.wait().is_some() {
            step.counters.refused.inc();
        } else if admitted {
            step.counters.admitted.inc();
        }
        if !step.shadow {
            decision.counted(step.policy, state);
        }
    }
    decision
}

/// As [`decide_all`], also in the moment of a reload: a set and its tables do not change at the same instant, so a cost of
/// the one may be more than the whole burst of the other. Neither file says that such a request is never admitted. It
/// takes the whole burst then.
fn decide_tiers(tiers: &mut [Tier<'_>], now: Nanos, states: &mut ArrayVec<State, MAX_TIERS>) -> bool {
    loop {
        if decide_all(tiers, now, states) {
            return true;
        }
        let mut has_changed = false;
        for (tier, state) in tiers.iter_mut().zip(states.iter()) {
            let burst = state.rate().burst();
            if tier.cost > burst {
                tier.cost = burst;
                has_changed = true;
            }
        }
        if !has_changed {
            return false;
        }
    }
}

fn difference(revision: u64, old: &Policies, new: &Policies) -> Changed {
    let find = |list: &Policies, name: &str| list.list.iter().position(|policy| policy.name == name);
    let mut changed = Changed { revision, is_different: true, ..Changed::default() };
    for policy in &new.list {
        match find(old, &policy.name) {
            None => changed.added.push(policy.name.clone()),
            Some(index) if old.list[index] != *policy => changed.changed.push(policy.name.clone()),
            Some(_) => {}
        }
    }
    let gone = old.list.iter().filter(|policy| find(new, &policy.name).is_none());
    changed.removed = gone.map(|policy| policy.name.clone()).collect();
    changed
}
