//! Section `[traffic]`.

use runtime::{Invalid, within};
use serde::{Deserialize, Serialize};

/// Section `[traffic]`. Each pair is a token bucket: `burst` requests at once, `per_s` more every second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Requests a second from one network address (an IPv6 /64 is one), 1…1,000,000.
    pub address_per_s: u32,
    /// Requests at once from one network address, 1…10,000,000.
    pub address_burst: u32,
    /// Requests a second of one passenger, 1…1,000,000.
    pub passenger_per_s: u32,
    /// Requests at once of one passenger, 1…10,000,000.
    pub passenger_burst: u32,
}

impl Default for Config {
    /// Generous: a whole office behind one address, and clients that poll, are not limited.
    fn default() -> Self {
        Self { address_per_s: 2000, address_burst: 4000, passenger_per_s: 50, passenger_burst: 500 }
    }
}

impl Config {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// The first key with a value that is not accepted.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("address_per_s", self.address_per_s, 1..=1_000_000, "requests a second")?;
        within("passenger_per_s", self.passenger_per_s, 1..=1_000_000, "requests a second")?;
        within("address_burst", self.address_burst, 1..=10_000_000, "requests")?;
        within("passenger_burst", self.passenger_burst, 1..=10_000_000, "requests")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_zero_is_not() {
        assert_eq!(Config::default().validate(), Ok(()));
        let closed = Config { passenger_burst: 0, ..Config::default() };
        assert_eq!(closed.validate().map_err(|e| e.key), Err("passenger_burst"));
    }
}
