//! Where a driver is: on a straight line, as far along as the time of the ride's status says.

use entity::{
    RideStatus,
    value::{Millis, Point},
};

use super::{plan::scaled_ms, view::View};
use crate::dice::{self, Question};

/// Metres a second as the crow flies: some 22 km/h, a city's midday.
const SPEED_M_S: f64 = 6.0;
/// Metres of one degree of latitude on a sphere of the mean earth radius.
const METRES_PER_DEGREE: f64 = 111_195.0;

/// The driver's position at `now`; `None` when nobody of the sandbox is on the ride.
pub(crate) fn position(seed: u64, time_scale: f64, ride: &View, now: Millis) -> Option<Point> {
    let driver = ride.driver()?;
    let done = |seconds: u32| {
        let whole = scaled_ms(f64::from(seconds), time_scale).max(1);
        now.since_ms(ride.status_at).max(0) as f64 / whole as f64
    };
    match ride.status {
        RideStatus::Accepted => {
            let from = start(seed, ride.pickup, ride.pickup_eta_s, &[ride.id.value(), i64::from(driver)]);
            Some(from.towards(ride.pickup, done(ride.pickup_eta_s)))
        }
        RideStatus::Arrived => Some(ride.pickup),
        RideStatus::InProgress => Some(ride.pickup.towards(ride.dropoff, done(ride.duration_s))),
        RideStatus::Requested | RideStatus::Completed | RideStatus::Cancelled | RideStatus::Expired => None,
    }
}

/// Where a driver comes from that needs `eta_s` to `pickup`: in a direction that the dice give.
fn start(seed: u64, pickup: Point, eta_s: u32, subject: &[i64]) -> Point {
    let bearing = dice::share(seed, Question::Bearing, subject) * std::f64::consts::TAU;
    let away = f64::from(eta_s) * SPEED_M_S / METRES_PER_DEGREE;
    let (lat, lng) = (pickup.lat.degrees(), pickup.lng.degrees());
    // Degrees of longitude shrink with the cosine of the latitude. Off the map, the driver starts at the pickup.
    let lng_away = away * bearing.sin() / lat.to_radians().cos().max(0.01);
    Point::from_degrees(lat + away * bearing.cos(), lng + lng_away).unwrap_or(pickup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::view::{Holder, fixture::ride};

    #[test]
    fn a_driver_comes_from_as_far_as_the_promised_time_says() {
        for seed in 0..200 {
            let ride = ride(RideStatus::Accepted, Holder::Ours(3));
            let from = position(seed, 60.0, &ride, ride.status_at).unwrap();
            let metres = f64::from(ride.pickup_eta_s) * SPEED_M_S;
            assert!((from.distance_m(ride.pickup) / metres - 1.0).abs() < 0.01, "seed {seed}");
        }
    }

    #[test]
    fn a_driver_gets_nearer_and_ends_at_the_pickup() {
        let ride = ride(RideStatus::Accepted, Holder::Ours(3));
        let leg = scaled_ms(f64::from(ride.pickup_eta_s), 60.0);
        let metres = |ms| position(1, 60.0, &ride, ride.status_at.plus_ms(ms)).unwrap().distance_m(ride.pickup);
        assert!(metres(0) > metres(leg / 2) && metres(leg / 2) > metres(leg));
        assert_eq!((metres(leg), metres(leg * 10)), (0.0, 0.0));
    }

    #[test]
    fn a_driver_waits_at_the_pickup_and_drives_to_the_dropoff() {
        let waiting = ride(RideStatus::Arrived, Holder::Ours(3));
        assert_eq!(position(1, 60.0, &waiting, waiting.status_at.plus_ms(100)), Some(waiting.pickup));
        let driving = ride(RideStatus::InProgress, Holder::Ours(3));
        assert_eq!(position(1, 60.0, &driving, driving.status_at), Some(driving.pickup));
        assert_eq!(position(1, 60.0, &driving, driving.status_at.plus_s(86_400)), Some(driving.dropoff));
    }

    #[test]
    fn nobody_moves_without_a_driver_of_the_sandbox() {
        let other = ride(RideStatus::Accepted, Holder::Other);
        assert_eq!(position(1, 60.0, &other, other.status_at), None);
        let requested = ride(RideStatus::Requested, Holder::Nobody);
        assert_eq!(position(1, 60.0, &requested, requested.status_at), None);
    }
}
