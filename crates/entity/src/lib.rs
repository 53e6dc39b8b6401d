//! The rows and every operation on them. Nothing above this crate writes a query.
//!
//! One file (or folder) a table. Finders start from an owner; state changes are compare-and-set; outcomes are
//! enums. A method takes one [`Conn`]: a shard to read from, or a transaction.

/// What sea-orm wants of every table beside its columns. Nothing here follows a relation or hooks into a save.
macro_rules! no_relations {
    () => {
        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub(crate) enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    };
}

pub mod barrier;
pub mod driver_ride;
pub mod idempotency;
pub mod known_device;
pub mod otp;
pub mod otp_budget;
pub mod outbox;
pub mod passenger;
pub mod payment;
pub mod prepared;
pub mod quote;
pub mod rating;
pub mod ride;
pub mod scan;
pub mod session;
pub mod store;
pub mod transaction;
pub mod value;

pub use barrier::{Barrier, Confirmed};
pub use driver_ride::{DriverRide, IndexRow};
pub use idempotency::{Claim, IdempotencyKey, KeyedRoute};
pub use known_device::KnownDevice;
pub use otp::{OtpChallenge, OtpCheck};
pub use otp_budget::{Allowance, OtpBudget, OtpBudgetKind, OtpVerdict, Standing};
pub use outbox::{Message, OutboxEntry, OutboxKey};
pub use passenger::{Passenger, ProfilePatch, SignedUp};
pub use payment::{Payment, PaymentStatus};
pub use prepared::Prepared;
pub use quote::{FareLine, Offer, Quote, QuoteOption};
pub use rating::Rating;
pub use ride::{
    Acceptance, Acceptances, Actor, Cancellation, Change, Driver, Illegal, NewRide, Opened, Ride, RideStatus, Timeouts,
    Vehicle,
};
pub use scan::{Finding, Mended, Mismatch, Scan, ScanCounts, ScanState};
pub use session::{Rotation, Session};
pub use store::{Committed, Config as StoreConfig, Conn, Shards, StoreError, Tx};
pub use transaction::{Attempt, Decision, Transaction, Unfinished};
