//! The decision of one budget, without a database: GCRA (the generic cell rate algorithm, ITU-T I.371) in epoch
//! milliseconds. A bucket is one number, the time at which it is full again; each code puts that off.

use crate::value::Millis;

/// How many codes in what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    codes: i64,
    /// What one code costs, milliseconds: rounded up, so that never one too many is sent.
    interval_ms: i64,
}

/// What one budget says about one more code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has one.
    Admits {
        /// When it is full again once this code is taken.
        full_at: Millis,
        /// Codes that are left then.
        remaining: u32,
    },
    /// It has none.
    Refuses {
        /// When it has one, if nobody else takes it: milliseconds from now, more than zero.
        wait_ms: i64,
    },
}

impl Allowance {
    /// `codes` at once, and as many again in each window. Zero counts as one: the settings refuse it.
    #[must_use]
    pub fn new(codes: u32, window_s: u32) -> Self {
        let (codes, window_ms) = (i64::from(codes.max(1)), i64::from(window_s.max(1)) * 1000);
        // Both are positive. `div_ceil` of signed numbers is not in the language yet.
        Self { codes, interval_ms: (window_ms + codes - 1) / codes }
    }

    /// What it holds when it is full.
    #[must_use]
    pub fn codes(self) -> u32 {
        u32::try_from(self.codes).unwrap_or(u32::MAX)
    }

    /// In what time an empty one fills, milliseconds.
    #[must_use]
    pub fn window_ms(self) -> i64 {
        self.codes * self.interval_ms
    }

    /// Asks for one code from a bucket that is full at `full_at`; in the past, or `None`: it is full.
    ///
    /// A bucket that would take longer to fill than an empty one was noted before the clock was set back. Nobody knows
    /// how much time has passed since: it counts as full, as what is left of it must not keep a phone waiting.
    #[must_use]
    pub fn ask(self, full_at: Option<Millis>, now: Millis) -> Standing {
        let known = full_at.filter(|at| !at.is_from_the_future(now.plus_ms(self.window_ms())));
        let full_at = known.map_or(now, |at| at.max(now)).plus_ms(self.interval_ms);
        let free_ms = self.window_ms() - full_at.since_ms(now);
        if free_ms < 0 {
            return Standing::Refuses { wait_ms: -free_ms };
        }
        Standing::Admits { full_at, remaining: u32::try_from(free_ms / self.interval_ms).unwrap_or(u32::MAX) }
    }

