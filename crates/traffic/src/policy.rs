//! One limit: a token bucket per key, as GCRA (the generic cell rate algorithm), in memory.

use std::{hash::Hash, num::NonZeroU32, time::Duration};

use governor::{
    RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};
use prometheus::{IntCounter, IntCounterVec};

/// What a limit says about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may go on.
    Admitted(Quota),
    /// It is one too many now.
    Refused {
        /// What is left of the policy that refused: nothing.
        quota: Quota,
        /// When one more would be admitted, if nobody else takes it. More than zero.
        retry_after: Duration,
    },
}

impl Decision {
    /// The numbers for the headers, whatever was decided.
    #[must_use]
    pub fn quota(&self) -> Quota {
        match self {
            Self::Admitted(quota) | Self::Refused { quota, .. } => *quota,
        }
    }
}

/// The numbers behind the response fields `RateLimit-Policy` (name, `q`, `w`) and `RateLimit` (name, `r`, `t`) of
/// draft-ietf-httpapi-ratelimit-headers (version 11 of May 2026). The fields themselves are HTTP and not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The policy's name.
    pub policy: &'static str,
    /// `q`: requests in one window; the bucket's size.
    pub quota: u32,
    /// `w`: seconds in which an empty bucket fills, rounded up.
    pub window_s: u32,
    /// `r`: requests that would be admitted now.
    pub remaining: u32,
    /// `t`: seconds, rounded up, until the bucket is full again; after a refusal until one more is admitted, to
    /// which HTTP adds jitter in `Retry-After`.
    pub reset_s: u32,
}

/// One bucket per key.
pub(crate) struct Policy<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    name: &'static str,
    per_s: NonZeroU32,
    burst: NonZeroU32,
    buckets: RateLimiter<K, DashMapStateStore<K>, C, StateInformationMiddleware>,
    admitted: IntCounter,
    refused: IntCounter,
}

impl<K: Hash + Eq + Clone> Policy<K> {
    /// A policy that admits `burst` at once and `per_s` a second. Zero counts as one: the settings refuse it.
    pub(crate) fn new(name: &'static str, per_s: u32, burst: u32, decisions: &IntCounterVec) -> Self {
        Self::with_clock(name, per_s, burst, decisions, DefaultClock::default())
    }
}

impl<K: Hash + Eq + Clone, C: Clock> Policy<K, C> {
    fn with_clock(name: &'static str, per_s: u32, burst: u32, decisions: &IntCounterVec, clock: C) -> Self {
        let [per_s, burst] = [per_s, burst].map(|n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
        Self {
            name,
            per_s,
            burst,
            buckets: RateLimiter::dashmap_with_clock(governor::Quota::per_second(per_s).allow_burst(burst), clock)
                .with_middleware(),
            admitted: decisions.with_label_values(&[name, "admitted"]),
            refused: decisions.with_label_values(&[name, "refused"]),
        }
    }

    pub(crate) fn check(&self, key: &K) -> Decision {
        match self.buckets.check_key(key) {
            Ok(state) => {
                self.admitted.inc();
                let remaining = state.remaining_burst_capacity();
                Decision::Admitted(self.quota(remaining, self.seconds_for(self.burst.get().saturating_sub(remaining))))
            }
            Err(until) => {
                self.refused.inc();
                let retry_after = until.wait_time_from(self.buckets.clock().now()).max(Duration::from_nanos(1));
                let reset_s = u32::try_from(retry_after.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
                Decision::Refused { quota: self.quota(0, reset_s), retry_after }
            }
        }
    }

    /// Drops the keys whose bucket is full and tells how many are left.
    pub(crate) fn sweep(&self) -> usize {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
        self.buckets.len()
    }

    fn quota(&self, remaining: u32, reset_s: u32) -> Quota {
        let quota = self.burst.get();
        Quota { policy: self.name, quota, window_s: self.seconds_for(quota), remaining, reset_s }
    }

    /// Seconds, rounded up, in which `tokens` come back.
    fn seconds_for(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.per_s.get())
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use prometheus::Opts;
    use proptest::prelude::*;

    use super::*;

    fn policy(per_s: u32, burst: u32) -> (Policy<u8, FakeRelativeClock>, FakeRelativeClock) {
        let decisions = IntCounterVec::new(Opts::new("decisions", "of the test"), &["policy", "outcome"]).unwrap();
        let clock = FakeRelativeClock::default();
        (Policy::with_clock("test", per_s, burst, &decisions, clock.clone()), clock)
    }

    #[test]
    fn the_numbers_tell_what_is_left_and_when_it_is_back() {
        let (policy, clock) = policy(2, 5);
        let quota = |remaining, reset_s| Quota { policy: "test", quota: 5, window_s: 3, remaining, reset_s };
        assert_eq!(policy.check(&1), Decision::Admitted(quota(4, 1)));
        for (remaining, reset_s) in [(3, 1), (2, 2), (1, 2), (0, 3)] {
            assert_eq!(policy.check(&1), Decision::Admitted(quota(remaining, reset_s)));
        }
        let retry_after = Duration::from_millis(500);
        assert_eq!(policy.check(&1), Decision::Refused { quota: quota(0, 1), retry_after });
        clock.advance(retry_after);
        assert_eq!(policy.check(&1), Decision::Admitted(quota(0, 3)));
        assert_eq!((policy.admitted.get(), policy.refused.get()), (6, 1));
    }

    #[test]
    fn a_sweep_forgets_whoever_has_a_full_quota_again_and_nobody_else() {
        let (policy, clock) = policy(1, 10);
        for _ in 0..10 {
            let _ = policy.check(&1);
        }
        let _ = policy.check(&2);
        assert_eq!(policy.sweep(), 2);
        clock.advance(Duration::from_secs(5));
        assert_eq!(policy.sweep(), 1);
        clock.advance(Duration::from_secs(10));
        assert_eq!(policy.sweep(), 0);
    }

    proptest! {
        #[test]
        fn no_more_is_admitted_than_the_burst_and_the_rate_allow(
            per_s in 1..5_000_u32,
            burst in 1..200_u32,
            calls in prop::collection::vec((0..50_u64, 1..40_u32), 1..60),
        ) {
            let (policy, clock) = policy(per_s, burst);
            let (mut elapsed_ms, mut admitted) = (0, 0);
            for (wait_ms, requests) in calls {
                clock.advance(Duration::from_millis(wait_ms));
                elapsed_ms += wait_ms;
                for _ in 0..requests {
                    let decision = policy.check(&7);
                    admitted += u64::from(matches!(decision, Decision::Admitted(_)));
                    prop_assert!(decision.quota().remaining < burst);
                }
                // The period between two tokens is rounded down to whole nanoseconds.
                let period_ns = 1_000_000_000 / u64::from(per_s);
                prop_assert!(admitted <= u64::from(burst) + elapsed_ms * 1_000_000 / period_ns);
            }
        }

        #[test]
        fn whoever_waits_as_told_is_admitted(per_s in 1..5_000_u32, burst in 1..100_u32) {
            let (policy, clock) = policy(per_s, burst);
            for _ in 0..burst + 3 {
                if let Decision::Refused { retry_after, .. } = policy.check(&7) {
                    clock.advance(retry_after);
                    prop_assert!(matches!(policy.check(&7), Decision::Admitted(_)));
                }
            }
        }
    }
}
