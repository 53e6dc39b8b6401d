//! The hours that are compared together.

use entity::{Ride, Scan, ride::RideRange, value::Id};

/// Hours of the first window.
const AT_FIRST: i32 = 168;
/// Hours of a window, at most: its sums are kept in memory, 1024 an hour.
const MOST: i32 = 672;
/// With fewer rows in a window the next one is longer, with more shorter: a checkpoint should not be far.
const FEW: u64 = 100_000;
const MANY: u64 = 1_000_000;

/// Some hours of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    first: i32,
    hours: i32,
    /// What is older than the scan's first hour belongs to it: ids that cannot be.
    is_first: bool,
    /// All that come belong to it.
    is_last: bool,
}

impl Window {
    /// The next one of a scan, with so many hours at most.
    pub(super) fn next(scan: &Scan, hours: i32) -> Self {
        let first = scan.next_hour;
        Self {
            first,
            hours: hours.min(scan.last_hour - first + 1).max(1),
            is_first: first == scan.first_hour,
            is_last: i64::from(first) + i64::from(hours) > i64::from(scan.last_hour),
        }
    }

    /// The hours to begin with.
    pub(super) fn at_first() -> i32 {
        AT_FIRST
    }

    /// How many hours the next one should have, when there were `rows` in this one.
    pub(super) fn better_hours(self, rows: u64) -> i32 {
        match rows {
            0..FEW => (self.hours * 2).min(MOST),
            FEW..=MANY => self.hours,
            _ => (self.hours / 2).max(1),
        }
    }

    pub(super) fn is_last(self) -> bool {
        self.is_last
    }

    /// The hour after it.
    pub(super) fn end(self) -> i32 {
        self.first + self.hours
    }

    /// The place of a ride's hour in it, from 0.
    pub(super) fn place(self, ride_id: Id<Ride>) -> u32 {
        (ride_id.hour() - self.first).clamp(0, self.hours - 1).unsigned_abs()
    }

    /// Its rides.
    pub(super) fn range(self) -> RideRange {
        self.part(0, self.hours.unsigned_abs() - 1)
    }

    /// The rides of some of its hours, by their places.
    pub(super) fn part(self, first: u32, last: u32) -> RideRange {
        let hour = |place: u32| self.first + i32::try_from(place).unwrap_or(i32::MAX - self.first);
        // Whatever may be written as an id belongs to the first or to the last hour of all.
        let from = if self.is_first && first == 0 { 0 } else { hour(first) };
        match self.is_last && last + 1 == self.hours.unsigned_abs() {
            true => RideRange::from_hour_on(from),
            false => RideRange::hours(from, hour(last) + 1 - from),
        }
    }
}

#[cfg(test)]
mod tests {
    use entity::{ScanCounts, ScanState, value::Millis};

    use super::*;

    fn scan(first_hour: i32, next_hour: i32, last_hour: i32) -> Scan {
        Scan {
            id: "1".parse().unwrap(),
            state: ScanState::Running,
            epoch: 1,
            lease_until: Millis(0),
            first_hour,
            next_hour,
            last_hour,
            counts: ScanCounts::default(),
            worked_ms: 0,
            finished_at: None,
            last_error: None,
        }
    }

    #[test]
    fn windows_follow_each_other_and_leave_nothing_out() {
        let mut at = scan(100, 100, 1000);
        let mut parts = Vec::new();
        loop {
            let window = Window::next(&at, 300);
            parts.push(window.range());
            at.next_hour = window.end();
            if window.is_last() {
                break;
            }
        }
        let hours = RideRange::hours;
        assert_eq!(parts, [hours(0, 400), hours(400, 300), hours(700, 300), RideRange::from_hour_on(1000)]);
        let only = Window::next(&scan(5, 5, 5), 168);
        assert!(only.is_last());
        assert_eq!((only.range(), only.end()), (RideRange::from_hour_on(0), 6));
    }

    #[test]
    fn every_ride_has_a_place_also_one_that_cannot_be() {
        let window = Window::next(&scan(100, 100, 109), 20);
        let at_hour = |hour: i64| {
            let id = Id::<Ride>::new(Millis(1_704_067_200_000 + hour * 3_600_000), 0, Scan::SHARD).unwrap();
            window.place(id)
        };
        assert_eq!([0, 100, 101, 109, 110, 9_999].map(at_hour), [0, 0, 1, 9, 9, 9]);
        assert_eq!(window.part(3, 4), RideRange::hours(103, 2));
        assert_eq!(window.part(9, 9), RideRange::from_hour_on(109));
    }

    #[test]
    fn a_window_grows_while_there_is_little_in_it() {
        let window = Window::next(&scan(0, 0, 10_000), 168);
        assert_eq!(
            (window.better_hours(10), window.better_hours(500_000), window.better_hours(2_000_000)),
            (336, 168, 84)
        );
        let widest = Window::next(&scan(0, 0, 10_000), MOST);
        assert_eq!(widest.better_hours(0), MOST);
    }
}