    /// Gives a code back: the bucket is full so much earlier.
    pub(crate) fn interval_ms(self) -> i64 {
        self.interval_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = Millis(1_790_000_000_000);

    /// A bucket that remembers.
    #[derive(Clone, Copy)]
    struct Bucket(Allowance, Option<Millis>);

    impl Bucket {
        fn take(&mut self, now: Millis) -> bool {
            let standing = self.0.ask(self.1, now);
            if let Standing::Admits { full_at, .. } = standing {
                self.1 = Some(full_at);
            }
            matches!(standing, Standing::Admits { .. })
        }

        fn empty(&mut self, now: Millis) {
            let taken = (0..=self.0.codes()).filter(|_| self.take(now)).count();
            assert_eq!(taken, self.0.codes() as usize);
        }

        fn give_back(&mut self) {
            self.1 = self.1.map(|at| at.plus_ms(-self.0.interval_ms()));
        }

        fn wait_ms(self, now: Millis) -> i64 {
            match self.0.ask(self.1, now) {
                Standing::Admits { .. } => 0,
                Standing::Refuses { wait_ms } => wait_ms,
            }
        }
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_one_an_interval() {
        let mut bucket = Bucket(Allowance::new(20, 600), None);
        for left in (0..20).rev() {
            let standing = bucket.0.ask(bucket.1, NOW);
            assert!(matches!(standing, Standing::Admits { remaining, .. } if remaining == left), "{standing:?}");
            assert!(bucket.take(NOW));
        }
        assert_eq!(bucket.wait_ms(NOW), 30_000);
        assert_eq!(bucket.wait_ms(NOW.plus_ms(29_999)), 1);
        assert!(bucket.take(NOW.plus_ms(30_000)));
        assert!(!bucket.take(NOW.plus_ms(30_000)));
    }

    #[test]
    fn a_window_that_does_not_divide_gives_never_one_too_many() {
        let mut bucket = Bucket(Allowance::new(7, 1), None);
        let taken = (0..100_000).filter(|ms| bucket.take(NOW.plus_ms(*ms))).count();
        assert!((7 + 697..=7 + 700).contains(&taken), "{taken}");
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out_for_longer_than_the_window() {
        for back_s in [1, 9, 60, 599, 610, 3600, 86_400 * 365] {
            let mut bucket = Bucket(Allowance::new(20, 600), None);
            bucket.empty(NOW);
            let now = NOW.plus_ms(-1000 * back_s);
            assert!(bucket.wait_ms(now) <= bucket.0.window_ms(), "{back_s} s");
        }
    }

    #[test]
    fn what_another_nodes_clock_noted_is_not_forgotten() {
        let mut bucket = Bucket(Allowance::new(20, 600), None);
        bucket.empty(NOW.plus_ms(10_000));
        assert!(!bucket.take(NOW), "clocks differ by some seconds");
    }

    prop_compose! {
        fn allowances()(codes in 1_u32..2000, window_s in 1_u32..5000) -> Allowance { Allowance::new(codes, window_s) }
    }

    proptest! {
        /// What was taken and not given back, whenever it was given back: what the bucket held and what the time since
        /// gave, to the code.
        #[test]
        fn never_more_than_the_bucket_and_what_time_gives(
            codes in 1_u32..2000, window_s in 1_u32..5000, steps in prop::collection::vec((0_i64..400_000, 0_u8..4), 1..400),
        ) {
            let (mut bucket, mut now, mut kept) = (Bucket(Allowance::new(codes, window_s), None), NOW, 0);
            for (step_ms, gives_back) in steps {
                now = now.plus_ms(step_ms / 200);
                if gives_back == 0 && kept > 0 {
                    bucket.give_back();
                    kept -= 1;
                } else if bucket.take(now) {
                    kept += 1;
                } else {
                    now = now.plus_ms(step_ms);
                }
                let since = now.since_ms(NOW) * i64::from(codes) / (i64::from(window_s) * 1000);
                let most = i64::from(codes) + since;
                prop_assert!(kept <= most, "{kept} of {most}");
            }
        }

        #[test]
        fn what_is_given_back_leaves_the_bucket_as_it_was(
            allowance in allowances(), ahead_ms in -1_000_000_i64..5_000_000,
        ) {
            let before = Bucket(allowance, Some(NOW.plus_ms(ahead_ms.min(allowance.window_ms()))));
            let mut after = before;
            if after.take(NOW) {
                after.give_back();
                for later_ms in [0, 1, 500, 70_000] {
                    let later = NOW.plus_ms(later_ms);
                    prop_assert_eq!(after.0.ask(after.1, later), before.0.ask(before.1, later));
                }
            }
        }

        #[test]
        fn whoever_waits_as_told_is_admitted_and_not_a_millisecond_earlier(
            allowance in allowances(), taken in 0_u32..3000, since_ms in 0_i64..2_000_000,
        ) {
            let mut bucket = Bucket(allowance, None);
            for _ in 0..taken { bucket.take(NOW); }
            let now = NOW.plus_ms(since_ms);
            let wait_ms = bucket.wait_ms(now);
            if wait_ms > 0 {
                prop_assert!(!bucket.clone().take(now.plus_ms(wait_ms - 1)));
            }
            prop_assert!(bucket.take(now.plus_ms(wait_ms)));
        }

        /// At any time, whatever was noted: one code within the window.
        #[test]
        fn no_noted_time_locks_out_for_longer_than_the_window(allowance in allowances(), noted in any::<i64>()) {
            let wait_ms = Bucket(allowance, Some(Millis(noted))).wait_ms(NOW);
            prop_assert!(wait_ms <= allowance.window_ms() + 10_000, "{wait_ms}");
        }
    }
}
