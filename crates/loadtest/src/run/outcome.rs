//! What a run found: the JSON that `--json` writes and the HTML report is made from. Only data; who fills it is
//! `measure.rs` and `figures.rs`.
//!
//! Times in `_s` count from the run's first scheduled arrival, seconds. Latencies are milliseconds from the moment at
//! which the request was *meant* to be sent, so what waited in front of a slow server counts. Rates are per second.
//! What was not measured is `null`, never 0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One run of one scenario.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Version of this format.
    pub(crate) format: u32,
    /// Name and version of this tool.
    pub(crate) tool: String,
    /// When the load began, seconds since 1970 UTC.
    pub(crate) began_unix_s: u64,
    pub(crate) scenario: ScenarioFacts,
    pub(crate) server: ServerFacts,
    pub(crate) validity: Validity,
    /// Present when the base rate was measured.
    pub(crate) calibration: Option<Calibration>,
    /// The same after the run, with the mix that was accepted at the peak: what is shed first is not as dear as what is not,
    /// so goodput at the peak is held against this.
    #[serde(default)]
    pub(crate) calibration_after: Option<Calibration>,
    /// What a refusal costs, where it was looked at: after the run, the capacity having been measured.
    #[serde(default)]
    pub(crate) refusals: Option<Refusals>,
    /// The whole run.
    pub(crate) totals: Counts,
    /// Latency of the requests that succeeded, whole run.
    pub(crate) latency: Percentiles,
    /// By kind of request, in the order of the mix.
    pub(crate) kinds: Vec<KindRow>,
    /// By priority, 0 first.
    pub(crate) priorities: Vec<PriorityRow>,
    /// The schedule's phases in order, and what happened in each (by the intended start).
    pub(crate) phases: Vec<PhaseRow>,
    /// One entry a second, by the intended start; also the server's side, by the clock.
    pub(crate) series: Vec<Second>,
    /// Who refused how often, whole run: a policy's name, `overload` for a 503 of reduced capacity, `other` for a 429 that
    /// names no policy.
    pub(crate) refused_by: BTreeMap<String, u64>,
    /// The server's policies against what it admitted; empty when it could not be asked.
    pub(crate) policies: Vec<PolicyRow>,
    /// Refused clients that came back; only in scenarios with retries.
    pub(crate) retries: Option<RetryWave>,
    /// One key among many; only in scenarios with a hot key.
    pub(crate) fairness: Option<Fairness>,
    /// Only in scenarios that spray keys.
    pub(crate) spray: Option<Spray>,
    /// Every named figure; `null` values could not be measured in this scenario.
    pub(crate) figures: Vec<Figure>,
    /// The checks asked for, or the scenario's own.
    pub(crate) checks: Vec<CheckRow>,
    /// What a reader should know beside the figures, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ScenarioFacts {
    pub(crate) name: String,
    /// What it shows, a sentence or two.
    pub(crate) about: String,
    /// Shedding was off: the control experiment.
    pub(crate) control: bool,
    /// `poisson` or `even`.
    pub(crate) arrivals: String,
    pub(crate) seed: u64,
    /// Length of the schedule.
    pub(crate) seconds: f64,
    /// Requests a second that a rate of 1 in the scenario stands for.
    pub(crate) base_rate: f64,
    /// `given` (by `--rate`) or `measured` (peak goodput).
    pub(crate) base_from: String,
    /// After so long a client gives up: a failure.
    pub(crate) deadline_ms: u64,
    /// Requests under way at once, at most.
    pub(crate) max_in_flight: u32,
    pub(crate) passengers: u32,
    /// Source addresses that they share.
    pub(crate) sources: u32,
}

/// What was driven.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ServerFacts {
    pub(crate) url: String,
    /// Started by this tool.
    pub(crate) own: bool,
    /// Server on one core, generator on another.
    pub(crate) pinned: bool,
    /// Cores of this machine.
    pub(crate) cores: u32,
    /// Where priorities, classes and policies are from: `server` or `built-in` (it could not be asked).
    pub(crate) routes_from: String,
}

/// Whether the generator did what was asked of it; a run that is not valid says nothing about the server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Validity {
    pub(crate) valid: bool,
    /// Why not, a sentence each.
    pub(crate) reasons: Vec<String>,
    /// How late requests were sent, milliseconds after the intended start.
    pub(crate) lag: Percentiles,
    /// Above this p99 of the lag the run is not valid, milliseconds.
    pub(crate) max_lag_ms: f64,
    /// Cores that the generator itself used, mean.
    pub(crate) generator_cores: Option<f64>,
    /// Arrivals for whose drawn kind nobody was in a fitting state, and another kind was sent.
    pub(crate) redrawn: u64,
}

/// The search for the capacity: a closed loop.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Calibration {
    /// Peak goodput, requests a second.
    pub(crate) goodput: f64,
    /// Requests under way at which it was seen.
    pub(crate) in_flight: u32,
    /// Each step that was tried: requests under way, goodput.
    pub(crate) steps: Vec<(u32, f64)>,
    /// Server's CPU for each request that succeeded, microseconds.
    pub(crate) cpu_us: Option<f64>,
    /// How much of what succeeded was of other kinds than the mix has it, 0…1: nobody could send those.
    #[serde(default)]
    pub(crate) skew: f64,
}

/// Cheap requests from one address of their own, after the run, as many as went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Refusals {
    /// Answered, and of these with 429.
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    /// Server's CPU for each refusal, microseconds, an upper estimate: that of the few accepted is in it. None when less
    /// than nine tenths were refused.
    pub(crate) cpu_us: Option<f64>,
}

/// What became of arrivals. `offered` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Arrivals scheduled, and retries.
    pub(crate) offered: u64,
    /// Answered in time as the contract has it (2xx, 304, or a 409 that the passenger's state explains).
    pub(crate) ok: u64,
    /// 429.
    pub(crate) refused_429: u64,
    /// 503 `temporary-reduced-capacity`.
    pub(crate) refused_503: u64,
    /// Any other answer of 500 and above.
    pub(crate) server_5xx: u64,
    /// Any other answer that the contract does not have here.
    pub(crate) unexpected: u64,
    /// No answer within the deadline.
    pub(crate) timeouts: u64,
    /// The connection failed.
    pub(crate) connection: u64,
    /// Not sent: so many requests were under way already. The server's failure to answer, seen from a client with bounds.
    pub(crate) not_sent: u64,
}

/// Of a number of samples, milliseconds; all `null` without samples.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
    pub(crate) max: Option<f64>,
}

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
    /// Of this second's refusals, by who refused; as [`Outcome::refused_by`].
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

/// A named figure.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: Option<f64>,
    /// `ms`, `s`, `1/s`, `MB`, `share`, …; empty for a pure number.
    pub(crate) unit: String,
    /// What it is, a sentence.
    pub(crate) about: String,
}

/// A check and whether it held.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CheckRow {
    /// `success_p0>=0.995`.
    pub(crate) check: String,
    /// The figure's value; a check of one that was not measured fails, unless it is excused.
    pub(crate) value: Option<f64>,
    pub(crate) holds: bool,
    /// It does not count: its figure cannot be measured with shedding off, and this is the control experiment.
    #[serde(default)]
    pub(crate) excused: bool,
}

impl CheckRow {
    /// Whether the run failed because of it.
    pub(crate) fn failed(&self) -> bool {
        !self.holds && !self.excused
    }
}
