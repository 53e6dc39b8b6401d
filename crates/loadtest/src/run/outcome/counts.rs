//! What became of a number of requests, and how long answers took: what every table has.

use serde::{Deserialize, Serialize};

use super::super::book::End;
use crate::tally::Times;

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

impl Counts {
    /// One more that ended so.
    pub(crate) fn count(&mut self, end: End) {
        self.offered += 1;
        *match end {
            End::Ok => &mut self.ok,
            End::Refused429(_) => &mut self.refused_429,
            End::Refused503 => &mut self.refused_503,
            End::Server5xx => &mut self.server_5xx,
            End::Unexpected => &mut self.unexpected,
            End::Timeout => &mut self.timeouts,
            End::Connection => &mut self.connection,
            End::NotSent => &mut self.not_sent,
        } += 1;
    }

    /// Both together.
    pub(crate) fn plus(self, other: &Self) -> Self {
        Self {
            offered: self.offered + other.offered,
            ok: self.ok + other.ok,
            refused_429: self.refused_429 + other.refused_429,
            refused_503: self.refused_503 + other.refused_503,
            server_5xx: self.server_5xx + other.server_5xx,
            unexpected: self.unexpected + other.unexpected,
            timeouts: self.timeouts + other.timeouts,
            connection: self.connection + other.connection,
            not_sent: self.not_sent + other.not_sent,
        }
    }

    /// Refused in either way.
    pub(crate) fn refused(&self) -> u64 {
        self.refused_429 + self.refused_503
    }

    /// The share that succeeded; none of nothing.
    pub(crate) fn success(&self) -> Option<f64> {
        (self.offered > 0).then(|| self.ok as f64 / self.offered as f64)
    }
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

impl Percentiles {
    /// Of these times.
    pub(crate) fn of(times: &Times) -> Self {
        let at = |share| (times.count() > 0).then(|| times.ms_at(share));
        let max = (times.count() > 0).then(|| times.max_ms());
        Self { count: times.count(), p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_offered_is_the_sum_of_its_ends() {
        let mut counts = Counts::default();
        let ends = [
            End::Ok,
            End::Refused429(0),
            End::Refused503,
            End::Server5xx,
            End::Unexpected,
            End::Timeout,
            End::Connection,
            End::NotSent,
        ];
        ends.into_iter().for_each(|end| counts.count(end));
        let Counts { ok, refused_429, refused_503, server_5xx, unexpected, timeouts, connection, not_sent, .. } =
            counts;
        for one in [ok, refused_429, refused_503, server_5xx, unexpected, timeouts, connection, not_sent] {
            assert_eq!(one, 1);
        }
        assert_eq!(counts.offered, 8);
        assert_eq!(counts.success(), Some(0.125));
    }
}
