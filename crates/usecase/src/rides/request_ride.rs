//! A passenger requests a ride with a quote, once per idempotency key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use entity::{
    Change, Claim, IdempotencyKey, KeyedRoute, NewRide, Opened, OutboxEntry, Passenger, Quote, Ride, Shards,
    StoreError,
    value::{Id, Millis},
};
use runtime::Entropy;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Config, consequences};

/// What the client sends.
#[derive(Clone)]
pub struct Command {
    /// Who.
    pub passenger_id: Id<Passenger>,
    /// The client's idempotency key, 1…255 characters.
    pub key: String,
    /// The offer.
    pub quote_id: Id<Quote>,
    /// The product's id, as sent: one the quote does not have is refused last.
    pub product: String,
    /// Makes the body of the answer, which is kept for replays byte by byte.
    pub render: fn(&Ride) -> String,
}

/// The answer to give, now or again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The new ride.
    pub ride_id: String,
    /// Its version then.
    pub version: i32,
    /// The body.
    pub body: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Requested {
    /// There is a new ride.
    Opened(Answer),
    /// The key was used before for the same request.
    Replayed(Answer),
}

/// Why there is no new ride; in the order in which they are checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The first request with this key has not ended within the time that a write may wait.
    #[error("the first request with this key is under way")]
    InProgress,
    /// The passenger was deleted meanwhile.
    #[error("no such passenger")]
    PassengerGone,
    /// The passenger has an active ride.
    #[error("the passenger has an active ride")]
    AlreadyRiding(Id<Ride>),
    /// No such quote of this passenger.
    #[error("no such quote")]
    QuoteNotFound,
    /// Too late.
    #[error("the quote has expired")]
    QuoteExpired,
    /// A ride was requested with it.
    #[error("the quote was used")]
    QuoteUsed,
    /// The quote has no such product.
    #[error("the quote has no such product")]
    NoSuchProduct {
        /// What it has.
        offered: Vec<&'static str>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct RequestRide {
    /// Settings of the component.
    pub config: Arc<Config>,
    /// Draws pickup codes.
    pub entropy: Entropy,
    /// Where rides are kept.
    pub shards: Shards,
    /// Who asks right now.
    pub in_flight: InFlight,
}

/// The requests that this node works on, by passenger and key. Where one writer at a time is let in, a racer waits for
/// its turn and never sees the first one's claim: this tells it from a request that waits for somebody else.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Mutex<HashMap<ScopedKey, usize>>>);

/// A key belongs to its passenger.
type ScopedKey = (Id<Passenger>, String);

impl InFlight {
    /// Counts a request until the guard is dropped, and says whether it races another one.
    fn enter(&self, command: &Command) -> (Entered, bool) {
        let request = (command.passenger_id, command.key.clone());
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = requests.entry(request.clone()).or_default();
        *count += 1;
        (Entered { in_flight: self.clone(), request }, *count > 1)
    }
}

struct Entered {
    in_flight: InFlight,
    request: ScopedKey,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut requests = self.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = requests.get_mut(&self.request) {
            *count -= 1;
            if *count == 0 {
                requests.remove(&self.request);
            }
        }
    }
}

impl RequestRide {
    /// Claims the key, opens the ride, leaves the authorisation in the outbox: one transaction. A refusal leaves
    /// nothing, the key included.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, command: Command, now: Millis) -> Result<Requested, Error> {
        let key = IdempotencyKey {
            passenger_id: command.passenger_id,
            route: KeyedRoute::RequestRide,
            key: command.key.clone(),
            fingerprint: fingerprint(&command),
        };
        let pickup_code = format!("{:04}", self.entropy.below(10_000));
        let config = self.config.clone();
        let (_entered, races) = self.in_flight.enter(&command);
        let requested = self
            .shards
            .write(command.passenger_id.shard(), move |tx| {
                let (key, command) = (key.clone(), command.clone());
                let (config, pickup_code) = (config.clone(), pickup_code.clone());
                Box::pin(async move {
                    match key.claim(tx, now, now.plus_s(config.idempotency_ttl_s)).await? {
                        Claim::New => {}
                        Claim::Replay(answer) => return Ok(Requested::Replayed(read(&answer)?)),
                        Claim::Reused => return Err(Error::KeyReused),
                    }
                    let ride = open(tx, &command, pickup_code, &config, now).await?;
                    let answer =
                        Answer { ride_id: ride.id.to_string(), version: ride.version, body: (command.render)(&ride) };
                    key.store(tx, write(&answer)?).await?;
                    Ok(Requested::Opened(answer))
                })
            })
            .await;
        match requested {
            Err(Error::Store(StoreError::Busy(_))) if races => Err(Error::InProgress),
            requested => requested,
        }
    }
}

async fn open(
    tx: &entity::Tx,
    command: &Command,
    pickup_code: String,
    config: &Config,
    now: Millis,
) -> Result<Ride, Error> {
    if !Passenger::is_active(tx, command.passenger_id).await? {
        return Err(Error::PassengerGone);
    }
    if let Some(active) = Ride::find_active(tx, command.passenger_id).await? {
        return Err(Error::AlreadyRiding(active.id));
    }
    let quote = Quote::find_owned(tx, command.passenger_id, command.quote_id).await?.ok_or(Error::QuoteNotFound)?;
    if quote.is_expired(now) {
        return Err(Error::QuoteExpired);
    }
    let Some(option) = command.product.parse().ok().and_then(|product| quote.option(product)) else {
        // That the quote was used comes first. With a product that it has, the database says so when the ride is opened.
        if Ride::exists_for_quote(tx, quote.id).await? {
            return Err(Error::QuoteUsed);
        }
        return Err(Error::NoSuchProduct { offered: quote.offer.options.iter().map(|o| o.product.id()).collect() });
    };
    let new = NewRide {
        passenger_id: command.passenger_id,
        quote_id: quote.id,
        product: option.product,
        fare: option.fare,
        pickup: quote.offer.pickup,
        dropoff: quote.offer.dropoff,
        duration_s: quote.offer.duration_s,
        pickup_code,
    };
    match Ride::open(tx, new, &config.timeouts(), now).await? {
        Opened::Opened(ride) => {
            OutboxEntry::append(tx, &ride, &consequences(&Change::Requested, &ride), now).await?;
            Ok(*ride)
        }
        Opened::AlreadyActive(ride_id) => Err(Error::AlreadyRiding(ride_id)),
        Opened::QuoteUsed => Err(Error::QuoteUsed),
    }
}

/// What the request asks for, whatever its spelling was.
fn fingerprint(command: &Command) -> [u8; 32] {
    Sha256::digest(format!("{}\n{}", command.quote_id, command.product)).into()
}

fn write(answer: &Answer) -> Result<String, StoreError> {
    serde_json::to_string(answer).map_err(corrupt)
}

fn read(stored: &str) -> Result<Answer, StoreError> {
    serde_json::from_str(stored).map_err(corrupt)
}

fn corrupt(error: serde_json::Error) -> StoreError {
    StoreError::corrupt("idempotency_keys", "response", error)
}
