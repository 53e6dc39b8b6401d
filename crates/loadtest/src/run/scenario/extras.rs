//! What only some scenarios have.

use serde::Deserialize;

/// Refused clients come back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// Share of clients that wait as long as `Retry-After` says, 0…1.
    pub(crate) obey: f64,
    /// The others come back after this, milliseconds, at least 10.
    #[serde(default = "else_after_ms")]
    pub(crate) else_after_ms: u64,
    /// Retries of a client, 1…1000; after them it gives up.
    #[serde(default = "tries")]
    pub(crate) tries: u32,
    /// Width of the bins of the wave, seconds.
    #[serde(default = "bin_s")]
    pub(crate) bin_s: f64,
    /// Bins with so many arrivals are judged.
    #[serde(default = "judged_from")]
    pub(crate) judged_from: u64,
    /// After the schedule, clients still come back for so long, seconds.
    #[serde(default = "until_s")]
    pub(crate) until_s: f64,
}

/// One passenger among many.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hot {
    /// So many times as many requests as each other one.
    pub(crate) times: f64,
}

/// Keys that are sent once each, as `X-Forwarded-For`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SprayPlan {
    pub(crate) keys: u64,
    /// It ends after so long, seconds, sent or not.
    pub(crate) within_s: f64,
    pub(crate) connections: u32,
    /// Requests under way on each connection.
    pub(crate) pipeline: u32,
}

fn else_after_ms() -> u64 {
    100
}
fn tries() -> u32 {
    50
}
fn bin_s() -> f64 {
    1.0
}
fn judged_from() -> u64 {
    1000
}
fn until_s() -> f64 {
    60.0
}
