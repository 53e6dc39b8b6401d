//! What was counted and timed.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use crate::wire::Status;

/// How a trip's ride ended, as seen by its passenger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// The ride came to this end.
    Final(Status),
    /// The gateway makes no quote for it (422, like `out-of-area`): no ride.
    Refused,
    /// An acknowledged ride that did not end in time.
    Stuck,
    /// An acknowledged ride that is not found.
    Lost,
    /// The client gave up; a broken promise says why.
    GaveUp,
    /// The replay stopped before this trip had a ride.
    Cut,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Final(status) => status.fmt(f),
            Self::Refused => f.write_str("refused at the quote"),
            Self::Stuck => f.write_str("stuck"),
            Self::Lost => f.write_str("lost"),
            Self::GaveUp => f.write_str("gave up"),
            Self::Cut => f.write_str("cut short"),
        }
    }
}

/// All counters; shared by all trips.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Counts>);

/// The counters.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Counts {
    #[serde(skip)]
    pub(crate) calls: BTreeMap<&'static str, CallCounts>,
    /// Time from one moment of a trip to another, by name.
    #[serde(skip)]
    pub(crate) spans: BTreeMap<&'static str, Times>,
    #[serde(rename = "rides", serialize_with = "titles")]
    pub(crate) endings: BTreeMap<Ending, u64>,
    /// Why rides were cancelled: who and the reason.
    pub(crate) cancelled_by: BTreeMap<String, u64>,
    /// Payment status on the receipts asked for at the very end, of completed rides.
    #[serde(rename = "payments_after_completed")]
    pub(crate) payments: BTreeMap<String, u64>,
    /// The same of rides that expired or were cancelled.
    #[serde(rename = "payments_after_other_ends")]
    pub(crate) payments_undriven: BTreeMap<String, u64>,
    #[serde(skip)]
    pub(crate) under_way: u64,
    pub(crate) passengers: u64,
    /// 429 answers, obeyed.
    #[serde(rename = "obeyed_429")]
    pub(crate) limited: u64,
    /// Connections that failed while the server was away by this tool's doing.
    pub(crate) excused: u64,
    /// Answers 503 to requests that were under way while the server was away.
    pub(crate) excused_503: u64,
    /// Streams taken up again with `Last-Event-ID`.
    #[serde(rename = "streams_resumed")]
    pub(crate) resumed: u64,
    pub(crate) events: u64,
    pub(crate) locations: u64,
    pub(crate) heartbeats: u64,
}

fn titles<S: Serializer>(endings: &BTreeMap<Ending, u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(endings.iter().map(|(ending, n)| (ending.to_string(), n)))
}

/// Of one call of the API.
#[derive(Clone, Default)]
pub(crate) struct CallCounts {
    pub(crate) times: Times,
    pub(crate) statuses: BTreeMap<u16, u64>,
}

/// A latency histogram in microseconds, three digits.
#[derive(Clone)]
pub(crate) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        #[allow(clippy::expect_used, reason = "three digits are within what the histogram allows (0…5)")]
        Self(Histogram::new(3).expect("a histogram of three digits"))
    }
}

impl Times {
    /// With two digits: a tenth of the memory, where there is one for every moment.
    pub(crate) fn coarse() -> Self {
        #[allow(clippy::expect_used, reason = "two digits are within what the histogram allows (0…5)")]
        Self(Histogram::new(2).expect("a histogram of two digits"))
    }

    /// These and the others.
    pub(crate) fn with(mut self, others: &Self) -> Self {
        // A histogram that grows by itself takes every value.
        let _ = self.0.add(&others.0);
        self
    }

    pub(crate) fn add(&mut self, time: Duration) {
        // A histogram that grows by itself takes every value; a failure would lose one sample.
        let _ = self.0.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds that this share (0…1) of the samples did not exceed.
    pub(crate) fn ms_at(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1000.0
    }

    /// The longest, in milliseconds.
    pub(crate) fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }
}

impl Tally {
    /// The counters, to change a few.
    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One answer of `call`. Refusals (429, 5xx) are counted; their time is not: it would flatter the percentiles.
    pub(crate) fn answer(&self, call: &'static str, status: u16, time: Duration) {
        let mut counts = self.counts();
        let call = counts.calls.entry(call).or_default();
        *call.statuses.entry(status).or_default() += 1;
        if status != 429 && status < 500 {
            call.times.add(time);
        }
    }

    /// A stretch of a trip.
    pub(crate) fn span(&self, name: &'static str, time: Duration) {
        self.counts().spans.entry(name).or_default().add(time);
    }
}

impl Counts {
    /// How many trips have ended.
    pub(crate) fn done(&self) -> u64 {
        self.endings.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut times = Times::default();
        for ms in 1..=100 {
            times.add(Duration::from_millis(ms));
        }
        assert_eq!(times.count(), 100);
        assert!((times.ms_at(0.5) - 50.0).abs() < 0.1);
        assert!((times.max_ms() - 100.0).abs() < 0.2);
    }

    #[test]
    fn the_time_of_a_refusal_is_not_a_latency() {
        let tally = Tally::default();
        tally.answer("POST quotes", 429, Duration::from_millis(1));
        tally.answer("POST quotes", 201, Duration::from_millis(9));
        let counts = tally.counts();
        assert_eq!(counts.calls[&"POST quotes"].times.count(), 1);
        assert_eq!(counts.calls[&"POST quotes"].statuses[&429], 1);
    }
}
