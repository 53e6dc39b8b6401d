//! What the API says, as far as a passenger's client reads it. Unknown fields are passed over; a missing one is an error.

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};

/// Where a ride stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Requested,
    Accepted,
    Arrived,
    InProgress,
    Completed,
    Cancelled,
    Expired,
}

impl Status {
    /// Nothing comes after it.
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Expired)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "requested",
            Self::Accepted => "accepted",
            Self::Arrived => "arrived",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        })
    }
}

/// An amount in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Money {
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

/// Minor units, like the API: `USD 1250` is 12.50 dollars.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency, self.amount)
    }
}

/// `POST /v1/auth/otp`.
#[derive(Deserialize)]
pub(crate) struct Challenge {
    pub(crate) challenge_id: String,
    pub(crate) resend_after_s: u64,
}

/// `GET /sandbox/sms/{phone}`.
#[derive(Deserialize)]
pub(crate) struct Sms {
    pub(crate) code: String,
}

/// `POST /v1/auth/token` and `auth/refresh`.
#[derive(Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    /// Seconds.
    pub(crate) expires_in: u64,
    pub(crate) refresh_token: String,
    pub(crate) passenger: Account,
}

/// Who signed in.
#[derive(Deserialize)]
pub(crate) struct Account {
    pub(crate) is_new: bool,
}

/// `POST /v1/quotes`.
#[derive(Deserialize)]
pub(crate) struct Quote {
    pub(crate) quote_id: String,
    pub(crate) options: Vec<QuoteOption>,
}

/// One product's offer in a quote.
#[derive(Deserialize)]
pub(crate) struct QuoteOption {
    pub(crate) product: String,
    pub(crate) fare: Money,
    pub(crate) breakdown: Vec<Line>,
}

/// A line of a quote's breakdown or of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Line {
    pub(crate) kind: String,
    pub(crate) amount: Money,
}

/// A ride, as answers and events show it.
#[derive(Deserialize)]
pub(crate) struct Ride {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) quote_id: String,
    pub(crate) product: String,
    pub(crate) fare: Money,
    pub(crate) cancellation: Option<Cancellation>,
    pub(crate) version: u64,
}

/// How a ride was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Cancellation {
    pub(crate) by: String,
    pub(crate) reason: String,
    pub(crate) fee: Option<Money>,
}

/// `GET /v1/rides`.
#[derive(Deserialize)]
pub(crate) struct RidePage {
    pub(crate) rides: Vec<Ride>,
    pub(crate) next_cursor: Option<String>,
}

/// `GET /v1/rides/{id}/receipt`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) ride_id: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) total: Money,
    pub(crate) payment_status: String,
}

/// What `event: location` carries.
#[derive(Deserialize)]
pub(crate) struct Location {
    #[serde(rename = "lat")]
    _lat: f64,
    #[serde(rename = "lng")]
    _lng: f64,
    #[serde(rename = "observed_at")]
    _observed_at: String,
    #[serde(rename = "stale")]
    _stale: bool,
}

/// A problem (RFC 9457), as far as it is needed.
#[derive(Deserialize)]
pub(crate) struct Problem {
    pub(crate) code: String,
}

/// `GET /v1/ride-states`: which status may follow which.
#[derive(Deserialize)]
#[serde(from = "TransitionList")]
pub(crate) struct Transitions(HashSet<(Status, Status)>);

#[derive(Deserialize)]
struct TransitionList {
    transitions: Vec<Transition>,
}

#[derive(Deserialize)]
struct Transition {
    from: Status,
    to: Status,
}

impl From<TransitionList> for Transitions {
    fn from(list: TransitionList) -> Self {
        Self(list.transitions.into_iter().map(|t| (t.from, t.to)).collect())
    }
}

impl Transitions {
    /// Whether `to` may come right after `from`. A change that keeps the status (a payment) is always allowed, unless
    /// the ride had ended.
    pub(crate) fn allow(&self, from: Status, to: Status) -> bool {
        !from.is_terminal() && (from == to || self.0.contains(&(from, to)))
    }
}
