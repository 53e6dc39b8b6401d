//! Section `[sandbox]`.

use runtime::Invalid;
use serde::{Deserialize, Serialize};
use usecase::port::FleetSettings;

/// Section `[sandbox]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Simulated partners instead of real ones. The `production` profile refuses to start with it.
    pub enabled: bool,
    /// Number of drivers, 0…100,000.
    pub drivers: u32,
    /// How much faster than real time drivers answer, drive and wait; above 0, at most 100,000. It touches the
    /// sandbox alone, never the product's own deadlines.
    pub time_scale: f64,
    /// The same seed gives the same drivers and the same dice.
    pub seed: u64,
    /// Probability that a driver takes an offered ride, 0…1.
    pub accept_probability: f64,
    /// A file in which the bank writes every movement of money, a line each (`captured,<ride>,1250,USD`), and from which
    /// it remembers them after a restart. Empty: it remembers until restart.
    pub bank_statement: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            drivers: 200,
            time_scale: 60.0,
            seed: 1,
            accept_probability: 0.9,
            bank_statement: String::new(),
        }
    }
}

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key with a value outside what its field allows.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.fleet_settings().check()
    }

    pub(crate) fn fleet_settings(&self) -> FleetSettings {
        FleetSettings {
            drivers: self.drivers,
            time_scale: self.time_scale,
            accept_probability: self.accept_probability,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_bad_value_names_its_key() {
        let key = |config: Config| config.validate().map_err(|invalid| invalid.key);
        let good = Config::default();
        assert_eq!(key(Config { drivers: 100_001, ..good.clone() }), Err("drivers"));
        for time_scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 100_000.1] {
            assert_eq!(key(Config { time_scale, ..good.clone() }), Err("time_scale"), "{time_scale}");
        }
        for accept_probability in [-0.1, 1.1, f64::NAN] {
            assert_eq!(key(Config { accept_probability, ..good.clone() }), Err("accept_probability"));
        }
    }
}
