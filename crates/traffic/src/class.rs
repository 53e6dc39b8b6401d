//! What a request is to admission control: a class, which policies speak about, and a priority, which decides what is
//! served longest when there is too much.

use serde::{Deserialize, Serialize};

/// The kind of request that a policy speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Getting in and staying in.
    SignIn,
    /// Asking what a trip costs.
    Quote,
    /// Requesting a ride.
    Request,
    /// Following, changing, ending an active ride.
    Ride,
    /// What is over.
    History,
    /// Who one is.
    Profile,
    /// What is the same for everybody, and whatever is no route at all.
    Catalogue,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 7] =
        [Self::SignIn, Self::Quote, Self::Request, Self::Ride, Self::History, Self::Profile, Self::Catalogue];

    /// Its name in policies, metrics and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Quote => "quote",
            Self::Request => "request",
            Self::Ride => "ride",
            Self::History => "history",
            Self::Profile => "profile",
            Self::Catalogue => "catalogue",
        }
    }

    /// Its place in [`Class::ALL`], for tables of one entry a class.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// 0…4: 0 is served longest when there is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Priority(u8);

impl Priority {
    /// How many there are.
    pub const COUNT: usize = 5;
    /// Every priority, what is served longest first.
    pub const ALL: [Self; Self::COUNT] = [Self(0), Self(1), Self(2), Self(3), Self(4)];

    /// The priority with this number.
    ///
    /// # Panics
    /// In a constant, at compile time: there are 0 to 4 only.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        assert!((number as usize) < Self::COUNT, "a priority is 0 to 4");
        Self(number)
    }

    /// Its place in [`Priority::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_found_at_its_index_and_written_by_its_name() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!((class.index(), Class::ALL[class.index()]), (index, class));
            let document: toml::Table = toml::from_str(&format!("class = {:?}", class.name())).unwrap();
            assert_eq!(document["class"].clone().try_into::<Class>().unwrap(), class);
        }
    }
}
