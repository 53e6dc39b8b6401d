//! Who is busy: a pure function of the open rides, whatever the order in which they became known.

use std::collections::HashMap;

use entity::{Ride, value::Id};
use usecase::port::MAX_DRIVERS;

const WORD: u32 = u64::BITS;

/// Drivers by number, 0…[`MAX_DRIVERS`] − 1, and the ride that each is on.
pub(crate) struct Busy {
    by_ride: HashMap<Id<Ride>, u32>,
    /// Rides of a driver. More than one only while two rides race for the same driver.
    rides: HashMap<u32, u32>,
    /// One bit a driver, so that a free one is found 64 at a time.
    bits: Vec<u64>,
}

impl Busy {
    pub(crate) fn new() -> Self {
        Self { by_ride: HashMap::new(), rides: HashMap::new(), bits: vec![0; MAX_DRIVERS.div_ceil(WORD) as usize] }
    }

    /// Says who is on a ride, `None` for nobody. Saying it twice is saying it once.
    pub(crate) fn assign(&mut self, ride_id: Id<Ride>, driver: Option<u32>) {
        let before = match driver {
            Some(driver) => self.by_ride.insert(ride_id, driver),
            None => self.by_ride.remove(&ride_id),
        };
        if before == driver {
            return;
        }
        if let Some(driver) = before {
            let left = self.rides.get(&driver).map_or(0, |rides| rides - 1);
            if left == 0 {
                self.rides.remove(&driver);
                self.bits[(driver / WORD) as usize] &= !(1 << (driver % WORD));
            } else {
                self.rides.insert(driver, left);
            }
        }
        if let Some(driver) = driver {
            *self.rides.entry(driver).or_default() += 1;
            self.bits[(driver / WORD) as usize] |= 1 << (driver % WORD);
        }
    }

    /// The first free driver at or after number `start`, going round, among the first `drivers`.
    pub(crate) fn next_free(&self, start: u32, drivers: u32) -> Option<u32> {
        let drivers = drivers.min(MAX_DRIVERS);
        if drivers == 0 {
            return None;
        }
        let start = start % drivers;
        self.free_within(start, drivers).or_else(|| self.free_within(0, start))
    }

    /// The first free driver in `from..to`.
    fn free_within(&self, from: u32, to: u32) -> Option<u32> {
        let (first, last) = (from / WORD, to.div_ceil(WORD));
        (first..last).find_map(|word| {
            let before_from = if word == first { (1_u64 << (from % WORD)) - 1 } else { 0 };
            let free = !(self.bits[word as usize] | before_from);
            (free != 0).then(|| word * WORD + free.trailing_zeros()).filter(|driver| *driver < to)
        })
    }
}

#[cfg(test)]
mod tests {
    use entity::value::{Millis, Shard};
    use proptest::prelude::*;

    use super::*;

    fn ride(random: u16) -> Id<Ride> {
        Id::new(Millis(1_800_000_000_000), random, Shard::new(0).unwrap()).unwrap()
    }

    fn busy_with(drivers: &[u32]) -> Busy {
        let mut busy = Busy::new();
        for (i, driver) in (0..).zip(drivers) {
            busy.assign(ride(i), Some(*driver));
        }
        busy
    }

    proptest! {
        #[test]
        fn the_next_free_driver_is_the_one_that_counting_finds(
            taken in proptest::collection::vec(0_u32..200, 0..220), start in 0_u32..300, drivers in 0_u32..200,
        ) {
            let busy = busy_with(&taken);
            let counted = (0..drivers).map(|i| (start % drivers + i) % drivers).find(|d| !taken.contains(d));
            prop_assert_eq!(busy.next_free(start, drivers), counted);
        }
    }

    #[test]
    fn a_fleet_without_drivers_has_no_free_one() {
        assert_eq!(Busy::new().next_free(5, 0), None);
    }

    #[test]
    fn the_largest_fleet_is_searched_to_its_last_driver() {
        let everyone_but_the_last: Vec<u32> = (0..4000).collect();
        assert_eq!(busy_with(&everyone_but_the_last).next_free(0, 4001), Some(4000));
        assert_eq!(Busy::new().next_free(MAX_DRIVERS - 1, MAX_DRIVERS), Some(MAX_DRIVERS - 1));
    }

    #[test]
    fn a_driver_is_free_again_when_the_last_of_its_rides_lets_go() {
        let mut busy = busy_with(&[0, 0]);
        busy.assign(ride(0), None);
        assert_eq!(busy.next_free(0, 1), None);
        busy.assign(ride(1), None);
        busy.assign(ride(1), None);
        assert_eq!(busy.next_free(0, 1), Some(0));
    }

    #[test]
    fn a_ride_that_changes_its_driver_frees_the_one_before() {
        let mut busy = busy_with(&[0]);
        busy.assign(ride(0), Some(0));
        busy.assign(ride(0), Some(1));
        assert_eq!(busy.next_free(0, 2), Some(0));
        assert_eq!(busy.next_free(1, 2), Some(0));
    }
}
