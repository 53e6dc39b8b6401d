//! Settings of the checks.

use std::num::NonZeroU32;

use runtime::{Invalid, within};
use serde::{Deserialize, Serialize};

/// The `[consistency]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Of the time that a scan takes, how much it may keep a database busy, above 0, at most 1.
    pub share: f64,
    /// Rows that a scan reads at a time.
    pub page: u32,
    /// How long after it was found a suspect is looked at again before it is reported, milliseconds.
    pub grace_ms: u32,
    /// Rows that are repaired a second, at most, by one node.
    pub repairs_per_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { share: 0.25, page: 2000, grace_ms: 2000, repairs_per_s: 100 }
    }
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("share", self.share, 0.01..=1.0, "")?;
        within("page", self.page, 10..=10_000, "")?;
        within("grace_ms", self.grace_ms, 0..=60_000, "")?;
        within("repairs_per_s", self.repairs_per_s, 1..=10_000, "")
    }

    pub(super) fn repairs_a_second(&self) -> NonZeroU32 {
        NonZeroU32::new(self.repairs_per_s).unwrap_or(NonZeroU32::MIN)
    }
}
