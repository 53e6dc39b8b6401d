//! What was looked at apart: policies against what they let pass, and what only some scenarios have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Counts;

/// A policy of the server against what was admitted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PolicyRow {
    pub(crate) policy: String,
    /// `address`, `passenger`, `device`, `class`, `global`.
    pub(crate) key: String,
    pub(crate) quota: u64,
    pub(crate) window_s: u64,
    pub(crate) burst: u64,
    /// Keys of this run that it counted.
    pub(crate) keys: u64,
    /// Units admitted, all keys.
    pub(crate) admitted: u64,
    /// The key and stretch of time that came closest to what is allowed, or went over: who.
    pub(crate) worst_key: Option<String>,
    /// Units admitted there.
    pub(crate) worst_admitted: Option<f64>,
    /// Units allowed there: burst + rate · t.
    pub(crate) worst_allowed: Option<f64>,
    /// Share above what is allowed, 0 when nothing was.
    pub(crate) over: f64,
}

/// Refused clients that come back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RetryWave {
    /// Share of clients that wait as long as `Retry-After` says.
    pub(crate) obeying: f64,
    /// Clients of the storm.
    pub(crate) clients: u64,
    /// Those that were served in the end.
    pub(crate) served: u64,
    pub(crate) bin_s: f64,
    /// Retries in each bin, from the first retry.
    pub(crate) bins: Vec<u64>,
    /// When the first bin begins.
    pub(crate) from_s: f64,
    /// Bins with so many arrivals are judged.
    pub(crate) judged_from: u64,
    /// The bins from the first to the last that is judged: busiest, mean, and their ratio.
    pub(crate) peak: Option<f64>,
    pub(crate) mean: Option<f64>,
    pub(crate) peak_to_mean: Option<f64>,
    /// How often each `Retry-After` was given, by seconds.
    pub(crate) told: BTreeMap<u64, u64>,
}

/// One key among many.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fairness {
    /// How many times the share of each other.
    pub(crate) hot_times: f64,
    pub(crate) hot: Counts,
    /// The others together.
    pub(crate) rest: Counts,
    /// How many others.
    pub(crate) keys: u64,
    /// Jain's index of the others' success ratios: 1 is equal.
    pub(crate) jain: Option<f64>,
    /// The others' success ratios: lowest, median, highest.
    pub(crate) ratios: Option<(f64, f64, f64)>,
}

/// Many keys, once each.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Spray {
    pub(crate) keys_asked: u64,
    pub(crate) keys_sent: u64,
    pub(crate) seconds: f64,
    /// Before and after, MB; and bytes for each key sent.
    pub(crate) rss_before_mb: Option<f64>,
    pub(crate) rss_after_mb: Option<f64>,
    pub(crate) rss_max_mb: Option<f64>,
    pub(crate) bytes_a_key: Option<f64>,
}
