//! Which problem each error of a use case is.

use entity::{Illegal, StoreError};
use traffic::Quota;
use usecase::{
    auth::{BudgetView, access::Denied, refresh, request_code, sign_in},
    port::{PartnerError, SandboxError},
    profile, quotes,
    rides::{cancel_ride, drive_ride, end_ride, follow_ride, rate_ride, receipt, request_ride},
};

use super::{Code, Problem};
use crate::dto::{MoneyView, rfc3339};

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(_) | StoreError::Conflict | StoreError::Apart => Self::unavailable(&error),
            StoreError::Collision
            | StoreError::Id(_)
            | StoreError::Corrupt { .. }
            | StoreError::Task(_)
            | StoreError::Open(_)
            | StoreError::Database(_) => Self::internal(&error),
        }
    }
}

impl From<PartnerError> for Problem {
    fn from(error: PartnerError) -> Self {
        match error {
            PartnerError::Unavailable(_) | PartnerError::Slow => Self::unavailable(&error),
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Expired => Self::new(Code::TokenExpired, "The access token has expired: refresh it."),
            Denied::Invalid => Self::new(Code::TokenInvalid, "The token is not one of ours, or no longer valid."),
        }
    }
}

impl From<Illegal> for Problem {
    fn from(illegal: Illegal) -> Self {
        Self::new(Code::IllegalTransition, format!("Not possible: {illegal}."))
            .with("from", illegal.from)
            .with("to", illegal.to)
    }
}

impl From<request_code::Error> for Problem {
    fn from(error: request_code::Error) -> Self {
        match error {
            request_code::Error::BudgetSpent(budgets) => {
                let spent = budgets.into_iter().map(quota).collect();
                Self::over_quota("Enough sign-in codes were sent for now.", spent)
            }
            request_code::Error::Sms(error) => error.into(),
            request_code::Error::Store(error) => error.into(),
        }
    }
}

impl From<sign_in::Error> for Problem {
    fn from(error: sign_in::Error) -> Self {
        match error {
            sign_in::Error::Wrong { attempts_left } => {
                Self::new(Code::OtpInvalid, "The code is wrong.").with("attempts_left", attempts_left)
            }
            sign_in::Error::Gone => {
                Self::new(Code::OtpExpired, "The code has expired, was used, or was typed wrong too often.")
            }
            sign_in::Error::Keys(error) => Self::internal(&error),
            sign_in::Error::Store(error) => error.into(),
        }
    }
}

impl From<refresh::Error> for Problem {
    fn from(error: refresh::Error) -> Self {
        match error {
            refresh::Error::Invalid => Denied::Invalid.into(),
            refresh::Error::Reused => {
                Self::new(Code::RefreshReused, "The refresh token was used before; every token of it ends: sign in.")
            }
            refresh::Error::Keys(error) => Self::internal(&error),
            refresh::Error::Store(error) => error.into(),
        }
    }
}

impl From<profile::Error> for Problem {
    fn from(error: profile::Error) -> Self {
        match error {
            profile::Error::Gone => Denied::Invalid.into(),
            profile::Error::AlreadyRiding(ride_id) => already_riding(&ride_id.to_string()),
            profile::Error::Store(error) => error.into(),
        }
    }
}

impl From<quotes::Error> for Problem {
    fn from(error: quotes::Error) -> Self {
        match error {
            quotes::Error::OutOfArea { field, area } => {
                let degrees = |v: entity::value::E6| v.degrees();
                let allowed = format!(
                    "latitude {} to {}, longitude {} to {}",
                    degrees(area.min.lat),
                    degrees(area.max.lat),
                    degrees(area.min.lng),
                    degrees(area.max.lng)
                );
                Self::new(Code::OutOfArea, format!("`{field}` is outside the served area."))
                    .with("field", field)
                    .with("allowed", allowed)
            }
            quotes::Error::Routing(error) => error.into(),
            quotes::Error::Store(error) => error.into(),
        }
    }
}

