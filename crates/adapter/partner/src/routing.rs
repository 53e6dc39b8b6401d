//! The embedded routing estimator: no partner, no map, no network. The straight line times a factor, at the mean
//! speed of the hour.

use std::sync::Arc;

use async_trait::async_trait;
use entity::value::{Millis, Point, Product};
use runtime::{Invalid, within};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use usecase::port::{PartnerError, Route, Routing};

/// Mean speed in Manhattan by local hour of a business day, m/s: total distance over total duration of 20,000 trips
/// drawn for one Friday from NYC Taxi & Limousine Commission records of 2018, as aggregated by `pyhailing` 0.0.9.
///
/// What it can and cannot tell: the trips were drawn from zone-to-zone counts, their distance is set to 1.3 times the
/// straight line (so the factor below is the data's assumption, not a measurement) and their duration follows the zone
/// pair's mean speed. So the hours differ by where people went rather than by congestion, and only a little: about half
/// of the variance between hours is what chance alone gives. For the same reason the data cannot show a fixed time a
/// trip (a fit gives less than a second), and none is added.
const MANHATTAN_M_S: [f64; 24] = [
    5.70, 5.40, 5.44, 5.51, 5.48, 5.63, 5.66, 5.74, 5.56, 5.46, 5.54, 5.75, //
    5.45, 5.62, 5.40, 5.27, 5.34, 5.45, 5.45, 5.48, 5.26, 5.41, 5.38, 5.46,
];

/// Section `[routing]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Metres on the road for each metre of straight line, 1…5.
    pub road_factor: f64,
    /// Mean speed in each local hour of a business day, metres a second, 24 values of 0.5…40, midnight first.
    #[serde(deserialize_with = "hours")]
    pub hourly_speed_m_s: [f64; 24],
    /// How much faster Saturdays and Sundays are, 0.2…5. No weekend is in the data: 1 is "as on a business day".
    pub weekend_factor: f64,
    /// Local time less UTC, minutes, -840…840. The year round: in summer New York is one hour ahead of the default.
    pub utc_offset_min: i32,
    /// Metres on the road that the nearest free car of `economy` typically has to come, 50…20000. An assumption, like
    /// the next two.
    pub economy_approach_m: u32,
    /// The same for `comfort`.
    pub comfort_approach_m: u32,
    /// The same for `xl`, of which there are fewest.
    pub xl_approach_m: u32,
    /// Seconds until a driver has accepted and set off, 0…600.
    pub set_off_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            road_factor: 1.3,
            hourly_speed_m_s: MANHATTAN_M_S,
            weekend_factor: 1.0,
            utc_offset_min: -300,
            economy_approach_m: 900,
            comfort_approach_m: 1300,
            xl_approach_m: 1800,
            set_off_s: 30,
        }
    }
}

impl Config {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// The first key with a value that is not accepted.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("road_factor", self.road_factor, 1.0..=5.0, "")?;
        if !self.hourly_speed_m_s.iter().all(|speed| (0.5..=40.0).contains(speed)) {
            return Err(Invalid::new("hourly_speed_m_s", "24 speeds of 0.5 to 40 (metres a second)"));
        }
        within("weekend_factor", self.weekend_factor, 0.2..=5.0, "")?;
        within("utc_offset_min", self.utc_offset_min, -840..=840, "minutes")?;
        within("economy_approach_m", self.economy_approach_m, 50..=20_000, "metres")?;
        within("comfort_approach_m", self.comfort_approach_m, 50..=20_000, "metres")?;
        within("xl_approach_m", self.xl_approach_m, 50..=20_000, "metres")?;
        within("set_off_s", self.set_off_s, 0..=600, "seconds")
    }

    /// The estimator. Validate first.
    #[must_use]
    pub fn build(self) -> Arc<dyn Routing> {
        Arc::new(Estimator(self))
    }
}

fn hours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 24], D::Error> {
    let speeds: Vec<f64> = runtime::config::list(deserializer)?;
    speeds.try_into().map_err(|speeds: Vec<f64>| D::Error::invalid_length(speeds.len(), &"24 speeds, one an hour"))
}

struct Estimator(Config);

impl Estimator {
    /// Metres a second on the road at that time.
    fn speed_m_s(&self, at: Millis) -> f64 {
        let local_h = at.plus_ms(i64::from(self.0.utc_offset_min) * 60_000).0.div_euclid(3_600_000);
        let hour = usize::try_from(local_h.rem_euclid(24)).unwrap_or(0);
        // 1970-01-01 was a Thursday: with Monday as 0 it is day 3.
        let weekday = (local_h.div_euclid(24) + 3).rem_euclid(7);
        self.0.hourly_speed_m_s[hour] * if weekday >= 5 { self.0.weekend_factor } else { 1.0 }
    }
}

#[async_trait]
impl Routing for Estimator {
    async fn route(&self, from: Point, to: Point, at: Millis) -> Result<Route, PartnerError> {
        let metres = from.distance_m(to) * self.0.road_factor;
        Ok(Route { distance_m: whole(metres), duration_s: whole(metres / self.speed_m_s(at)) })
    }

    /// The pickup's place does not matter here: without a fleet there is nothing to tell places apart by.
    async fn pickup_eta_s(&self, product: Product, _pickup: Point, at: Millis) -> Result<u32, PartnerError> {
        let approach_m = match product {
            Product::Economy => self.0.economy_approach_m,
            Product::Comfort => self.0.comfort_approach_m,
            Product::Xl => self.0.xl_approach_m,
        };
        Ok(self.0.set_off_s + whole(f64::from(approach_m) / self.speed_m_s(at)))
    }
}

