//! The policies in effect, made ready for decisions: which steps a request of each class takes, with every handle resolved.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    Class,
    limit::{Key, Rate, Rates, Secret, Table},
    lists::{List, key_of},
    metrics::{Counters, Metrics},
    policies::{Budget, KeyKind, Mode, Policies, Policy, Who},
};

/// The policies in effect. Never changes: a reload puts another one in its place.
pub struct PolicySet {
    revision: u64,
    policies: Policies,
    /// One for each policy, in the file's order.
    ready: Box<[Ready]>,
    /// One for each class, by its index.
    plans: [Plan; Class::ALL.len()],
}

/// What decisions need of a policy, whatever the class.
pub(crate) struct Ready {
    pub(crate) table: Arc<Table>,
    pub(crate) allow: List,
    pub(crate) deny: List,
}

/// What a request of one class goes through.
#[derive(Default)]
pub(crate) struct Plan {
    /// As soon as the address is known.
    pub(crate) address: Box<[Step]>,
    /// Once the token was looked at.
    pub(crate) caller: Box<[Step]>,
}

/// One policy in one decision.
pub(crate) struct Step {
    /// Its place in the file.
    pub(crate) policy: usize,
    pub(crate) kind: KeyKind,
    /// The key, where it does not depend on the caller.
    pub(crate) fixed: Key,
    pub(crate) cost: u32,
    pub(crate) shadow: bool,
    pub(crate) counters: Counters,
}

impl PolicySet {
    /// Makes `policies` ready. `table` gives each one its records.
    pub(crate) fn new(
        policies: Policies,
        revision: u64,
        secret: &Secret,
        metrics: &Metrics,
        mut table: impl FnMut(&Policy) -> Arc<Table>,
    ) -> Self {
        let ready = |policy: &Policy| Ready {
            table: table(policy),
            allow: List::new(&policy.allow, secret),
            deny: List::new(&policy.deny, secret),
        };
        let ready = policies.list.iter().map(ready).collect();
        let plans = Class::ALL.map(|class| {
            let steps = |is_address: bool| {
                let of_decision = policies.list.iter().enumerate();
                let of_decision = of_decision.filter(|(_, policy)| policy.classes.contains(&class));
                let of_decision = of_decision.filter(|(_, policy)| policy.key.is_address() == is_address);
                of_decision.map(|(index, policy)| step(index, policy, class, secret, metrics)).collect()
            };
            Plan { address: steps(true), caller: steps(false) }
        });
        Self { revision, policies, ready, plans }
    }

    /// How often the policies have changed since the start, from 1.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The policies themselves.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Callers that each policy remembers now, in the file's order. Looks at every stripe: for people.
    pub fn keys(&self) -> impl Iterator<Item = (&str, usize)> {
        self.each().map(|(policy, ready)| (policy.name.as_str(), ready.table.keys()))
    }

    pub(crate) fn plan(&self, class: Class) -> &Plan {
        &self.plans[class.index()]
    }

    pub(crate) fn policy(&self, index: usize) -> (&Policy, &Ready) {
        (&self.policies.list[index], &self.ready[index])
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = (&Policy, &Ready)> {
        self.policies.list.iter().zip(&self.ready)
    }

    /// The records by what they are kept by: a policy's name and what it counts.
    pub(crate) fn tables(&self) -> HashMap<(&str, KeyKind), &Arc<Table>> {
        self.each().map(|(policy, ready)| ((policy.name.as_str(), policy.key), &ready.table)).collect()
    }
}

fn step(index: usize, policy: &Policy, class: Class, secret: &Secret, metrics: &Metrics) -> Step {
    Step {
        policy: index,
        kind: policy.key,
        fixed: match policy.key {
            KeyKind::Class => key_of(&Who::Class(class), secret),
            _ => Key::SHARED,
        },
        cost: policy.cost_of(class),
        shadow: policy.mode == Mode::Shadow,
        counters: metrics.counters(policy, class),
    }
}

/// Everybody's rate and those of the overrides.
pub(crate) fn rates(policy: &Policy, secret: &Secret) -> Rates {
    let overrides = policy.overrides.iter().map(|own| (key_of(&own.key, secret), rate(own.budget)));
    Rates::new(rate(policy.budget), overrides)
}

fn rate(budget: Budget) -> Rate {
    Rate::new(budget.quota, Duration::from_secs(budget.window_s.get().into()), budget.burst)
}
