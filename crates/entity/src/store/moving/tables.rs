//! Every table that has rows of a shard.

use super::rows::Rows;
use crate::{
    barrier, driver_ride, idempotency, known_device, otp, otp_budget, outbox, passenger, payment, quote, rating, ride,
    scan, session, transaction,
};

/// All of them, each behind those that its foreign keys lead to.
pub(super) fn all() -> Vec<Rows> {
    vec![
        passenger::rows(),
        session::rows(),
        otp::rows(),
        otp_budget::rows(),
        known_device::rows(),
        quote::rows(),
        ride::rows(),
        ride::event_rows(),
        payment::rows(),
        rating::rows(),
        idempotency::rows(),
        outbox::rows(),
        driver_ride::rows(),
        transaction::rows(),
        barrier::rows(),
        scan::rows(),
        scan::finding_rows(),
    ]
}
