//! What `/sandbox/*` can do.

use std::sync::Arc;

use async_trait::async_trait;
use entity::{
    Illegal, Passenger, Ride, RideStatus,
    value::{DriverId, Id, Millis, Phone},
};
use runtime::Invalid;
use usecase::{
    port::{FaultScript, FleetSettings, PartnerName, SandboxControl, SandboxError},
    rides::{
        drive_ride::{self, Step},
        end_ride::{self, End},
    },
};

use crate::{faults::FaultSwitches, fleet::Shared, payments::Bank, sms::Inbox};

/// Why the sandbox cancelled a ride that was forced to be cancelled.
const FORCED: &str = "forced";

/// The partners whose behaviour can be looked at or scripted.
pub(crate) struct Partners {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) bank: Arc<Bank>,
    pub(crate) faults: FaultSwitches,
}

/// The sandbox's one control panel.
pub(crate) struct Control {
    pub(crate) partners: Arc<Partners>,
    pub(crate) fleet: Arc<Shared>,
}

#[async_trait]
impl SandboxControl for Control {
    fn last_code(&self, phone: &Phone) -> Option<String> {
        self.partners.inbox.last_code(phone)
    }

    fn set_fleet(&self, settings: FleetSettings) -> Result<(), Invalid> {
        settings.check()?;
        self.fleet.settings.send_replace(settings);
        Ok(())
    }

    fn fleet(&self) -> FleetSettings {
        *self.fleet.settings.borrow()
    }

    fn set_faults(&self, partner: PartnerName, script: FaultScript) {
        self.partners.faults.set(partner, script);
    }

    fn set_decline(&self, passenger_id: Id<Passenger>, decline: bool) {
        self.partners.bank.set_decline(passenger_id, decline);
    }

    /// A ride that has the status already is left as it is: the call is a PUT.
    async fn force(&self, ride_id: Id<Ride>, status: RideStatus, now: Millis) -> Result<(), SandboxError> {
        let conn = self.fleet.actions.shards.read(ride_id.shard());
        let ride = Ride::find(conn, ride_id).await?.ok_or(SandboxError::NotFound)?;
        if ride.status == status {
            return Ok(());
        }
        let done = match status {
            RideStatus::Accepted => self.accept(&ride, now).await,
            RideStatus::Arrived => self.drive(&ride, Step::Arrive, status, now).await,
            RideStatus::InProgress => {
                let pickup_code = Some(ride.pickup_code.clone());
                self.drive(&ride, Step::Start { pickup_code }, status, now).await
            }
            RideStatus::Completed => self.drive(&ride, Step::Complete, status, now).await,
            RideStatus::Requested => self.drive(&ride, Step::Release, status, now).await,
            RideStatus::Cancelled => {
                self.end(&ride, End::CancelledBySystem { reason: FORCED.to_owned() }, status, now).await
            }
            RideStatus::Expired => self.end(&ride, End::Expired, status, now).await,
        };
        self.fleet.board.look_at(ride_id);
        done
    }
}

impl Control {
    /// A free driver accepts; when the fleet has none, one from outside it does.
    async fn accept(&self, ride: &Ride, now: Millis) -> Result<(), SandboxError> {
        let illegal = Illegal { from: ride.status, to: RideStatus::Accepted };
        let (driver, pickup_eta_s) = self.fleet.reserve(ride).ok_or(illegal)?;
        let step = Step::Accept { driver: driver.clone(), pickup_eta_s };
        let done = self.drive_as(ride, driver.id, step, RideStatus::Accepted, now).await;
        if done.is_err() {
            self.fleet.busy().assign(ride.id, None);
        }
        done
    }

    /// The ride's own driver takes a step.
    async fn drive(&self, ride: &Ride, step: Step, to: RideStatus, now: Millis) -> Result<(), SandboxError> {
        match &ride.driver {
            Some(driver) => self.drive_as(ride, driver.id.clone(), step, to, now).await,
            None => Err(Illegal { from: ride.status, to }.into()),
        }
    }

    async fn drive_as(
        &self,
        ride: &Ride,
        driver_id: DriverId,
        step: Step,
        to: RideStatus,
        now: Millis,
    ) -> Result<(), SandboxError> {
        let command = drive_ride::Command { ride_id: ride.id, driver_id, step };
        match self.fleet.actions.drive_ride.run(command, now).await {
            Ok(ride) if ride.status == to => Ok(()),
            // The use case takes a late repeat as done; a forced step backwards is none.
            Ok(ride) => Err(Illegal { from: ride.status, to }.into()),
            Err(drive_ride::Error::NotFound) => Err(SandboxError::NotFound),
            Err(drive_ride::Error::Illegal(illegal)) => Err(illegal.into()),
            Err(drive_ride::Error::AlreadyAccepted | drive_ride::Error::WrongPickupCode) => {
                Err(Illegal { from: ride.status, to }.into())
            }
            Err(drive_ride::Error::Store(error)) => Err(SandboxError::Store(error)),
        }
    }

    async fn end(&self, ride: &Ride, end: End, to: RideStatus, now: Millis) -> Result<(), SandboxError> {
        if ride.status.is_terminal() {
            return Err(Illegal { from: ride.status, to }.into());
        }
        let command = end_ride::Command { ride_id: ride.id, end };
        match self.fleet.actions.end_ride.run(command, now).await {
            Ok(_) => Ok(()),
            Err(end_ride::Error::NotFound) => Err(SandboxError::NotFound),
            Err(end_ride::Error::Illegal(illegal)) => Err(illegal.into()),
            Err(end_ride::Error::Store(error)) => Err(SandboxError::Store(error)),
        }
    }
}
