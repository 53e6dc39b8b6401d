//! The replay as a whole: was anybody driven, and did those who were not have a right to it?

use crate::{passenger::Passenger, promises::Kind, wire::Status};

/// One trip in so many may end without a driver although there are enough of them.
const ONE_IN: usize = 100;

/// A broken promise, and the ride it is about.
type Breach = (Kind, Option<String>, String);

/// What the day of these passengers, who wanted so many `trips`, breaks. Only with a fleet of the replay's own is every
/// passenger entitled to a driver, unless he calls the ride off himself.
pub(crate) fn judge(trips: usize, passengers: &[Passenger], own_fleet: bool) -> Vec<Breach> {
    let rides = passengers.iter().flat_map(|passenger| &passenger.rides).filter(|ride| ride.cancelled.is_none());
    let ends = rides.filter_map(|ride| Some((&ride.id, ride.end.as_ref()?.ride.status)));
    let (completed, undriven): (Vec<_>, Vec<_>) = ends.partition(|(_, status)| *status == Status::Completed);
    let mut breaches = Vec::new();
    if completed.is_empty() {
        breaches.push((Kind::NothingDriven, None, format!("none of {trips} trips was completed")));
    }
    if own_fleet && undriven.len() * ONE_IN > trips {
        breaches.extend(undriven.iter().map(|(ride, status)| {
            let detail = format!("{status}, like {} of {trips} trips that were expired or cancelled", undriven.len());
            (Kind::WithoutDriver, Some((*ride).clone()), detail)
        }));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        passenger::{Phones, Taken},
        wire::sample,
    };

    /// The kinds broken by a day of so many rides that were completed, expired and cancelled, out of `trips`.
    fn broken(trips: usize, rides: [usize; 3], own_fleet: bool) -> Vec<Kind> {
        let mut passenger = Passenger::new(&Phones::new(1));
        for (status, count) in ["completed", "expired", "cancelled"].into_iter().zip(rides) {
            passenger.rides.extend((0..count).map(|_| Taken::ended("r", sample::ride("r", status, 6, 9))));
        }
        judge(trips, &[passenger], own_fleet).into_iter().map(|breach| breach.0).collect()
    }

    #[test]
    fn a_day_on_which_nobody_was_driven_is_broken_whoever_set_the_fleet() {
        assert_eq!(broken(60, [0, 0, 0], true), [Kind::NothingDriven], "no ride at all");
        assert_eq!(broken(60, [0, 60, 0], false), [Kind::NothingDriven], "every ride expired");
        assert_eq!(broken(60, [60, 0, 0], true), []);
    }

    #[test]
    fn with_a_fleet_of_its_own_one_trip_in_a_hundred_may_stay_without_a_driver() {
        assert_eq!(broken(200, [198, 1, 1], true), []);
        assert_eq!(broken(200, [197, 2, 1], true), [Kind::WithoutDriver; 3]);
        assert_eq!(broken(200, [198, 0, 2], true), []);
    }

    #[test]
    fn with_a_fleet_that_somebody_else_set_rides_may_stay_without_a_driver() {
        assert_eq!(broken(200, [1, 100, 99], false), []);
    }
}
