//! The product's limits and governor's, as the rows about limits alone make them.

use std::{num::NonZeroU32, time::Duration};

use clap::ValueEnum;
use traffic::limit::{Rate, Rates, Table};

/// Whose limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// `crates/traffic`.
    Ours,
    /// The crate governor.
    Governor,
}

impl Engine {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Governor => "governor",
        }
    }
}

/// One unit every `period`, `burst` units at once.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// The time in which a unit comes back; a divisor of a second or a number of seconds.
    pub(crate) period: Duration,
    /// Units at once.
    pub(crate) burst: NonZeroU32,
}

impl Limit {
    /// One that no benchmark reaches.
    pub(crate) const NEVER: Self =
        Self { period: Duration::from_nanos(1), burst: NonZeroU32::new(1_000_000_000).unwrap() };

    /// A table of our own with this limit.
    pub(crate) fn table(self, id: u32, keys: usize) -> Table {
        Table::new(id, Rates::new(Rate::new(NonZeroU32::MIN, self.period, self.burst), []), keys)
    }

    /// The same as governor has it.
    ///
    /// # Errors
    /// A period of zero.
    pub(crate) fn quota(self) -> Result<governor::Quota, String> {
        let quota = governor::Quota::with_period(self.period).ok_or("governor has no quota without a period")?;
        Ok(quota.allow_burst(self.burst))
    }
}
