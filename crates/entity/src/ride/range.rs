//! Rides by the hour of their id.

use super::Ride;
use crate::value::Id;

const HOUR_MS: i64 = 3_600_000;

/// Rides by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RideRange {
    /// The lowest id that belongs to it.
    pub(crate) first: i64,
    /// The highest.
    pub(crate) last: i64,
}

impl RideRange {
    /// `count` hours from this one on (see [`Id::hour`]).
    #[must_use]
    pub fn hours(first: i32, count: i32) -> Self {
        Self { first: floor(first), last: floor(first.saturating_add(count)).saturating_sub(1) }
    }

    /// This hour and all that come.
    #[must_use]
    pub fn from_hour_on(first: i32) -> Self {
        Self { first: floor(first), last: i64::MAX }
    }

    /// Its lower and its upper half; `None` for a single id.
    #[must_use]
    pub fn halves(self) -> Option<[Self; 2]> {
        let middle = self.first.wrapping_add_unsigned(self.last.wrapping_sub(self.first).cast_unsigned() / 2);
        let halves = [Self { last: middle, ..self }, Self { first: middle.saturating_add(1), ..self }];
        (self.first < self.last).then_some(halves)
    }
}

impl Id<Ride> {
    /// Hours from the beginning of 2024 to the ride's request; 0 for what is no id.
    #[must_use]
    pub fn hour(self) -> i32 {
        // 63 bits less those below the milliseconds leave room for 610,839 hours.
        i32::try_from(self.since_epoch_ms().div_euclid(HOUR_MS).max(0)).unwrap_or(i32::MAX)
    }
}

/// The lowest id of an hour; to the first belongs all that is no id.
fn floor(hour: i32) -> i64 {
    if hour <= 0 { i64::MIN } else { Id::<Ride>::lowest(i64::from(hour) * HOUR_MS).value() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Millis, Shard};

    #[test]
    fn an_hour_has_its_rides_and_no_other() {
        let start = Millis(1_790_000_000_000 / HOUR_MS * HOUR_MS);
        let id = |ms: i64, random| Id::<Ride>::new(start.plus_ms(ms), random, Shard::new(1023).unwrap()).unwrap();
        let hour = id(0, 0).hour();
        let range = RideRange::hours(hour, 1);
        for (ms, random, is_inside) in [(-1, 4095, false), (0, 0, true), (HOUR_MS - 1, 4095, true), (HOUR_MS, 0, false)]
        {
            let id = id(ms, random);
            assert_eq!((range.first..=range.last).contains(&id.value()), is_inside, "{ms}");
            assert_eq!(id.hour() == hour, is_inside, "{ms}");
        }
        assert_eq!(RideRange::hours(hour, 2).last + 1, RideRange::from_hour_on(hour + 2).first);
        assert_eq!(RideRange::hours(i32::MAX, 1).first, i64::MAX, "beyond what ids cover");
    }

    #[test]
    fn the_hours_hold_everything_that_may_be_written_as_an_id() {
        assert_eq!(RideRange::hours(0, 5).first, i64::MIN);
        assert_eq!(Id::<Ride>::raw(-1).hour(), 0);
        assert_eq!(RideRange::from_hour_on(5).last, i64::MAX);
        assert_eq!(Id::<Ride>::raw(i64::MAX).hour(), 610_839);
    }

    #[test]
    fn a_range_is_halved_down_to_single_ids() {
        let range = RideRange { first: -2, last: 3 };
        assert_eq!(range.halves(), Some([RideRange { first: -2, last: 0 }, RideRange { first: 1, last: 3 }]));
        let whole = RideRange::from_hour_on(0).halves().unwrap();
        assert_eq!((whole[0].first, whole[0].last + 1, whole[1].last), (i64::MIN, whole[1].first, i64::MAX));
        let below = RideRange { first: -3, last: -2 }.halves().unwrap();
        assert_eq!(below, [RideRange { first: -3, last: -3 }, RideRange { first: -2, last: -2 }]);
        assert_eq!(RideRange { first: 7, last: 7 }.halves(), None);
    }
}
