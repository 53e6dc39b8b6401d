//! Ids: 63 bits, `41 ms since 2024 | 12 random | 10 shard`. Ordered by time, routable without asking anybody.

use std::{fmt, hash::Hash, marker::PhantomData, str::FromStr};

use runtime::Millis;

/// Number of logical shards, fixed for ever: the shard is part of every id.
const SHARDS: u16 = 1024;

/// 2024-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_704_067_200_000;
const TIME_BITS: u32 = 41;
const RANDOM_BITS: u32 = 12;
const SHARD_BITS: u32 = 10;

/// One logical slice of the data, 0…1023.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u16);

impl Shard {
    /// How many there are.
    pub const COUNT: u16 = SHARDS;

    /// Where lies what belongs to nobody in particular.
    pub(crate) const FIRST: Self = Self(0);

    /// Every shard, in order.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        (0..SHARDS).map(Self)
    }

    pub(crate) fn index(self) -> u16 {
        self.0
    }

    /// A shard as a row was asked for by it: in range.
    pub(crate) fn stored(number: i16) -> Self {
        Self(number.cast_unsigned())
    }

    /// A shard by number; `None` from 1024 on.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (number < SHARDS).then_some(Self(number))
    }

    /// The first 10 bits of a hash.
    #[must_use]
    pub fn from_first_bits(hash: &[u8; 32]) -> Self {
        Self(u16::from_be_bytes([hash[0], hash[1]]) >> (16 - SHARD_BITS))
    }

    /// The number, as the `shard` column stores it.
    #[must_use]
    pub fn number(self) -> i16 {
        // 0…1023 always fits.
        self.0.cast_signed()
    }
}

/// The id of a `T`. Strings in JSON (JavaScript numbers lose bits from 2^53 on).
pub struct Id<T>(i64, PhantomData<fn() -> T>);

impl<T> Id<T> {
    /// A new id in `shard`: `random` gives 12 bits, the rest of it is ignored.
    ///
    /// # Errors
    /// [`IdError::Clock`] when `now` is before 2024 or after 2093.
    pub fn new(now: Millis, random: u16, shard: Shard) -> Result<Self, IdError> {
        let ms = now.0 - EPOCH_MS;
        if !(0..1 << TIME_BITS).contains(&ms) {
            return Err(IdError::Clock(now));
        }
        let random = i64::from(random) & ((1 << RANDOM_BITS) - 1);
        Ok(Self::raw((ms << (RANDOM_BITS + SHARD_BITS)) | (random << SHARD_BITS) | i64::from(shard.0)))
    }

    /// An id as stored; not checked.
    #[must_use]
    pub(crate) fn raw(value: i64) -> Self {
        Self(value, PhantomData)
    }

    /// The stored number.
    #[must_use]
    pub fn value(self) -> i64 {
        self.0
    }

    /// The logical shard that the row lives in.
    #[must_use]
    pub fn shard(self) -> Shard {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10 bits")]
        Shard((self.0 & i64::from(SHARDS - 1)) as u16)
    }

    /// When the id was made, to the millisecond.
    #[must_use]
    pub fn created_at(self) -> Millis {
        Millis(self.since_epoch_ms() + EPOCH_MS)
    }

    /// Milliseconds from the beginning of 2024 to when it was made.
    pub(crate) fn since_epoch_ms(self) -> i64 {
        self.0 >> (RANDOM_BITS + SHARD_BITS)
    }

    /// The lowest id of a millisecond since the beginning of 2024; the highest there is for one that ids do not cover.
    pub(crate) fn lowest(since_epoch_ms: i64) -> Self {
        let is_covered = (0..1 << TIME_BITS).contains(&since_epoch_ms);
        Self::raw(if is_covered { since_epoch_ms << (RANDOM_BITS + SHARD_BITS) } else { i64::MAX })
    }
}

impl<T> FromStr for Id<T> {
    type Err = IdError;

    /// Decimal digits without sign or leading zero.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let canonical = !text.is_empty()
            && text.len() <= 19
            && text.bytes().all(|b| b.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        if !canonical {
            return Err(IdError::Form);
        }
        text.parse().map(Self::raw).map_err(|_| IdError::Form)
    }
}

impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.0)
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Why there is no such id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The machine's clock is outside the 41 bits that an id has for time.
    #[error("the clock says {} ms since 1970, ids cover 2024 to 2093", .0.0)]
    Clock(Millis),
    /// Not the decimal form of an id.
    #[error("not an id")]
    Form,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_gives_back_its_shard_and_time_and_reads_as_its_text(
            ms in 0i64..(1 << TIME_BITS), random: u16, shard in 0u16..SHARDS,
        ) {
            let shard = Shard::new(shard).unwrap();
            let now = Millis(EPOCH_MS + ms);
            let id = Id::<()>::new(now, random, shard).unwrap();
            prop_assert!(id.value() >= 0);
            prop_assert_eq!(id.shard(), shard);
            prop_assert_eq!(id.created_at(), now);
            prop_assert_eq!(id.to_string().parse::<Id<()>>(), Ok(id));
        }

        #[test]
        fn a_later_millisecond_makes_a_larger_id(
            ms in 0i64..(1 << TIME_BITS) - 1, a: u16, b: u16, s in 0u16..SHARDS, t in 0u16..SHARDS,
        ) {
            let earlier = Id::<()>::new(Millis(EPOCH_MS + ms), a, Shard(s)).unwrap();
            let later = Id::<()>::new(Millis(EPOCH_MS + ms + 1), b, Shard(t)).unwrap();
            prop_assert!(earlier < later);
        }

        #[test]
        fn any_text_parses_to_its_own_id_or_not_at_all(text in "\\PC{0,24}") {
            if let Ok(id) = text.parse::<Id<()>>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn a_clock_outside_the_id_range_is_refused() {
        let shard = Shard(0);
        for now in [Millis(0), Millis(EPOCH_MS - 1), Millis(EPOCH_MS + (1 << TIME_BITS))] {
            assert_eq!(Id::<()>::new(now, 0, shard), Err(IdError::Clock(now)));
        }
    }

    #[test]
    fn text_that_is_not_canonical_is_no_id() {
        for text in ["", "+1", "-1", "01", "1 ", "9223372036854775808", "99999999999999999999", "１"] {
            assert_eq!(text.parse::<Id<()>>(), Err(IdError::Form), "{text:?}");
        }
    }
}
