//! Whether the driver index agrees with the rides' logs, asked and not guessed; and how it is made to agree again.
//!
//! The rule: a row (driver, ride) is in the index exactly if the ride's log has an acceptance by that driver. The log is
//! the truth: repair never changes it.

mod config;
mod evidence;
mod one_driver;
mod one_ride;
mod repair;
mod repair_scan;
mod scan;

use std::sync::Arc;

pub use config::Config;
use entity::Shards;
pub use evidence::{Evidence, State, Unsettled};
pub use one_driver::{CheckDriver, DriverFindings};
pub use one_ride::{CheckRide, RideFindings};
pub use repair::{Repair, Repaired, RepairedRow};
pub use repair_scan::{RepairScan, ScanRepair};
use runtime::Clock;
pub use scan::{Begun, Scanner, Told, Worked};

/// What operators ask.
#[derive(Clone)]
pub struct Consistency {
    /// Of one ride.
    pub check_ride: CheckRide,
    /// Of one driver.
    pub check_driver: CheckDriver,
    /// Puts right what was found.
    pub repair: Repair,
    /// Of everything.
    pub scanner: Scanner,
    /// Puts right what a scan found.
    pub repair_scan: RepairScan,
}

impl Config {
    /// About these shards.
    #[must_use]
    pub fn build(self, shards: &Shards, clock: Clock) -> Consistency {
        let repair = Repair::new(shards.clone(), self.repairs_a_second());
        Consistency {
            check_ride: CheckRide { shards: shards.clone() },
            check_driver: CheckDriver { shards: shards.clone() },
            repair_scan: RepairScan { shards: shards.clone(), repair: repair.clone() },
            repair,
            scanner: Scanner::new(Arc::new(self), shards.clone(), clock),
        }
    }
}
