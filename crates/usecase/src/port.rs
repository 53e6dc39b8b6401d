//! The partners that use cases need, as traits. Adapters implement them; the sandbox is one of the adapters.
//!
//! Every call may be repeated (the outbox delivers at least once): `Dispatch` and `Payments` are idempotent by
//! ride. There is no port for the database: the entities are the repository.

use std::{future::Future, time::Duration};

use async_trait::async_trait;
use entity::{
    Passenger, Ride,
    value::{Id, Millis, Money, Phone, Point, Product},
};
use runtime::{Invalid, within};

/// How long a partner may take while a passenger waits.
pub const PARTNER_TIMEOUT: Duration = Duration::from_secs(2);

/// A partner did not do what was asked. The text is for logs.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PartnerError {
    /// It answered with an error or not at all.
    #[error("partner unavailable: {0}")]
    Unavailable(String),
    /// It took longer than [`PARTNER_TIMEOUT`].
    #[error("partner slower than {} s", PARTNER_TIMEOUT.as_secs())]
    Slow,
}

/// Bounds a partner call by [`PARTNER_TIMEOUT`]. Never used around a transaction.
///
/// # Errors
/// The call's own error, or [`PartnerError::Slow`].
pub async fn within_timeout<T>(call: impl Future<Output = Result<T, PartnerError>>) -> Result<T, PartnerError> {
    tokio::time::timeout(PARTNER_TIMEOUT, call).await.unwrap_or(Err(PartnerError::Slow))
}

/// Sends text messages.
#[async_trait]
pub trait Sms: Send + Sync {
    /// Sends a sign-in code.
    async fn send_code(&self, phone: &Phone, code: &str) -> Result<(), PartnerError>;
}

/// A way from here to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Metres on the road.
    pub distance_m: u32,
    /// Seconds at that time of day.
    pub duration_s: u32,
}

/// Estimates distance and time.
#[async_trait]
pub trait Routing: Send + Sync {
    /// The way from `from` to `to`, starting at `at`.
    async fn route(&self, from: Point, to: Point, at: Millis) -> Result<Route, PartnerError>;
    /// Seconds until a car of `product` would typically reach `pickup`.
    async fn pickup_eta_s(&self, product: Product, pickup: Point, at: Millis) -> Result<u32, PartnerError>;
}

/// What dispatch needs to find a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchRequest {
    /// The ride; the key that makes a repeat harmless.
    pub ride_id: Id<Ride>,
    /// What was requested.
    pub product: Product,
    /// Where to fetch the passenger.
    pub pickup: Point,
    /// Where the ride goes.
    pub dropoff: Point,
}

/// Finds drivers. Its answers come back through the internal listener (or, for the sandbox, the same use case).
#[async_trait]
pub trait Dispatch: Send + Sync {
    /// Starts, or goes on, looking for a driver.
    async fn request(&self, request: DispatchRequest) -> Result<(), PartnerError>;
    /// The ride no longer needs a driver.
    async fn withdraw(&self, ride_id: Id<Ride>) -> Result<(), PartnerError>;
}

/// The bank's answer to an authorisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorisation {
    /// The amount is reserved.
    Authorised,
    /// The bank said no; asking again for this ride gives the same answer.
    Declined,
}

/// Moves money. Idempotent by ride.
#[async_trait]
pub trait Payments: Send + Sync {
    /// Reserves `amount`.
    async fn authorise(
        &self,
        ride_id: Id<Ride>,
        passenger_id: Id<Passenger>,
        amount: Money,
    ) -> Result<Authorisation, PartnerError>;
    /// Takes `amount` of what was authorised and frees the rest.
    async fn capture(&self, ride_id: Id<Ride>, amount: Money) -> Result<(), PartnerError>;
    /// Frees what was authorised.
    async fn void(&self, ride_id: Id<Ride>) -> Result<(), PartnerError>;
}

/// A partner whose failures can be scripted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartnerName {
    /// [`Sms`].
    Sms,
    /// [`Routing`].
    Routing,
    /// [`Dispatch`].
    Dispatch,
    /// [`Payments`].
    Payment,
}

/// Failures to play: each call fails with `failure_rate` (0…1) after `delay_ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultScript {
    /// Share of calls that fail, 0…1.
    pub failure_rate: f64,
    /// Delay before every call, milliseconds.
    pub delay_ms: u32,
}

/// Most drivers that the sandbox's fleet can have.
pub const MAX_DRIVERS: u32 = 100_000;

/// How the sandbox's drivers behave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FleetSettings {
    /// Number of drivers, at most [`MAX_DRIVERS`].
    pub drivers: u32,
    /// How much faster than real time drivers move, above 0, at most 100,000; touches the sandbox alone.
    pub time_scale: f64,
    /// Probability that an offered driver accepts, 0…1.
    pub accept_probability: f64,
}

impl FleetSettings {
    /// Checks the bounds that the fleet's arithmetic relies on.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn check(&self) -> Result<(), Invalid> {
        within("drivers", self.drivers, 0..=MAX_DRIVERS, "")?;
        if !(self.time_scale > 0.0 && self.time_scale <= 100_000.0) {
            return Err(Invalid::new("time_scale", "above 0, at most 100000"));
        }
        within("accept_probability", self.accept_probability, 0.0..=1.0, "")
    }
}

/// Why the sandbox did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// No such ride, or no message for that phone.
    #[error("not found")]
    NotFound,
    /// The step is not one the ride can take now.
    #[error(transparent)]
    Illegal(#[from] entity::Illegal),
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] entity::StoreError),
}

/// What `/sandbox/*` can do; served by the HTTP adapter, implemented by the sandbox.
#[async_trait]
pub trait SandboxControl: Send + Sync {
    /// The last code sent to a phone.
    fn last_code(&self, phone: &Phone) -> Option<String>;
    /// Replaces the fleet's settings until restart, unless [`FleetSettings::check`] refuses them.
    fn set_fleet(&self, settings: FleetSettings) -> Result<(), Invalid>;
    /// The fleet's settings now.
    fn fleet(&self) -> FleetSettings;
    /// Scripts a partner's failures until restart.
    fn set_faults(&self, partner: PartnerName, script: FaultScript);
    /// Makes the bank decline (or again accept) a passenger until restart.
    fn set_decline(&self, passenger_id: Id<Passenger>, decline: bool);
    /// Forces a legal step of a ride.
    async fn force(&self, ride_id: Id<Ride>, status: entity::RideStatus, now: Millis) -> Result<(), SandboxError>;
}
