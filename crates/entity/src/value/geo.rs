//! Coordinates (WGS 84) as integers in millionths of a degree: exact, comparable, the same on every engine.

use serde::{Deserialize, Serialize};

/// A coordinate in millionths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct E6(pub i32);

impl E6 {
    /// Rounds degrees to the nearest millionth; `None` when not finite or outside ±180.
    #[must_use]
    pub fn from_degrees(degrees: f64) -> Option<Self> {
        let scaled = (degrees * 1e6).round();
        #[allow(clippy::cast_possible_truncation, reason = "±180e6 fits i32")]
        (scaled.is_finite() && scaled.abs() <= 180e6).then_some(Self(scaled as i32))
    }

    /// Degrees.
    #[must_use]
    pub fn degrees(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

/// A place on the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    /// Latitude, −90…90 degrees.
    pub lat: E6,
    /// Longitude, −180…180 degrees.
    pub lng: E6,
}

impl Point {
    /// A point from degrees; `None` outside ±90 / ±180 or not finite.
    #[must_use]
    pub fn from_degrees(lat: f64, lng: f64) -> Option<Self> {
        let lat = E6::from_degrees(lat).filter(|lat| lat.0.abs() <= 90_000_000)?;
        Some(Self { lat, lng: E6::from_degrees(lng)? })
    }

    /// Great-circle distance in metres (haversine, mean earth radius 6,371,008.8 m, IUGG).
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        let (lat1, lat2) = (self.lat.degrees().to_radians(), other.lat.degrees().to_radians());
        let dlat = lat2 - lat1;
        let dlng = (other.lng.degrees() - self.lng.degrees()).to_radians();
        let h = (dlat / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * (dlng / 2.0).sin().powi(2);
        2.0 * 6_371_008.8 * h.sqrt().min(1.0).asin()
    }

    /// The point `share` (0…1) of the way to `other`, on a straight line in degrees: for short city distances.
    #[must_use]
    pub fn towards(self, other: Self, share: f64) -> Self {
        let share = share.clamp(0.0, 1.0);
        let mix = |a: E6, b: E6| {
            #[allow(clippy::cast_possible_truncation, reason = "between two values that fit")]
            E6((f64::from(a.0) + (f64::from(b.0) - f64::from(a.0)) * share).round() as i32)
        };
        Self { lat: mix(self.lat, other.lat), lng: mix(self.lng, other.lng) }
    }
}

/// A box of coordinates, edges included. Does not cross the 180th meridian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// South-west corner.
    pub min: Point,
    /// North-east corner.
    pub max: Point,
}

impl Area {
    /// Whether the point lies in the box.
    #[must_use]
    pub fn contains(&self, p: Point) -> bool {
        (self.min.lat..=self.max.lat).contains(&p.lat) && (self.min.lng..=self.max.lng).contains(&p.lng)
    }
}
