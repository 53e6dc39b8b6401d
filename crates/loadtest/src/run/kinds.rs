//! The kinds of requests that a run draws from, and the replay's mix of them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Otp,
    Token,
    Refresh,
    Quote,
    Request,
    Current,
    Ride,
    Cancel,
    History,
    Receipt,
    Profile,
    Products,
    RideStates,
}

/// How many there are.
pub(crate) const KINDS: usize = 13;

/// What the contract says of a kind, and how often the replay sends it.
struct Facts {
    method: &'static str,
    path: &'static str,
    class: &'static str,
    priority: u8,
    weight: f64,
}

impl Kind {
    pub(crate) const ALL: [Self; KINDS] = [
        Self::Otp,
        Self::Token,
        Self::Refresh,
        Self::Quote,
        Self::Request,
        Self::Current,
        Self::Ride,
        Self::Cancel,
        Self::History,
        Self::Receipt,
        Self::Profile,
        Self::Products,
        Self::RideStates,
    ];

    /// Its place in [`Kind::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn method(self) -> &'static str {
        self.facts().method
    }

    /// The path with its parameters.
    pub(crate) fn path(self) -> &'static str {
        self.facts().path
    }

    /// `POST /v1/rides`.
    pub(crate) fn route(self) -> String {
        format!("{} {}", self.method(), self.path())
    }

    fn facts(self) -> Facts {
        let facts = |method, path, class, priority, weight| Facts { method, path, class, priority, weight };
        match self {
            Self::Otp => facts("POST", "/v1/auth/otp", "sign_in", 2, 3.0),
            Self::Token => facts("POST", "/v1/auth/token", "sign_in", 2, 3.0),
            Self::Refresh => facts("POST", "/v1/auth/refresh", "sign_in", 0, 1.0),
            Self::Quote => facts("POST", "/v1/quotes", "quote", 2, 16.0),
            Self::Request => facts("POST", "/v1/rides", "request", 1, 8.0),
            Self::Current => facts("GET", "/v1/rides/current", "ride", 0, 20.0),
            Self::Ride => facts("GET", "/v1/rides/{id}", "ride", 0, 24.0),
            Self::Cancel => facts("POST", "/v1/rides/{id}/cancel", "ride", 0, 7.0),
            Self::History => facts("GET", "/v1/rides", "history", 3, 5.0),
            Self::Receipt => facts("GET", "/v1/rides/{id}/receipt", "history", 3, 5.0),
            Self::Profile => facts("GET", "/v1/me", "profile", 3, 3.0),
            Self::Products => facts("GET", "/v1/products", "catalogue", 4, 3.0),
            Self::RideStates => facts("GET", "/v1/ride-states", "catalogue", 4, 2.0),
        }
    }
}

/// Class and priority of each kind: what the server says, or else what its contract says.
pub(crate) struct Routes {
    classes: [String; KINDS],
    priorities: [u8; KINDS],
}

impl Routes {
    /// As the contract has them.
    pub(crate) fn built_in() -> Self {
        Self {
            classes: Kind::ALL.map(|k| k.facts().class.to_owned()),
            priorities: Kind::ALL.map(|k| k.facts().priority),
        }
    }

    /// Takes over what the server says of this method and path.
    ///
    /// # Errors
    /// A priority that there is not, in words.
    pub(crate) fn learn(&mut self, method: &str, path: &str, class: &str, priority: u64) -> Result<(), String> {
        let priority = u8::try_from(priority).ok().filter(|p| *p < 5);
        let priority = priority.ok_or_else(|| format!("{method} {path} has a priority above 4"))?;
        for kind in Kind::ALL.into_iter().filter(|kind| kind.method() == method && kind.path() == path) {
            self.classes[kind.index()] = class.to_owned();
            self.priorities[kind.index()] = priority;
        }
        Ok(())
    }

    pub(crate) fn class(&self, kind: Kind) -> &str {
        &self.classes[kind.index()]
    }

    /// 0 is served longest.
    pub(crate) fn priority(&self, kind: Kind) -> u8 {
        self.priorities[kind.index()]
    }
}

/// How often each kind is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mix([f64; KINDS]);

impl Mix {
    /// What trips of the replay send: a sign-in now and then, a quote or two a ride, many looks at the ride.
    pub(crate) fn replay() -> Self {
        Self(Kind::ALL.map(|kind| kind.facts().weight))
    }

    /// Of weights by kind; all others are never drawn.
    ///
    /// # Errors
    /// A weight that is none, or nothing to draw.
    pub(crate) fn of(weights: &BTreeMap<Kind, f64>) -> Result<Self, String> {
        if weights.values().any(|weight| !weight.is_finite() || *weight < 0.0) {
            return Err("`mix`: a weight is a number of 0 and above".into());
        }
        let mix = Self(Kind::ALL.map(|kind| weights.get(&kind).copied().unwrap_or_default()));
        if mix.total() > 0.0 { Ok(mix) } else { Err("`mix`: no kind has a weight above 0".into()) }
    }

