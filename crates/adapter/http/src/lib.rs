//! The platform over HTTP: what passengers call, and an internal side for drivers' and operators' systems.
//!
//! [`routes`] is the whole public URL table; [`problem`] is the only place where errors become HTTP.

mod config;
mod door;
pub mod dto;
pub mod edge;
pub mod extract;
mod internal;
mod openapi;
pub mod problem;
mod public;
pub mod routes;
mod server;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

pub use config::{AllowedOrigin, Config, ProxyNet};
use entity::Shards;
pub use openapi::openapi;
use runtime::{Clock, Entropy, Stopwatch, task::Supervisor};
pub use server::{Servers, bind};
use traffic::{Admission, Keeper};
use usecase::{
    auth::{Keys, refresh::Refresh, request_code::RequestCode, sign_in::SignIn, sign_out::SignOut},
    consistency::Consistency,
    port::SandboxControl,
    profile::ChangeProfile,
    quotes::QuoteTrip,
    relay::dead_letters::RequeueDeadLetter,
    rides::{
        cancel_ride::CancelRide, drive_ride::DriveRide, driver_history::DriverHistory, end_ride::EndRide,
        follow_ride::FollowRide, positions::Positions, rate_ride::RateRide, receipt::ReadReceipt,
        report_location::ReportLocation, request_ride::RequestRide,
    },
};

/// Everything that handlers use: given by the composition root.
pub struct Api {
    /// Reads the time for handlers.
    pub clock: Clock,
    /// Request ids and jitter.
    pub entropy: Entropy,
    /// Verifies tokens and hashes phones.
    pub keys: Keys,
    /// Plain reads go straight to entities.
    pub shards: Shards,
    /// The limits.
    pub admission: Arc<Admission>,
    /// Where the policies of the limits come from.
    pub policies: Arc<Keeper>,
    /// The limits' time: started with the process.
    pub started: Stopwatch,
    /// The series of the HTTP layer.
    pub metrics: edge::Metrics,
    /// What `/metrics` shows.
    pub registry: prometheus::Registry,
    /// The live list of tasks, and the shutdown signal for streams.
    pub supervisor: Supervisor,
    /// Whether traffic should come here.
    pub ready: Readiness,
    /// The transition table with its time-outs.
    pub ride_states: dto::ride::RideStatesBody,
    /// Where drivers are.
    pub positions: Positions,
    /// The sandbox, only where configured.
    pub sandbox: Option<Arc<dyn SandboxControl>>,
    /// Asks for a code.
    pub request_code: RequestCode,
    /// Signs in.
    pub sign_in: SignIn,
    /// Refreshes tokens.
    pub refresh: Refresh,
    /// Signs out.
    pub sign_out: SignOut,
    /// Changes and deletes profiles.
    pub change_profile: ChangeProfile,
    /// Quotes trips.
    pub quote_trip: QuoteTrip,
    /// Requests rides.
    pub request_ride: RequestRide,
    /// Cancels for the passenger.
    pub cancel_ride: CancelRide,
    /// Follows rides.
    pub follow_ride: FollowRide,
    /// Reads receipts.
    pub read_receipt: ReadReceipt,
    /// Rates rides.
    pub rate_ride: RateRide,
    /// Takes drivers' steps.
    pub drive_ride: Arc<DriveRide>,
    /// Ends rides for drivers, operators, the system.
    pub end_ride: Arc<EndRide>,
    /// Takes drivers' positions.
    pub report_location: Arc<ReportLocation>,
    /// A driver's rides.
    pub driver_history: DriverHistory,
    /// Gives dead letters another life.
    pub requeue_dead_letter: RequeueDeadLetter,
    /// Whether the driver index agrees with the rides.
    pub consistency: Consistency,
}

/// Whether this node wants traffic; says no from the moment shutdown begins.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Changes the answer of `/health/ready`.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::SeqCst);
    }

    /// The answer of `/health/ready`.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
