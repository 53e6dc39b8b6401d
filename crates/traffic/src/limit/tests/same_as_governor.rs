//! Decision by decision the same as the `governor` crate's, wherever it can express the case.

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, FakeRelativeClock},
    middleware::StateInformationMiddleware,
};
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn decisions_waits_and_what_is_left_are_governors(
        interval_ns in prop_oneof![1..50_u64, 1..3_000_000_000_u64],
        burst in 1..100_u32,
        start in 0..10_000_000_000_u64,
        steps in prop::collection::vec((prop_oneof![Just(0), 0..200_u64, 0..9_000_000_000_u64], 0..3_u8, 1..110_u32), 1..80),
    ) {
        let clock = FakeRelativeClock::default();
        let quota = Quota::with_period(Duration::from_nanos(interval_ns)).unwrap();
        let theirs = RateLimiter::hashmap_with_clock(quota.allow_burst(NonZeroU32::new(burst).unwrap()), clock.clone())
            .with_middleware::<StateInformationMiddleware>();
        let ours = table(0, rate(interval_ns, burst), 100);
        clock.advance(Duration::from_nanos(start));
        let mut now = start;
        for (elapsed, key, cost) in steps {
            clock.advance(Duration::from_nanos(elapsed));
            now += elapsed;
            let (admitted, states) = all(&[tier(&ours, key.into(), cost)], now);
            match theirs.check_key_n(&key, NonZeroU32::new(cost).unwrap()) {
                Ok(Ok(snapshot)) => {
                    prop_assert!(admitted);
                    prop_assert_eq!(states[0].remaining(), snapshot.remaining_burst_capacity());
                }
                Ok(Err(not_until)) => {
                    prop_assert!(!admitted);
                    prop_assert_eq!(states[0].wait(), Some(not_until.wait_time_from(clock.now())));
                }
                Err(insufficient) => {
                    prop_assert!(!admitted);
                    prop_assert_eq!((states[0].wait(), states[0].rate().burst()), (Some(Duration::MAX), insufficient.0));
                }
            }
        }
    }
}
