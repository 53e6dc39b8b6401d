//! Names with a bounded form: products, driver ids.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a passenger can request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum Product {
    /// The everyday car.
    Economy = 1,
    /// A newer car with more room.
    Comfort = 2,
    /// Six seats.
    Xl = 3,
}

impl Product {
    /// Every product, in the order shown to passengers.
    pub const ALL: [Self; 3] = [Self::Economy, Self::Comfort, Self::Xl];

    /// The stable id used in the API.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Economy => "economy",
            Self::Comfort => "comfort",
            Self::Xl => "xl",
        }
    }

    /// The name shown to a passenger.
    #[must_use]
    pub fn display_name(self) -> &'static str {
        match self {
            Self::Economy => "Economy",
            Self::Comfort => "Comfort",
            Self::Xl => "XL",
        }
    }

    /// Seats for passengers.
    #[must_use]
    pub fn capacity(self) -> u8 {
        match self {
            Self::Economy | Self::Comfort => 4,
            Self::Xl => 6,
        }
    }

    /// The product behind its stored number.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|p| *p as i16 == code)
    }
}

impl FromStr for Product {
    type Err = InvalidName;

    fn from_str(id: &str) -> Result<Self, InvalidName> {
        Self::ALL.into_iter().find(|p| p.id() == id).ok_or(InvalidName)
    }
}

/// A partner's id of a driver: opaque, 1…64 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DriverId(String);

impl DriverId {
    /// What [`DriverId::parse`] accepts, for messages.
    pub const ALLOWED: &'static str = "1 to 64 printable ASCII characters without spaces";

    /// Checks the form.
    ///
    /// # Errors
    /// [`InvalidName`] unless [`DriverId::ALLOWED`].
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned())).ok_or(InvalidName)
    }

    /// As stored; not checked.
    pub(crate) fn raw(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DriverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DriverId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(|_| serde::de::Error::custom(format!("expected {}", Self::ALLOWED)))
    }
}

/// The text does not have the form that the type asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the allowed form")]
pub struct InvalidName;
