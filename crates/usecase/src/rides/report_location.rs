//! A driver's phone says where it is.

use entity::value::{DriverId, Millis, Point};

use super::positions::{Position, Positions};

/// The use case.
#[derive(Clone)]
pub struct ReportLocation {
    /// Where positions are kept.
    pub positions: Positions,
}

impl ReportLocation {
    /// Takes the position. A phone whose clock is ahead was seen now: otherwise one such report would hide the right
    /// ones that follow it.
    pub fn run(&self, driver_id: &DriverId, at: Point, observed_at: Millis, now: Millis) {
        let observed_at = observed_at.min(now);
        if !self.positions.report(driver_id, Position { at, observed_at }, now) {
            tracing::warn!("a driver's position was dropped: too many drivers are remembered");
        }
    }
}
