//! Phone numbers. `Debug` never shows one: they must not reach a log.

use std::fmt;

/// An E.164 phone number: `+` and 8…15 digits, the first not 0 (ITU-T E.164).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Phone(String);

impl Phone {
    /// What [`Phone::parse`] accepts, for messages.
    pub const ALLOWED: &'static str = "E.164: + followed by 8 to 15 digits, the first not 0";

    /// Checks the form.
    ///
    /// # Errors
    /// [`InvalidPhone`] unless [`Phone::ALLOWED`].
    pub fn parse(text: &str) -> Result<Self, InvalidPhone> {
        let digits = text.strip_prefix('+').ok_or(InvalidPhone)?;
        let fits =
            (8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        fits.then(|| Self(text.to_owned())).ok_or(InvalidPhone)
    }

    /// The number, for the SMS partner and its owner only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(…)")
    }
}

/// Not an E.164 number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an E.164 phone number")]
pub struct InvalidPhone;

/// Keyed hash of a phone number: what it is looked up by, and where its passenger's shard comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PhoneHash(pub [u8; 32]);

impl PhoneHash {
    /// The shard of the passenger with this phone: the first 10 bits of the hash.
    #[must_use]
    pub fn shard(&self) -> super::Shard {
        super::Shard::from_first_bits(&self.0)
    }
}

impl fmt::Debug for PhoneHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneHash(…)")
    }
}
