//! The policies as an operator writes them: one TOML file, valid as a whole or refused as a whole.

mod entry;
mod mistakes;
mod overload;
mod read;
mod reader;
#[cfg(test)]
mod tests;
mod who;

use std::{collections::BTreeMap, num::NonZeroU32};

use serde::Serialize;

pub use mistakes::{Mistake, Mistakes};
pub use who::Who;
pub(crate) use who::counted;

use crate::{Class, GateConfig};

/// The file that is shipped, and in effect where there is no other.
const SHIPPED: &str = include_str!("../../../../config/traffic.toml");
/// Longest file, bytes.
pub const MAX_FILE: usize = 1 << 20;
/// Most policies of a file.
pub(crate) const MAX_POLICIES: usize = 32;

/// Every policy of a file, valid by itself and together. Its JSON is what operators and the load tool read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Policies {
    /// The limit of work in progress.
    pub overload: GateConfig,
    /// In the file's order, which is the order in which answers tell of them.
    #[serde(rename = "policy")]
    pub list: Vec<Policy>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Its name in answers, metrics and the log.
    pub name: String,
    /// What has a bucket of its own.
    pub key: KeyKind,
    /// The classes that it speaks about, in the order of [`Class::ALL`].
    pub classes: Vec<Class>,
    /// How fast and how much.
    #[serde(flatten)]
    pub budget: Budget,
    /// Units that one request of a class takes, where not 1.
    pub cost: BTreeMap<Class, u32>,
    /// Where units are counted.
    pub scope: Scope,
    /// Whether it refuses.
    pub mode: Mode,
    /// What it does when the store of a fleet-wide policy is gone.
    pub on_store_loss: OnStoreLoss,
    /// Whom it does not count.
    pub allow: Vec<Who>,
    /// Whom it refuses at once. Stronger than `allow`.
    pub deny: Vec<Who>,
    /// Who has a budget of their own.
    #[serde(rename = "override")]
    pub overrides: Vec<Override>,
}

/// A token bucket: `burst` units at once, `quota` more every window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Units a window.
    pub quota: NonZeroU32,
    /// Length of the window, seconds.
    pub window_s: NonZeroU32,
    /// Units at once.
    pub burst: NonZeroU32,
}

/// A budget of somebody's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Override {
    /// Whose.
    pub key: Who,
    /// How fast and how much.
    #[serde(flatten)]
    pub budget: Budget,
}

/// What has a bucket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A network address; an IPv6 /64 is one.
    Address,
    /// A passenger.
    Passenger,
    /// A device of a session.
    Device,
    /// A class of requests.
    Class,
    /// Everything together.
    Global,
}

/// Where a policy's units are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// In this process alone.
    Node,
    /// For the whole fleet, in a store that nodes share. Refused while there is no such store (see
    /// [`crate::Admission::check_caller`]).
    Fleet,
}

/// Whether a policy refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It refuses.
    Enforce,
    /// It only counts what it would refuse.
    Shadow,
}

/// What a fleet-wide policy does when its store is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreLoss {
    /// The node goes on with its last fair share.
    Local,
    /// It admits.
    Open,
    /// It refuses.
    Closed,
}

impl Policies {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        read::policies(text)
    }

    /// The policies that are shipped.
    ///
    /// # Panics
    /// Never: a test reads the same text.
    #[must_use]
    pub fn built_in() -> Self {
        Self::parse(SHIPPED).unwrap_or_else(|mistakes| unreachable!("the shipped policies: {mistakes}"))
    }

    /// The policies that speak about a class, in the file's order, each with the units that one request takes.
    pub fn of_class(&self, class: Class) -> impl Iterator<Item = (&Policy, u32)> {
        self.list.iter().filter(move |policy| policy.classes.contains(&class)).map(move |p| (p, p.cost_of(class)))
    }
}

impl Policies {
    /// Whether a policy of this name counts the same with the same budgets, whatever else it says.
    pub(crate) fn has_same_budgets(&self, policy: &Policy) -> bool {
        self.list.iter().any(|own| {
            let same = (&own.name, own.key, own.budget) == (&policy.name, policy.key, policy.budget);
            same && own.overrides == policy.overrides
        })
    }
}

impl Policy {
    /// Units that one request of this class takes.
    #[must_use]
    pub fn cost_of(&self, class: Class) -> u32 {
        self.cost.get(&class).copied().unwrap_or(1)
    }
}

impl KeyKind {
    const NAMES: [(&str, Self); 5] = [
        ("address", Self::Address),
        ("passenger", Self::Passenger),
        ("device", Self::Device),
        ("class", Self::Class),
        ("global", Self::Global),
    ];

    /// Its name in a file.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// Whether it is known before anything of the caller but the address is.
    pub(crate) fn is_address(self) -> bool {
        self == Self::Address
    }
}
