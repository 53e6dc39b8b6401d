//! The run cut up: by kind, by priority, by phase, by second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Counts, Percentiles};

/// One kind of request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KindRow {
    /// `POST /v1/rides`.
    pub(crate) route: String,
    pub(crate) class: String,
    pub(crate) priority: u8,
    /// Its share of the mix, 0…1.
    pub(crate) share: f64,
    pub(crate) counts: Counts,
    pub(crate) latency: Percentiles,
}

/// One priority.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PriorityRow {
    pub(crate) priority: u8,
    pub(crate) counts: Counts,
    pub(crate) latency: Percentiles,
}

/// One phase of the schedule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PhaseRow {
    pub(crate) name: String,
    /// `unloaded`, `baseline`, `peak`, `recovery`, or empty.
    pub(crate) role: String,
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    /// Requests a second at its beginning and its end.
    pub(crate) rate_from: f64,
    pub(crate) rate_to: f64,
    pub(crate) counts: Counts,
    pub(crate) latency: Percentiles,
    /// The same by priority, 0 first.
    pub(crate) priorities: Vec<PriorityRow>,
    /// Cores that the server used, mean.
    pub(crate) server_cores: Option<f64>,
}

/// One second of the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Second {
    /// Its beginning.
    pub(crate) at_s: f64,
    pub(crate) counts: Counts,
    /// Of this second's refusals, by who refused; as [`super::Outcome::refused_by`].
    pub(crate) refused_by: BTreeMap<String, u64>,
    /// Of this second's requests that succeeded.
    pub(crate) latency: Percentiles,
    /// The same of priority 0 alone.
    pub(crate) latency_p0: Percentiles,
    /// Offered and succeeded by priority, 0 first.
    pub(crate) offered_by_priority: [u64; 5],
    pub(crate) ok_by_priority: [u64; 5],
    /// Lateness of the generator.
    pub(crate) lag_p99_ms: Option<f64>,
    /// Requests under way at the end of the second.
    pub(crate) in_flight: u32,
    /// Arrivals of this second that are retries.
    pub(crate) retries: u64,
    /// The server at the end of the second.
    pub(crate) server: Option<ServerSecond>,
}

/// The server's side of a second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ServerSecond {
    /// Cores used (1.0 is one core).
    pub(crate) cores: Option<f64>,
    /// Resident memory, MB (10⁶ bytes).
    pub(crate) rss_mb: Option<f64>,
    /// The concurrency limit.
    pub(crate) limit: Option<f64>,
    /// Requests that hold a place of it.
    pub(crate) in_flight: Option<f64>,
    /// How many priorities are shut, 0…4.
    pub(crate) level: Option<f64>,
    /// Keys that its policies remember, all policies together.
    pub(crate) keys: Option<f64>,
    /// Decisions in this second, by policy, then by outcome (`admitted`, `refused`, `shadow_refused`, …).
    pub(crate) decisions: BTreeMap<String, BTreeMap<String, f64>>,
}
