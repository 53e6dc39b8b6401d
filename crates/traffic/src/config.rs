//! Section `[traffic]`.

use runtime::{Invalid, within};
use serde::{Deserialize, Serialize};

/// Section `[traffic]`. The policies themselves are a file of their own: [`crate::Policies`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The policies file. Empty: `traffic.toml` in the configuration folder if there is one, else what is built in.
    pub policies: String,
    /// How often the file is looked at, milliseconds, 100…3,600,000; 0 is never. A change is taken once it stays the
    /// same from one look to the next.
    pub reload_ms: u32,
    /// Callers that one policy remembers at most, 1,000…100,000,000, at up to 64 bytes each. New ones beyond share one
    /// budget per neighbourhood of addresses.
    pub max_keys: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { policies: String::new(), reload_ms: 1000, max_keys: 1_000_000 }
    }
}

impl Config {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// The first key with a value that is not accepted.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.reload_ms != 0 {
            within("reload_ms", self.reload_ms, 100..=3_600_000, "milliseconds; 0 is never")?;
        }
        within("max_keys", self.max_keys, 1_000..=100_000_000, "callers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_file_is_not_looked_at_all_the_time() {
        assert_eq!(Config::default().validate(), Ok(()));
        for (reload_ms, refused) in [(0, None), (99, Some("reload_ms")), (100, None)] {
            let config = Config { reload_ms, ..Config::default() };
            assert_eq!(config.validate().err().map(|e| e.key), refused);
        }
    }
}