/// Rounds to the nearest whole number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative; half the earth's girth in metres, at 0.1 m/s, fits"
)]
fn whole(value: f64) -> u32 {
    value.round() as u32
}

#[cfg(test)]
mod tests {
    use serde::de::value::{self, MapDeserializer};

    use super::*;

    /// Friday, 2 March 2018, midnight in New York (UTC−5).
    const FRIDAY: Millis = Millis(1_519_966_800_000);

    fn at_hour(hour: u32) -> Millis {
        FRIDAY.plus_s(hour * 3600)
    }

    fn point(lat: f64, lng: f64) -> Point {
        Point::from_degrees(lat, lng).unwrap()
    }

    fn times_square() -> Point {
        point(40.7580, -73.9855)
    }

    fn wall_street() -> Point {
        point(40.7066, -74.0090)
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_value_out_of_range_names_its_key() {
        let mut slow = Config::default();
        slow.hourly_speed_m_s[3] = 0.0;
        assert_eq!(slow.validate().map_err(|e| e.key), Err("hourly_speed_m_s"));
        let nan = Config { road_factor: f64::NAN, ..Config::default() };
        assert_eq!(nan.validate().map_err(|e| e.key), Err("road_factor"));
    }

    #[test]
    fn the_speeds_may_be_one_comma_separated_string_of_24() {
        let speeds = |text: &'static str| {
            let settings = MapDeserializer::<_, value::Error>::new([("hourly_speed_m_s", text)].into_iter());
            Config::deserialize(settings).map(|config| config.hourly_speed_m_s)
        };
        let day = "5,5,5,5,5,5,5,5,5,5,5,5,6.5,6.5,6.5,6.5,6.5,6.5,6.5,6.5,6.5,6.5,6.5,6.5";
        assert_eq!(speeds(day).map(|speeds| (speeds[11], speeds[12])), Ok((5.0, 6.5)));
        assert_eq!(speeds("5,6").unwrap_err().to_string(), "invalid length 2, expected 24 speeds, one an hour");
    }

    #[tokio::test]
    async fn a_way_is_the_straight_line_times_the_factor_at_the_hours_speed() {
        let routing = Config::default().build();
        let metres = times_square().distance_m(wall_street()) * 1.3;
        for hour in [0, 11, 20] {
            let route = routing.route(times_square(), wall_street(), at_hour(hour)).await.unwrap();
            assert_eq!(route.distance_m, whole(metres));
            assert_eq!(route.duration_s, whole(metres / MANHATTAN_M_S[hour as usize]));
        }
    }

    #[tokio::test]
    async fn only_saturday_and_sunday_follow_the_weekend_factor() {
        let config = Config { weekend_factor: 2.0, hourly_speed_m_s: [5.0; 24], ..Config::default() };
        let routing = config.build();
        let mut speeds = Vec::new();
        for day in 0..7 {
            let route = routing.route(times_square(), wall_street(), at_hour(day * 24 + 23)).await.unwrap();
            speeds.push((f64::from(route.distance_m) / f64::from(route.duration_s)).round());
        }
        assert_eq!(speeds, [5.0, 10.0, 10.0, 5.0, 5.0, 5.0, 5.0]);
    }

    #[tokio::test]
    async fn a_rarer_product_takes_longer_to_come_at_any_hour() {
        let routing = Config::default().build();
        for hour in 0..24 {
            let mut etas = Vec::new();
            for product in [Product::Economy, Product::Comfort, Product::Xl] {
                etas.push(routing.pickup_eta_s(product, times_square(), at_hour(hour)).await.unwrap());
            }
            assert!(etas.is_sorted_by(|a, b| a < b), "{etas:?}");
        }
    }

    /// The sample is from the data that the defaults were taken from: this holds table, units and time zone together,
    /// it does not measure how good the estimate is on the road.
    #[tokio::test]
    async fn the_defaults_agree_with_the_trips_they_come_from() {
        let routing = Config::default().build();
        let (mut estimated, mut driven, mut off) = ([0.0; 2], [0.0; 2], 0.0);
        for line in include_str!("../fixtures/trips-friday-sample.csv").lines().skip(3) {
            let trip: Vec<f64> = line.split(',').map(|field| field.parse().unwrap()).collect();
            let [second, from_lat, from_lng, to_lat, to_lng, distance_m, duration_s] = trip[..] else {
                panic!("a trip has seven fields: {line}")
            };
            let route = routing
                .route(point(from_lat, from_lng), point(to_lat, to_lng), FRIDAY.plus_s(whole(second)))
                .await
                .unwrap();
            estimated[0] += f64::from(route.distance_m);
            estimated[1] += f64::from(route.duration_s);
            driven[0] += distance_m;
            driven[1] += duration_s;
            off += (f64::from(route.duration_s) - duration_s).abs();
        }
        assert!((estimated[0] / driven[0] - 1.0).abs() < 0.01, "distance {estimated:?} {driven:?}");
        assert!((estimated[1] / driven[1] - 1.0).abs() < 0.05, "duration {estimated:?} {driven:?}");
        assert!(off / driven[1] < 0.35, "mean error {}", off / driven[1]);
    }
}
