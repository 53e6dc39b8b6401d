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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_report_counts_also_after_the_clock_was_put_back() {
        let (driver, at) = (DriverId::parse("d").unwrap(), Point::from_degrees(40.7, -73.9).unwrap());
        let report = ReportLocation { positions: Positions::default() };
        for now in [Millis(3_600_000), Millis(1_000), Millis(2_000)] {
            report.run(&driver, at, now, now);
            assert_eq!(report.positions.last(&driver), Some(Position { at, observed_at: now }));
        }
        report.run(&driver, at, Millis(500), Millis(2_500));
        assert_eq!(report.positions.last(&driver).map(|p| p.observed_at), Some(Millis(2_000)), "older than the last");
    }
}
