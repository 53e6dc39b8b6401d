//! Pieces that several bodies have.

use entity::{
    Driver,
    value::{Millis, Money, Point},
};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use crate::problem::Problem;

/// An amount in minor units (cents).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Money)]
pub struct MoneyView {
    /// Minor units.
    #[schema(example = 1250)]
    pub amount: i64,
    /// ISO 4217.
    #[schema(example = "USD")]
    pub currency: &'static str,
}

impl From<Money> for MoneyView {
    fn from(money: Money) -> Self {
        Self { amount: money.amount, currency: money.currency.code() }
    }
}

/// WGS 84, degrees.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Point)]
#[serde(deny_unknown_fields)]
pub struct PointBody {
    /// Latitude.
    #[schema(minimum = -90, maximum = 90, example = 40.7484)]
    pub lat: f64,
    /// Longitude.
    #[schema(minimum = -180, maximum = 180, example = -73.9857)]
    pub lng: f64,
}

impl PointBody {
    /// The point.
    ///
    /// # Errors
    /// Names `field.lat` or `field.lng` when out of range.
    pub fn check(&self, field: &str) -> Result<Point, Problem> {
        let name = |part: &str| if field.is_empty() { part.to_owned() } else { format!("{field}.{part}") };
        if !(-90.0..=90.0).contains(&self.lat) {
            return Err(Problem::invalid_field(&name("lat"), "-90 to 90 (degrees)"));
        }
        Point::from_degrees(self.lat, self.lng)
            .ok_or_else(|| Problem::invalid_field(&name("lng"), "-180 to 180 (degrees)"))
    }
}

impl From<Point> for PointBody {
    fn from(point: Point) -> Self {
        Self { lat: point.lat.degrees(), lng: point.lng.degrees() }
    }
}

/// A car.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Vehicle)]
pub struct VehicleView {
    /// The plate.
    pub plate: String,
    /// Make and model.
    pub model: String,
    /// Its colour.
    pub color: String,
}

/// Who drives.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Driver)]
pub struct DriverView {
    /// The partner's id.
    pub id: String,
    /// The name.
    pub name: String,
    /// Mean stars.
    pub rating: f64,
    /// How to reach the driver.
    pub contact: String,
    /// What to look for.
    pub vehicle: VehicleView,
    /// Where the driver is; null when unknown, and in replays.
    #[schema(required = true)]
    pub location: Option<super::ride::LocationView>,
}

impl DriverView {
    /// With the driver's position, if there is one to show.
    pub fn new(driver: &Driver, location: Option<super::ride::LocationView>) -> Self {
        let vehicle = &driver.vehicle;
        Self {
            id: driver.id.as_str().to_owned(),
            name: driver.name.clone(),
            rating: driver.rating,
            contact: driver.contact.clone(),
            vehicle: VehicleView {
                plate: vehicle.plate.clone(),
                model: vehicle.model.clone(),
                color: vehicle.color.clone(),
            },
            location,
        }
    }
}

/// RFC 3339, UTC, milliseconds.
pub fn rfc3339(at: Millis) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000);
    let text = time.ok().and_then(|t| t.format(&Rfc3339).ok());
    text.unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

/// A time as a client writes it.
///
/// # Errors
/// Names `field` when it is not RFC 3339.
pub fn date(field: &str, text: &str) -> Result<Millis, Problem> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| Problem::invalid_field(field, "an RFC 3339 time, as 2026-01-31T12:00:00Z"))?;
    let ms = time.unix_timestamp_nanos() / 1_000_000;
    i64::try_from(ms).map(Millis).map_err(|_| Problem::invalid_field(field, "a time of this age"))
}
