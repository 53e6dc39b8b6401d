//! Section `[sandbox]`.

use runtime::Invalid;
use serde::{Deserialize, Serialize};
use usecase::port::FleetSettings;

/// Most drivers a fleet can have.
pub(crate) const MAX_DRIVERS: u32 = 100_000;
/// Fastest time, as a multiple of real time.
const MAX_TIME_SCALE: f64 = 100_000.0;

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
        if self.drivers > MAX_DRIVERS {
            return Err(Invalid::new("drivers", "0 to 100000"));
        }
        if !(self.time_scale > 0.0 && self.time_scale <= MAX_TIME_SCALE) {
            return Err(Invalid::new("time_scale", "a number above 0, at most 100000"));
        }
        if !(0.0..=1.0).contains(&self.accept_probability) {
            return Err(Invalid::new("accept_probability", "0 to 1"));
        }
        Ok(())
    }

    pub(crate) fn fleet_settings(&self) -> FleetSettings {
        bounded(FleetSettings {
            drivers: self.drivers,
            time_scale: self.time_scale,
            accept_probability: self.accept_probability,
        })
    }
}

/// The same settings inside the bounds that the fleet's arithmetic relies on; the edge has refused others already.
pub(crate) fn bounded(settings: FleetSettings) -> FleetSettings {
    let usable = settings.time_scale > 0.0 && settings.time_scale.is_finite();
    FleetSettings {
        drivers: settings.drivers.min(MAX_DRIVERS),
        time_scale: if usable { settings.time_scale.min(MAX_TIME_SCALE) } else { 1.0 },
        accept_probability: settings.accept_probability.clamp(0.0, 1.0),
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

    #[test]
    fn settings_out_of_bounds_are_brought_inside() {
        let wild = FleetSettings { drivers: u32::MAX, time_scale: f64::NAN, accept_probability: 7.0 };
        let settings = bounded(wild);
        assert_eq!(settings, FleetSettings { drivers: MAX_DRIVERS, time_scale: 1.0, accept_probability: 1.0 });
    }
}
