//! The driver's and operators' side.

use entity::{Driver, OutboxEntry, Vehicle, value::DriverId};
use serde::{Deserialize, Serialize};

use super::rfc3339;
use crate::{
    extract::{object, text},
    problem::Problem,
};

/// A driver takes the ride.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptBody {
    /// What the passenger sees of them.
    #[serde(deserialize_with = "object")]
    pub driver: DriverBody,
    /// Seconds until the pickup.
    pub pickup_eta_s: u32,
}

/// What the passenger sees of a driver.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriverBody {
    id: String,
    name: String,
    rating: f64,
    contact: String,
    #[serde(deserialize_with = "object")]
    vehicle: VehicleBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VehicleBody {
    plate: String,
    model: String,
    color: String,
}

impl AcceptBody {
    /// The driver.
    ///
    /// # Errors
    /// Names the field that cannot be taken.
    pub fn check(self) -> Result<(Driver, u32), Problem> {
        let d = self.driver;
        let id = driver_id("driver.id", &d.id)?;
        text("driver.name", &d.name, 100)?;
        text("driver.contact", &d.contact, 100)?;
        text("driver.vehicle.plate", &d.vehicle.plate, 20)?;
        text("driver.vehicle.model", &d.vehicle.model, 100)?;
        text("driver.vehicle.color", &d.vehicle.color, 40)?;
        if !(0.0..=5.0).contains(&d.rating) {
            return Err(Problem::invalid_field("driver.rating", "0 to 5"));
        }
        if self.pickup_eta_s > 86_400 {
            return Err(Problem::invalid_field("pickup_eta_s", "0 to 86400 (seconds)"));
        }
        let vehicle = Vehicle { plate: d.vehicle.plate, model: d.vehicle.model, color: d.vehicle.color };
        // Two decimals, as it is shown.
        let rating = (d.rating * 100.0).round() / 100.0;
        Ok((Driver { id, name: d.name, rating, contact: d.contact, vehicle }, self.pickup_eta_s))
    }
}

/// A step of the ride's driver.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepBody {
    driver_id: String,
}

impl StepBody {
    /// Who.
    ///
    /// # Errors
    /// It has not the form of a driver's id.
    pub fn check(&self) -> Result<DriverId, Problem> {
        driver_id("driver_id", &self.driver_id)
    }
}

/// The passenger is on board.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    driver_id: String,
    pickup_code: Option<String>,
}

impl StartBody {
    /// Who, and what the passenger said.
    ///
    /// # Errors
    /// It has not the form of a driver's id.
    pub fn check(self) -> Result<(DriverId, Option<String>), Problem> {
        Ok((driver_id("driver_id", &self.driver_id)?, self.pickup_code))
    }
}

/// The driver or the system calls a ride off.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InternalCancelBody {
    /// `driver` or `system`.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Where a driver is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocationBody {
    /// Latitude, degrees.
    pub lat: f64,
    /// Longitude, degrees.
    pub lng: f64,
    /// RFC 3339.
    pub observed_at: String,
}

/// Who has this phone? In a body, because a phone does not belong in a URL.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindBody {
    /// E.164.
    pub phone: String,
}

/// Messages that were given up.
#[derive(Serialize)]
pub struct DeadLettersView {
    /// Oldest first.
    pub entries: Vec<DeadLetterView>,
}

/// A message that was given up.
#[derive(Serialize)]
pub struct DeadLetterView {
    id: String,
    ride_id: String,
    kind: &'static str,
    attempts: i32,
    last_error: Option<String>,
    dead_at: Option<String>,
}

impl From<&OutboxEntry> for DeadLetterView {
    fn from(entry: &OutboxEntry) -> Self {
        Self {
            id: entry.key.to_string(),
            ride_id: entry.key.ride_id.to_string(),
            kind: entry.message.kind(),
            attempts: entry.attempts,
            last_error: entry.last_error.clone(),
            dead_at: entry.dead_at.map(rfc3339),
        }
    }
}

fn driver_id(field: &str, text: &str) -> Result<DriverId, Problem> {
    DriverId::parse(text).map_err(|_| Problem::invalid_field(field, DriverId::ALLOWED))
}
