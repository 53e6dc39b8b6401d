//! A request that a passenger is going to send, and what is read of the answers.

use std::sync::Arc;

use serde::Deserialize;

use super::{crowd::Place, kinds::Kind};
use crate::wire::Status;

/// A request that somebody is going to send.
pub(crate) struct Errand {
    pub(crate) kind: Kind,
    /// The passenger, when it is one.
    pub(crate) who: Option<u32>,
    /// Which of the addresses it comes from.
    pub(crate) source: u32,
    pub(crate) path: String,
    pub(crate) body: Option<String>,
    pub(crate) token: Option<Arc<str>>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) newcomer: Option<Newcomer>,
    /// Where the passenger stood, when the errand is one that moves them on.
    pub(crate) prior: Option<Place>,
    pub(crate) epoch: u32,
}

impl Errand {
    /// One that needs nobody.
    pub(crate) fn open(kind: Kind) -> Self {
        Self {
            kind,
            who: None,
            source: 0,
            path: kind.path().to_owned(),
            body: None,
            token: None,
            idempotency_key: None,
            newcomer: None,
            prior: None,
            epoch: 0,
        }
    }
}

/// Somebody with a phone who signs in.
#[derive(Clone, Debug)]
pub(crate) struct Newcomer {
    pub(crate) phone: String,
    pub(crate) device: String,
    pub(crate) source: u32,
}

/// A quote, as far as it moves its passenger on.
#[derive(Deserialize)]
pub(crate) struct QuoteBody {
    pub(crate) quote_id: String,
    pub(crate) options: Vec<OptionBody>,
}

/// One of its offers.
#[derive(Deserialize)]
pub(crate) struct OptionBody {
    pub(crate) product: String,
}

/// A ride.
#[derive(Deserialize)]
pub(crate) struct RideBody {
    pub(crate) id: String,
    pub(crate) status: Status,
}

/// A 409, with the fields of its case.
#[derive(Deserialize)]
pub(crate) struct Conflict {
    pub(crate) code: String,
    pub(crate) ride_id: Option<String>,
    pub(crate) confirmation_token: Option<String>,
    pub(crate) from: Option<Status>,
}
