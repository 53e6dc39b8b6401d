//! Around every request: its id, its log line and metrics, panics, and problems written out in full. Inside it, on the
//! public listener, admission control.

pub mod address;
pub mod admission;
mod around;
mod body;
pub mod cors;
mod metrics;
mod quotas;
mod refusal;
mod request_id;

pub(crate) use around::{Around, Unlimited};
pub use metrics::Metrics;
use runtime::{Entropy, Stopwatch};

use crate::Readiness;

/// What the edge of a listener needs.
pub struct Edge {
    /// Draws request ids and jitter.
    pub entropy: Entropy,
    /// The series of the HTTP layer.
    pub metrics: Metrics,
    /// Whether to log one line a request.
    pub access_log: bool,
    /// Whether clients should stay.
    pub ready: Readiness,
    /// The time of limits and metrics: started with the process.
    pub started: Stopwatch,
}

#[cfg(test)]
mod tests;
