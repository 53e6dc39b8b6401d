//! Simulated partners: an SMS inbox, a bank, a routing wrapper and a seeded fleet of drivers, with failures on
//! demand. Good enough to demo, test and load-test the whole product; refused by the `production` profile.
//!
//! The order of building follows from who needs whom: [`Sandbox::new`] makes the ports that use cases need,
//! [`Sandbox::fleet`] takes the finished use cases and makes the drivers, [`Fleet::control`] is what the
//! `/sandbox/*` routes call.

mod config;
mod control;
mod dice;
mod dispatch;
mod faults;
mod fleet;
mod payments;
mod recent;
mod sms;
mod statement;

use std::sync::Arc;

use entity::{Ride, Shards, value::Id};
use runtime::{Clock, Entropy};
use tokio::sync::mpsc;
use usecase::{
    port::{Dispatch, Payments, Routing, Sms},
    rides::{drive_ride::DriveRide, end_ride::EndRide, report_location::ReportLocation},
};

pub use config::Config;
pub use fleet::Fleet;

use control::Partners;
use dispatch::{DriverBoard, SIGNALS};
use faults::{FaultSwitches, Faulty};
use payments::Bank;
use sms::Inbox;

/// The simulated partners, before the fleet is put on the road.
pub struct Sandbox {
    config: Config,
    partners: Arc<Partners>,
    board: DriverBoard,
    signals: mpsc::Receiver<Id<Ride>>,
}

impl Sandbox {
    /// Makes the partners. `entropy` only rolls the scripted failures; the fleet has its own seeded dice.
    ///
    /// # Errors
    /// A bank statement that cannot be used.
    pub fn new(config: Config, entropy: Entropy) -> Result<Self, String> {
        let (sender, signals) = mpsc::channel(SIGNALS);
        let bank = match config.bank_statement.as_str() {
            "" => Bank::default(),
            path => Bank::open(path.as_ref()).map_err(|e| format!("sandbox.bank_statement: {path}: {e}"))?,
        };
        let partners =
            Partners { inbox: Arc::new(Inbox::default()), bank: Arc::new(bank), faults: FaultSwitches::new(entropy) };
        Ok(Self { config, partners: Arc::new(partners), board: DriverBoard::new(sender), signals })
    }

    /// Text messages: kept in an inbox that [`Fleet::control`] reads.
    #[must_use]
    pub fn sms(&self) -> Arc<dyn Sms> {
        Arc::new(Faulty::new(Arc::clone(&self.partners.inbox) as Arc<dyn Sms>, self.partners.faults.sms.clone()))
    }

    /// The bank: says yes unless told to decline a passenger.
    #[must_use]
    pub fn payments(&self) -> Arc<dyn Payments> {
        let bank = Arc::clone(&self.partners.bank) as Arc<dyn Payments>;
        Arc::new(Faulty::new(bank, self.partners.faults.payment.clone()))
    }

    /// Dispatch: wakes the fleet.
    #[must_use]
    pub fn dispatch(&self) -> Arc<dyn Dispatch> {
        let board = Arc::new(self.board.clone()) as Arc<dyn Dispatch>;
        Arc::new(Faulty::new(board, self.partners.faults.dispatch.clone()))
    }

    /// `routing`, failing as scripted for the partner `routing`.
    #[must_use]
    pub fn wrap_routing(&self, routing: Arc<dyn Routing>) -> Arc<dyn Routing> {
        Arc::new(Faulty::new(routing, self.partners.faults.routing.clone()))
    }

    /// Puts the drivers on the road, once the use cases that they call exist. They move while [`Fleet::run`] runs.
    #[must_use]
    pub fn fleet(
        self,
        shards: Shards,
        drive_ride: Arc<DriveRide>,
        end_ride: Arc<EndRide>,
        report_location: Arc<ReportLocation>,
        clock: Clock,
    ) -> Fleet {
        let actions = fleet::Actions { shards, drive_ride, end_ride, report_location, clock };
        Fleet::new(&self.config, actions, self.partners, self.board, self.signals)
    }
}
