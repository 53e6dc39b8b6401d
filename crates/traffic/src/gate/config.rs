//! The table `[overload]` of `config/traffic.toml`.

use std::{ops::RangeInclusive, time::Duration};

use runtime::{Invalid, within};
use serde::{Deserialize, Serialize};

use crate::Priority;

/// The table `[overload]`: how much work may be in progress at once, and how much of it each priority may fill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// Whether a request is refused, only counted as one that would have been, or not looked at.
    pub mode: GateMode,
    /// The part of the limit that each priority may fill, from priority 0 to 4: the first is 1, none is above the one
    /// before it. Thousandths count. What is left above the second share is kept free for rides under way, which may fill
    /// `initial` places even when the limit is below that.
    pub shares: [f64; Priority::COUNT],
    /// The limit never falls below this many requests, 1…10,000. Their shares of it must be enough to keep the machine busy,
    /// and are what rides under way wait behind.
    pub min_limit: u32,
    /// The limit never rises above this many requests, `min_limit`…10,000.
    pub max_limit: u32,
    /// The limit of a calm server, `min_limit`…`max_limit`: a process begins with it, and comes back to it within two
    /// seconds in which nobody is turned away and nothing is slow. So many may wait for each other in a burst.
    pub initial: u32,
    /// How many times its unloaded latency a request may take, 1.1…100. The limit shrinks when it is longer for more than
    /// half of the work while somebody finds no place, and that lasts.
    pub tolerance: f64,
    /// Milliseconds, 0…10,000: a request that took no longer is not slow, whatever its route's unloaded latency is. Noise
    /// of the machine hides below it.
    pub floor_ms: u32,
    /// Milliseconds, 10…1000: how often the limit is looked at. It changes once a window at the most.
    pub window_ms: u32,
}

/// What the gate does with a request for which there is no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateMode {
    /// Refuses it.
    #[default]
    Enforce,
    /// Counts it and lets it in. In a real overload the limit then falls to `min_limit`, because nothing relieves the
    /// machine: the count says what would have been shed at worst.
    Shadow,
    /// Looks at nothing and measures nothing.
    Off,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            mode: GateMode::Enforce,
            shares: [1.0, 0.6, 0.5, 0.4, 0.3],
            min_limit: 10,
            max_limit: 1000,
            initial: 400,
            tolerance: 5.0,
            floor_ms: 5,
            window_ms: 100,
        }
    }
}

impl GateConfig {
    /// What a limit may be, requests.
    pub(crate) const LIMITS: RangeInclusive<u32> = 1..=10_000;
    /// What [`Self::floor_ms`] may be.
    pub(crate) const FLOORS_MS: RangeInclusive<u32> = 0..=10_000;
    /// What [`Self::window_ms`] may be.
    pub(crate) const WINDOWS_MS: RangeInclusive<u32> = 10..=1000;

    /// Every value that is not accepted, and what would be: nothing when all are.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Invalid> {
        [
            self.check_shares(),
            within("min_limit", self.min_limit, Self::LIMITS, "requests"),
            within("max_limit", self.max_limit, Self::LIMITS, "requests"),
            self.check_order(),
            within("tolerance", self.tolerance, 1.1..=100.0, "times the unloaded latency"),
            within("floor_ms", self.floor_ms, Self::FLOORS_MS, "milliseconds"),
            within("window_ms", self.window_ms, Self::WINDOWS_MS, "milliseconds"),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect()
    }

    fn check_shares(&self) -> Result<(), Invalid> {
        let in_range = self.shares.iter().all(|share| (0.001..=1.0).contains(share));
        if in_range && self.shares[0] >= 1.0 && self.shares.is_sorted_by(|a, b| a >= b) {
            return Ok(());
        }
        let allowed = "five numbers from 1 down to 0.001, the first of them 1, none above the one before it";
        Err(Invalid::new("shares", allowed))
    }

    fn check_order(&self) -> Result<(), Invalid> {
        if self.max_limit < self.min_limit {
            return Err(Invalid::new("max_limit", format!("`min_limit` ({}) or more", self.min_limit)));
        }
        within("initial", self.initial, self.min_limit..=self.max_limit, "`min_limit` to `max_limit`")
    }

    /// How many requests there may be for another one of each priority to enter, at `limit`.
    /// Priority 0 keeps the places of a calm server: it must find one while what entered before the limit fell is still in.
    pub(super) fn ceilings(&self, limit: u32) -> [u32; Priority::COUNT] {
        let mut ceilings = self.shares.map(|share| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is 0 to 1")]
            let thousandths = (share * 1000.0).round() as u64;
            u32::try_from((u64::from(limit) * thousandths).div_ceil(1000)).unwrap_or(limit)
        });
        ceilings[0] = limit.max(self.initial);
        ceilings
    }

    pub(super) fn floor(&self) -> Duration {
        Duration::from_millis(self.floor_ms.into())
    }

    pub(super) fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<&'static str> {
        let config: GateConfig = toml::from_str(text).unwrap();
        config.mistakes().iter().map(|mistake| mistake.key).collect()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(GateConfig::default().mistakes(), []);
        assert_eq!(wrong(""), Vec::<&str>::new());
    }

    #[test]
    fn every_mistake_is_named_by_its_key() {
        for (text, key) in [
            ("shares = [0.9, 0.8, 0.7, 0.6, 0.5]", "shares"),
            ("shares = [1.0, 0.8, 0.9, 0.6, 0.5]", "shares"),
            ("shares = [1.0, 0.8, 0.7, 0.6, 0.0]", "shares"),
            ("shares = [1.0, nan, 0.7, 0.6, 0.5]", "shares"),
            ("min_limit = 0", "min_limit"),
            ("max_limit = 10001", "max_limit"),
            ("max_limit = 5\ninitial = 5", "max_limit"),
            ("initial = 3", "initial"),
            ("tolerance = 1.0", "tolerance"),
            ("tolerance = nan", "tolerance"),
            ("floor_ms = 10001", "floor_ms"),
            ("window_ms = 9", "window_ms"),
        ] {
            assert_eq!(wrong(text), [key], "{text}");
        }
        assert_eq!(wrong("tolerance = 0\nwindow_ms = 0"), ["tolerance", "window_ms"], "all at once");
    }

    #[test]
    fn an_unknown_key_or_mode_and_a_missing_share_are_refused() {
        for text in ["limit = 5", "mode = 'on'", "shares = [1.0, 0.5]", "floor_ms = -1"] {
            assert!(toml::from_str::<GateConfig>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_of_the_limit_is_exact_and_leaves_everyone_a_place() {
        let config = GateConfig { shares: [1.0, 0.7, 0.5, 0.1, 0.001], initial: 30, ..GateConfig::default() };
        assert_eq!(config.ceilings(60), [60, 42, 30, 6, 1]);
        assert_eq!(config.ceilings(1), [30, 1, 1, 1, 1], "rides under way keep the places of a calm server");
    }
}
