//! What the API says, as far as a passenger's client reads it. Unknown fields are passed over; a missing one is an error.

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
        // As the API writes it.
        self.serialize(f)
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
    pub(crate) id: String,
    pub(crate) is_new: bool,
}

/// `GET /v1/me`.
#[derive(Deserialize)]
pub(crate) struct Me {
    pub(crate) id: String,
    pub(crate) phone: String,
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
#[derive(Clone, Deserialize)]
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

/// The 409 `cancellation-fee`.
#[derive(Deserialize)]
pub(crate) struct FeeAsked {
    pub(crate) fee: Money,
    pub(crate) confirmation_token: String,
}

impl Ride {
    /// What its passenger owes, given how it ended: the fare quoted, a fee for cancelling, or nothing.
    pub(crate) fn due(&self, quoted: &Money) -> Money {
        let fee = || self.cancellation.as_ref().and_then(|cancellation| cancellation.fee.clone());
        match self.status {
            Status::Completed => quoted.clone(),
            _ => fee().unwrap_or(Money { amount: 0, currency: quoted.currency.clone() }),
        }
    }
}

/// `GET /v1/rides`.
#[derive(Deserialize)]
pub(crate) struct RidePage {
    /// Rides.
    pub(crate) rides: Vec<Value>,
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
#[allow(dead_code, reason = "that each is there is all that is looked at")]
pub(crate) struct Location {
    lat: f64,
    lng: f64,
    observed_at: String,
    stale: bool,
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

/// What tests of other modules read.
#[cfg(test)]
pub(crate) mod sample {
    use serde_json::json;

    use super::*;

    pub(crate) fn usd(amount: i64) -> Money {
        Money { amount, currency: "USD".into() }
    }

    pub(crate) fn ride(id: &str, status: &str, version: u64, fare: i64) -> Value {
        json!({ "id": id, "status": status, "quote_id": "q", "product": "xl", "version": version, "fare": usd(fare),
                "cancellation": null })
    }

    pub(crate) fn receipt(lines: &[(&str, i64)], total: i64, payment: &str) -> Receipt {
        let lines: Vec<_> = lines.iter().map(|(k, a)| json!({ "kind": k, "amount": usd(*a) })).collect();
        let receipt = json!({ "ride_id": "r", "lines": lines, "total": usd(total), "payment_status": payment });
        serde_json::from_value(receipt).unwrap()
    }

    /// A ride for a fare of 1250 that somebody called off for this fee.
    pub(crate) fn cancelled(status: &str, by: &str, fee: i64) -> Ride {
        let mut ride = ride("r", status, 6, 1250);
        ride["cancellation"] = json!({ "by": by, "reason": crate::api::CHANGED_PLANS, "fee": usd(fee) });
        serde_json::from_value(ride).unwrap()
    }
}
