//! A driver's phone says where it is.

use entity::value::{DriverId, Millis, Point};

use super::positions::{Position, Positions};

/// How far ahead of our clock a phone's may be, milliseconds.
const MAX_AHEAD_MS: i64 = 60_000;

/// The use case.
#[derive(Clone)]
pub struct ReportLocation {
    /// Where positions are kept.
    pub positions: Positions,
}

impl ReportLocation {
    /// Takes the position. A phone whose clock is ahead is believed up to a minute, or it would look fresh for ever.
    pub fn run(&self, driver_id: &DriverId, at: Point, observed_at: Millis, now: Millis) {
        let observed_at = observed_at.min(now.plus_ms(MAX_AHEAD_MS));
        if !self.positions.report(driver_id, Position { at, observed_at }) {
            tracing::warn!("a driver's position was dropped: too many drivers are remembered");
        }
    }
}