    /// The same with priority 0 at `share` of all at most; the others keep their proportions.
    pub(crate) fn with_priority_0_at_most(&self, share: f64, routes: &Routes) -> Self {
        let is_first = |kind: &Kind| routes.priority(*kind) == 0;
        let first: f64 = Kind::ALL.iter().filter(|kind| is_first(kind)).map(|kind| self.0[kind.index()]).sum();
        let rest = self.total() - first;
        if first <= share * self.total() || rest <= 0.0 {
            return self.clone();
        }
        // first · f / (first · f + rest) = share
        let factor = share * rest / (first * (1.0 - share));
        Self(Kind::ALL.map(|kind| self.0[kind.index()] * if is_first(&kind) { factor } else { 1.0 }))
    }

    /// The share of this kind, 0…1.
    pub(crate) fn share(&self, kind: Kind) -> f64 {
        self.0[kind.index()] / self.total()
    }

    /// How much of these requests was of other kinds than this mix has it: 0, all as it should be, to 1.
    pub(crate) fn distance(&self, counts: &[u64; KINDS]) -> f64 {
        let all = counts.iter().sum::<u64>().max(1) as f64;
        let apart = |kind: Kind| (counts[kind.index()] as f64 / all - self.share(kind)).abs();
        Kind::ALL.into_iter().map(apart).sum::<f64>() / 2.0
    }

    /// The kind at `point` (0…1) when all are laid end to end.
    pub(crate) fn at(&self, point: f64) -> Kind {
        let mut left = point * self.total();
        let drawn = Kind::ALL.into_iter().filter(|kind| self.0[kind.index()] > 0.0).find(|kind| {
            left -= self.0[kind.index()];
            left < 0.0
        });
        drawn.unwrap_or(Kind::RideStates)
    }

    /// Whether anybody must be signed in for it.
    pub(crate) fn needs_passengers(&self) -> bool {
        let open = [Kind::Otp, Kind::Token, Kind::Products, Kind::RideStates];
        Kind::ALL.into_iter().any(|kind| self.0[kind.index()] > 0.0 && !open.contains(&kind))
    }

    fn total(&self) -> f64 {
        self.0.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_drawn_by_their_weight() {
        let mix = Mix::of(&[(Kind::Quote, 3.0), (Kind::Ride, 1.0)].into()).unwrap();
        let drawn: Vec<_> = (0..100).map(|n| mix.at(f64::from(n) / 100.0)).collect();
        assert_eq!(drawn.iter().filter(|kind| **kind == Kind::Quote).count(), 75);
        assert_eq!(drawn.iter().filter(|kind| **kind == Kind::Ride).count(), 25);
        assert!(Mix::of(&[(Kind::Quote, 0.0)].into()).is_err());
        assert!(Mix::of(&[(Kind::Quote, -1.0)].into()).is_err());
    }

    #[test]
    fn the_distance_of_counts_is_the_share_that_is_of_other_kinds() {
        let mix = Mix::of(&[(Kind::Quote, 3.0), (Kind::Ride, 1.0)].into()).unwrap();
        let counts = |quotes, rides| {
            let mut counts = [0; KINDS];
            (counts[Kind::Quote.index()], counts[Kind::Ride.index()]) = (quotes, rides);
            counts
        };
        assert!(mix.distance(&counts(75, 25)) < 1e-9);
        assert!((mix.distance(&counts(50, 50)) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn priority_0_is_cut_to_its_share_and_the_others_keep_their_proportions() {
        let (mix, routes) = (Mix::replay(), Routes::built_in());
        let cut = mix.with_priority_0_at_most(0.03, &routes);
        let first: f64 = Kind::ALL.into_iter().filter(|k| routes.priority(*k) == 0).map(|k| cut.share(k)).sum();
        assert!((first - 0.03).abs() < 1e-9, "{first}");
        let ratio = |mix: &Mix| mix.share(Kind::Quote) / mix.share(Kind::Request);
        assert!((ratio(&mix) - ratio(&cut)).abs() < 1e-9);
        assert_eq!(mix.with_priority_0_at_most(0.9, &routes), mix);
    }

    #[test]
    fn what_the_server_says_of_a_route_wins() {
        let mut routes = Routes::built_in();
        assert_eq!((routes.class(Kind::Request), routes.priority(Kind::Request)), ("request", 1));
        routes.learn("POST", "/v1/rides", "ride", 3).unwrap();
        assert_eq!((routes.class(Kind::Request), routes.priority(Kind::Request)), ("ride", 3));
        assert_eq!(routes.priority(Kind::History), 3, "the same path with another method");
        assert!(routes.learn("POST", "/v1/rides", "ride", 7).is_err());
    }
}
