//! Many rides that came to their end long ago, written by SQL.

use std::fmt::Write as _;

use entity::{
    DriverRide, Ride,
    value::{DriverId, Id, Millis, Shard},
};

use super::{NOW, World};

/// Rides of one statement.
const TOGETHER: usize = 500;
const MINUTE_MS: i64 = 60_000;

/// A ride and who accepted it.
pub type Pair = (Id<Ride>, DriverId);

impl World {
    /// So many rides, some minutes apart up to now, each accepted by one of 500 drivers and in the index.
    pub async fn seed(&self, rides: u16, minutes_apart: i64) -> Vec<Pair> {
        let pairs: Vec<Pair> =
            (0..rides).map(|number| pair(number, i64::from(rides - number) * minutes_apart)).collect();
        self.seed_pairs(&pairs).await;
        pairs
    }

    /// These rides, each accepted by its driver and in the index. Once in a world.
    pub async fn seed_pairs(&self, pairs: &[Pair]) {
        let passengers: Vec<_> = Shard::all().map(|shard| (shard, id(1, 0, shard))).collect();
        let row = |(shard, id): &(Shard, Id<Ride>)| (*shard, format!("({}, {id})", shard.number()));
        self.insert("passengers (shard, id)", passengers.iter().map(row).collect()).await;
        for pairs in pairs.chunks(TOGETHER) {
            let quotes = "quotes (shard, id, passenger_id, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, distance_m, \
                          duration_s, options, expires_at)";
            let quote = |(ride, _): &Pair| {
                let (shard, passenger) = (ride.shard(), id(1, 0, ride.shard()));
                (shard, format!("({}, {ride}, {passenger}, 1, 1, 1, 1, 1, 1, '[]', 0)", shard.number()))
            };
            self.insert(quotes, pairs.iter().map(quote).collect()).await;
            let rides = "rides (shard, id, passenger_id, quote_id, product, status, status_at, version, payment_status, fare, \
                         currency, duration_s, pickup_code, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng)";
            let ride = |(ride, _): &Pair| {
                let (shard, passenger) = (ride.shard(), id(1, 0, ride.shard()));
                let rest = "1, 10, 0, 2, 1, 1250, 'USD', 300, '0042', 1, 1, 1, 1";
                (shard, format!("({}, {ride}, {passenger}, {ride}, {rest})", shard.number()))
            };
            self.insert(rides, pairs.iter().map(ride).collect()).await;
            let event = |(ride, driver): &Pair| {
                let (shard, mut rows) = (ride.shard(), String::new());
                let card = r#""name":"D","rating":4.9,"contact":"2","vehicle":{"plate":"T","model":"M","color":"C"}"#;
                let accepted =
                    format!(r#"{{"change":"accepted","driver":{{"id":"{driver}",{card}}},"pickup_eta_s":60}}"#);
                for (seq, change) in [(1, r#"{"change":"requested"}"#), (2, &accepted)] {
                    let comma = if seq == 1 { "" } else { ", " };
                    let _ = write!(rows, "{comma}({}, {ride}, {seq}, 0, '{change}')", shard.number());
                }
                (shard, rows)
            };
            self.insert("ride_events (shard, ride_id, seq, at, change)", pairs.iter().map(event).collect()).await;
            let row = |(ride, driver): &Pair| {
                let shard = DriverRide::shard(driver);
                (shard, format!("({}, '{driver}', {ride})", shard.number()))
            };
            self.insert("driver_rides (shard, driver_id, ride_id)", pairs.iter().map(row).collect()).await;
        }
    }

    /// Rows of a table, each in the database of its shard.
    pub async fn insert(&self, table: &str, rows: Vec<(Shard, String)>) {
        for number in 0..self.databases {
            let of_this = |shard: &Shard| usize::from(shard.number().unsigned_abs()) * self.databases / 1024 == number;
            let rows: Vec<&str> =
                rows.iter().filter(|(shard, _)| of_this(shard)).map(|(_, row)| row.as_str()).collect();
            if !rows.is_empty() {
                self.execute_in(number, &format!("INSERT INTO {table} VALUES {}", rows.join(", "))).await;
            }
        }
    }
}

fn pair(number: u16, minutes_ago: i64) -> Pair {
    let shard = Shard::new(number.wrapping_mul(397) & 1023).expect("in range");
    let ride = id(NOW.0 - minutes_ago * MINUTE_MS, number, shard);
    (ride, DriverId::parse(&format!("driver-{}", number % 500)).expect("a name"))
}

/// The id of a ride that was requested then.
pub fn id(ms: i64, random: u16, shard: Shard) -> Id<Ride> {
    Id::new(Millis(ms.max(1_704_067_200_000)), random, shard).expect("a time of ids")
}
