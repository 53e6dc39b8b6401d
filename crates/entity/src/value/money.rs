//! Money in minor units (cents). Integers only: no rounding hides anywhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// ISO 4217 currencies this platform charges in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Currency {
    /// United States dollar, two decimals.
    #[serde(rename = "USD")]
    Usd,
}

impl Currency {
    /// The ISO 4217 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Usd => "USD",
        }
    }

    /// The currency behind its code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        (code == "USD").then_some(Self::Usd)
    }
}

/// An amount in minor units of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units (cents).
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// `amount` minor units of `currency`.
    #[must_use]
    pub fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{:02}", self.currency.code(), self.amount / 100, self.amount.abs() % 100)
    }
}
