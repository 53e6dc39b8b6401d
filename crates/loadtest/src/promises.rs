//! The promises a gateway makes, and the list of those it broke.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

/// How many examples of one kind are kept; the total counts on.
const EXAMPLES: usize = 20;

/// Names and titles in one list.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $title:literal,)*) => {
        /// A kind of broken promise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// For people.
            pub(crate) fn title(self) -> &'static str {
                match self {
                    $(Self::$kind => $title,)*
                }
            }
        }
    };
}

kinds! {
    /// 5xx, other than 503 while the tool itself had taken the server away.
    ServerError = "5xx answer",
    /// No answer, or half of one, while the server should have been there.
    ConnectionError = "connection failed",
    /// An answer that the contract does not have at this point.
    UnexpectedAnswer = "answer outside the contract",
    /// The ride's fare is not the fare of the quoted option.
    FareDiffers = "fare is not the quoted fare",
    /// The receipt's total is not what the end of the ride costs.
    ReceiptDiffers = "receipt is not what the ride costs",
    /// The receipt's lines do not add up to its total.
    ReceiptSum = "receipt does not add up",
    /// Events are not numbered 1, 2, 3, … like the ride's versions.
    EventSequence = "event missing, repeated or misnumbered",
    /// A status followed another that it may not follow.
    IllegalTransition = "illegal transition",
    /// The stream ended without a terminal event, or did not end after it, or went silent.
    StreamEnd = "event stream ended wrongly",
    /// An acknowledged ride is not found.
    LostRide = "lost ride",
    /// An acknowledged ride, or what was seen of it, went back in time.
    WentBack = "ride went back in time",
    /// An acknowledged ride did not come to its end in time.
    StuckRide = "stuck ride",
    /// Events asked for again differ from those seen.
    ReplayDiffers = "replayed events differ",
    /// Two rides for one key, or a ride that nobody asked for.
    TwoRides = "two rides for one key",
    /// The answer to a repeated key is not the first answer.
    KeyReplay = "repeated key, other answer",
    /// The `ETag` is not the version.
    EtagDiffers = "ETag is not the version",
    /// The history is not the list of acknowledged rides, newest first.
    HistoryDiffers = "history differs",
    /// An acknowledged cancellation is not how the ride ended, or costs something else.
    CancelDiffers = "cancellation differs",
    /// A completed ride could not be rated.
    RatingRefused = "rating refused",
    /// An accepted rating is gone.
    RatingLost = "rating lost",
    /// A fare or a fee is due and was not captured.
    NotCaptured = "fare or fee not captured",
    /// Nothing is due and the payment was not voided.
    NotReleased = "nothing due, payment not voided",
    /// The bank's statement and what the rides cost disagree.
    MoneyDiffers = "money differs",
    /// A passenger who had signed in is somebody else now, or unknown.
    SignInLost = "sign-in lost",
    /// A quote that was made is gone, or says something else.
    QuoteDiffers = "quote lost or changed",
    /// No quote for a trip inside the served area.
    QuoteRefused = "trip refused at the quote",
    /// Too many rides expired or were cancelled although there are enough drivers.
    WithoutDriver = "ride without a driver",
    /// Not one trip was completed.
    NothingDriven = "nothing was driven",
    /// The database is damaged.
    DatabaseDamaged = "database damaged",
    /// The driver index and the rides do not agree.
    IndexDiffers = "driver index differs",
    /// The run was over before all kills had happened.
    TooFewKills = "too few kills",
    /// The server ended by itself, did not come back, or did not stop when asked.
    ServerProcess = "server process failed",
    /// The deadline came before this trip could begin or find its end.
    OutOfTime = "out of time",
}

/// One case of a broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Case {
    /// The ride's id, where there is one.
    pub(crate) ride: Option<String>,
    /// What was seen.
    pub(crate) detail: String,
}

/// All cases of one kind.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Cases {
    /// How many there were.
    pub(crate) total: u64,
    /// The first of them.
    pub(crate) examples: Vec<Case>,
}

/// Collects broken promises; shared by all trips.
#[derive(Default)]
pub(crate) struct Promises(Mutex<BTreeMap<Kind, Cases>>);

impl Promises {
    /// Notes one case.
    pub(crate) fn broken(&self, kind: Kind, ride: Option<&str>, detail: impl Into<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cases = all.entry(kind).or_default();
        cases.total += 1;
        if cases.examples.len() < EXAMPLES {
            cases.examples.push(Case { ride: ride.map(str::to_owned), detail: detail.into() });
        }
    }

    /// How many promises were broken so far.
    pub(crate) fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(|c| c.total).sum()
    }

    /// What was noted so far.
    pub(crate) fn list(&self) -> BTreeMap<Kind, Cases> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_bounded_and_the_total_counts_on() {
        let promises = Promises::default();
        for n in 0..100 {
            promises.broken(Kind::LostRide, Some(&n.to_string()), "gone");
        }
        promises.broken(Kind::ServerError, None, "500");
        let list = promises.list();
        assert_eq!(list[&Kind::LostRide].total, 100);
        assert_eq!(list[&Kind::LostRide].examples.len(), EXAMPLES);
        assert_eq!(list[&Kind::LostRide].examples[0].ride.as_deref(), Some("0"));
        assert_eq!(promises.total(), 101);
    }
}
