//! What the settings of every component share: how a bad value is described, secrets, lists.

use std::{convert::Infallible, fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
};

/// What stands in for a secret wherever one would be shown.
const REDACTED: &str = "…";

/// A value that a component does not accept. The composition root adds the section and where the value came from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: allowed is {allowed}")]
pub struct Invalid {
    /// The key inside the component's section.
    pub key: &'static str,
    /// What would be accepted, in words.
    pub allowed: String,
}

impl Invalid {
    /// Describes a bad `key`.
    pub fn new(key: &'static str, allowed: impl Into<String>) -> Self {
        Self { key, allowed: allowed.into() }
    }
}

/// A token or key. Shows as `…` in logs, errors and `config check`; only [`Secret::reveal`] gives the text.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Never log it; compare what a client sent in constant time.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// For `#[serde(deserialize_with = "runtime::config::list")]`: a sequence of strings or numbers, or one
/// comma-separated string, which is the only form an environment variable has. Blanks around an item and empty items are dropped.
///
/// # Errors
/// An item that `T` does not parse, or another type of value.
pub fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    deserializer.deserialize_any(ListVisitor(PhantomData))
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: FromStr<Err: fmt::Display>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or one comma-separated string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| item.parse().map_err(E::custom))
            .collect()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(Scalar(item)) = items.next_element()? {
            list.push(item.trim().parse().map_err(A::Error::custom)?);
        }
        Ok(list)
    }
}

/// An item as text, whichever scalar the file holds.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{IntoDeserializer, value};

    use super::*;

    #[test]
    fn a_list_may_be_one_comma_separated_string() {
        let text: value::StrDeserializer<'_, value::Error> = "1, 2,,3 ".into_deserializer();
        assert_eq!(list::<_, u8>(text), Ok(vec![1, 2, 3]));
        let empty: value::StrDeserializer<'_, value::Error> = "".into_deserializer();
        assert_eq!(list::<_, u8>(empty), Ok(vec![]));
    }

    #[test]
    fn a_list_may_be_a_sequence_and_names_a_bad_item() {
        fn items<const N: usize>(
            texts: [&'static str; N],
        ) -> value::SeqDeserializer<std::array::IntoIter<&'static str, N>, value::Error> {
            value::SeqDeserializer::new(texts.into_iter())
        }
        assert_eq!(list::<_, u8>(items(["4", "5"])), Ok(vec![4, 5]));
        assert!(list::<_, u8>(items(["4", "car"])).is_err());
    }

    #[test]
    fn a_list_may_hold_numbers() {
        let numbers = value::SeqDeserializer::<_, value::Error>::new([4.5_f64, 6.0].into_iter());
        assert_eq!(list::<_, f64>(numbers), Ok(vec![4.5, 6.0]));
    }

    #[test]
    fn a_secret_never_shows_its_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "… … Some(…)");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