impl From<request_ride::Error> for Problem {
    fn from(error: request_ride::Error) -> Self {
        match error {
            request_ride::Error::KeyReused => {
                Self::new(Code::IdempotencyKeyReused, "This key was used for another request: use a new one.")
            }
            request_ride::Error::InProgress => {
                Self::new(Code::IdempotencyInProgress, "The first request with this key is still under way.")
                    .retry_after(1)
            }
            request_ride::Error::PassengerGone => Denied::Invalid.into(),
            request_ride::Error::AlreadyRiding(ride_id) => already_riding(&ride_id.to_string()),
            request_ride::Error::QuoteNotFound => Self::not_found(),
            request_ride::Error::QuoteExpired => Self::new(Code::QuoteExpired, "Ask for a new quote."),
            request_ride::Error::QuoteUsed => {
                Self::new(Code::QuoteUsed, "A ride was requested with this quote: ask for a new one.")
            }
            request_ride::Error::NoSuchProduct { offered } => {
                Self::new(Code::Product, "The quote does not offer this product.")
                    .with("field", "product")
                    .with("allowed", offered.join(", "))
            }
            request_ride::Error::Store(error) => error.into(),
        }
    }
}

impl From<cancel_ride::Error> for Problem {
    fn from(error: cancel_ride::Error) -> Self {
        match error {
            cancel_ride::Error::NotFound => Self::not_found(),
            cancel_ride::Error::Illegal(illegal) => illegal.into(),
            cancel_ride::Error::PreconditionFailed { current } => {
                Self::new(Code::PreconditionFailed, format!("The ride is at version {current}."))
            }
            cancel_ride::Error::FeeUnconfirmed { fee, confirmation_token, expires_at } => {
                Self::new(Code::CancellationFee, "Cancelling now costs a fee: repeat with the confirmation token.")
                    .with("fee", MoneyView::from(fee))
                    .with("confirmation_token", confirmation_token)
                    .with("expires_at", rfc3339(expires_at))
            }
            cancel_ride::Error::Store(error) => error.into(),
        }
    }
}

impl From<drive_ride::Error> for Problem {
    fn from(error: drive_ride::Error) -> Self {
        match error {
            drive_ride::Error::NotFound => Self::not_found(),
            drive_ride::Error::AlreadyAccepted => Self::new(Code::AlreadyAccepted, "The ride has another driver."),
            drive_ride::Error::Illegal(illegal) => illegal.into(),
            drive_ride::Error::WrongPickupCode => {
                Self::invalid_field("pickup_code", "the code that the passenger was given")
            }
            drive_ride::Error::Store(error) => error.into(),
        }
    }
}

impl From<end_ride::Error> for Problem {
    fn from(error: end_ride::Error) -> Self {
        match error {
            end_ride::Error::NotFound => Self::not_found(),
            end_ride::Error::Illegal(illegal) => illegal.into(),
            end_ride::Error::Store(error) => error.into(),
        }
    }
}

impl From<rate_ride::Error> for Problem {
    fn from(error: rate_ride::Error) -> Self {
        match error {
            rate_ride::Error::NotFound => Self::not_found(),
            rate_ride::Error::NotCompleted(status) => not_completed(status),
            rate_ride::Error::AlreadyRated => Self::new(Code::AlreadyRated, "A ride is rated once."),
            rate_ride::Error::Store(error) => error.into(),
        }
    }
}

impl From<receipt::Error> for Problem {
    fn from(error: receipt::Error) -> Self {
        match error {
            receipt::Error::NotFound => Self::not_found(),
            receipt::Error::NotOver(status) => not_completed(status),
            receipt::Error::Store(error) => error.into(),
        }
    }
}

impl From<follow_ride::Error> for Problem {
    fn from(error: follow_ride::Error) -> Self {
        match error {
            follow_ride::Error::NotFound => Self::not_found(),
            follow_ride::Error::NoSuchVersion { newest, .. } => {
                Self::new(Code::Malformed, format!("Last-Event-ID is beyond the newest event, {newest}."))
            }
            follow_ride::Error::Store(error) => error.into(),
        }
    }
}

impl From<SandboxError> for Problem {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::NotFound => Self::not_found(),
            SandboxError::Illegal(illegal) => illegal.into(),
            SandboxError::Store(error) => error.into(),
        }
    }
}

/// A budget of codes as the headers tell it.
pub(crate) fn quota(budget: BudgetView) -> Quota<'static> {
    let BudgetView { policy, codes, window_s, remaining, reset_s } = budget;
    Quota { policy, quota: codes, window_s, remaining, reset_s }
}

fn already_riding(ride_id: &str) -> Problem {
    Problem::new(Code::AlreadyRiding, "There is an active ride.").with("ride_id", ride_id)
}

fn not_completed(status: entity::RideStatus) -> Problem {
    Problem::new(Code::RideNotCompleted, format!("The ride is {}.", status.name())).with("ride_status", status)
}
