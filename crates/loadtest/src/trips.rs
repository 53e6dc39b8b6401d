//! The day's demand: which trips are asked for, and when.

use std::{path::Path, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Deserialize;

/// The Friday that travels with the binary; see `trips/README.md`.
const FRIDAY: &str = include_str!("../trips/trips-friday.csv");

/// One trip that somebody asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Trip {
    /// Seconds after midnight.
    pub(crate) second_of_day: u32,
    pub(crate) pickup_lat: f64,
    pub(crate) pickup_lng: f64,
    pub(crate) dropoff_lat: f64,
    pub(crate) dropoff_lng: f64,
    /// Seconds on the road.
    pub(crate) duration_s: u64,
}

/// Trips in the order of the day, and when each one is due.
pub(crate) struct Schedule {
    pub(crate) trips: Vec<Trip>,
    pace: Pace,
}

/// When trips are due.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// At once.
    AtOnce,
    /// In the day's rhythm, so many times faster.
    Rhythm(f64),
    /// One after the other, all of them within this time.
    Even(Duration),
}

impl Schedule {
    /// Reads the trips (of `file`, or the Friday inside) and draws `count` of them evenly over the day.
    ///
    /// # Errors
    /// A file that cannot be read, or holds no trips.
    pub(crate) fn load(file: Option<&Path>, count: usize, seed: u64, pace: Pace) -> Result<Self, String> {
        let all = match file {
            None => read(FRIDAY)?,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
                read(&text).map_err(|e| format!("{}: {e}", path.display()))?
            }
        };
        Ok(Self { trips: draw(&all, count, seed), pace })
    }

    /// When trip `index` is due, counted from the start.
    pub(crate) fn due(&self, index: usize) -> Duration {
        match (self.pace, self.trips.first(), self.trips.get(index)) {
            (Pace::Rhythm(speed), Some(first), Some(trip)) => {
                Duration::from_secs_f64(f64::from(trip.second_of_day - first.second_of_day) / speed)
            }
            (Pace::Even(span), _, Some(_)) => span.mul_f64(index as f64 / self.trips.len() as f64),
            _ => Duration::ZERO,
        }
    }

    /// The longest time on the road of any trip.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_secs(self.trips.iter().map(|t| t.duration_s).max().unwrap_or_default())
    }
}

fn read(text: &str) -> Result<Vec<Trip>, String> {
    let mut trips = csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .collect::<Result<Vec<Trip>, _>>()
        .map_err(|e| format!("not a file of trips: {e}"))?;
    if trips.is_empty() {
        return Err("no trip in it".into());
    }
    trips.sort_by_key(|t| t.second_of_day);
    Ok(trips)
}

/// One trip out of each of `count` equal stretches of the list: the shape of the day stays.
fn draw(all: &[Trip], count: usize, seed: u64) -> Vec<Trip> {
    if count >= all.len() {
        return all.to_vec();
    }
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count)
        .map(|k| rng.random_range(k * all.len() / count..(k + 1) * all.len() / count))
        .map(|index| all[index].clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn friday() -> Vec<Trip> {
        read(FRIDAY).unwrap()
    }

    #[test]
    fn the_friday_inside_has_twenty_thousand_trips_in_order() {
        let trips = friday();
        assert_eq!(trips.len(), 20_000);
        assert!(trips.is_sorted_by_key(|t| t.second_of_day));
    }

    #[test]
    fn a_draw_keeps_the_order_and_the_shape_of_the_day() {
        let all = friday();
        let drawn = draw(&all, 2000, 7);
        assert_eq!(drawn.len(), 2000);
        assert!(drawn.is_sorted_by_key(|t| t.second_of_day));
        let morning = |trips: &[Trip]| {
            trips.iter().filter(|t| (6 * 3600..12 * 3600).contains(&t.second_of_day)).count() as f64
                / trips.len() as f64
        };
        assert!((morning(&all) - morning(&drawn)).abs() < 0.01);
    }

    #[test]
    fn the_same_seed_draws_the_same_trips() {
        let all = friday();
        assert_eq!(draw(&all, 100, 3), draw(&all, 100, 3));
        assert_ne!(draw(&all, 100, 3), draw(&all, 100, 4));
    }

    #[test]
    fn asking_for_more_trips_than_there_are_gives_all() {
        let all = friday();
        assert_eq!(draw(&all[..10], 50, 1), all[..10]);
    }

    #[test]
    fn a_speed_compresses_the_day_and_an_even_pace_forgets_it() {
        let mut trips = friday();
        trips.truncate(3);
        trips[0].second_of_day = 100;
        trips[2].second_of_day = 700;
        let paced = |pace| Schedule { trips: trips.clone(), pace };
        assert_eq!(paced(Pace::Rhythm(60.0)).due(0), Duration::ZERO);
        assert_eq!(paced(Pace::Rhythm(60.0)).due(2), Duration::from_secs(10));
        assert_eq!(paced(Pace::Even(Duration::from_secs(9))).due(2), Duration::from_secs(6));
        assert_eq!(paced(Pace::AtOnce).due(2), Duration::ZERO);
    }

    #[test]
    fn a_file_without_trips_is_refused() {
        assert!(read("second_of_day,pickup_lat\n").is_err());
        assert!(read("a,b\n1,2\n").is_err());
    }
}
