//! A driver's side moves a ride on: accept, arrive, start, complete, release.

use std::sync::Arc;

use entity::{
    Actor, Change, Driver, DriverRide, Illegal, Ride, RideStatus, Shards, StoreError, Tx,
    value::{DriverId, Id, Millis},
};
use subtle::ConstantTimeEq;

use super::{Config, commit};
use crate::driver_index::{DriverIndex, Taken, Way};

/// What dispatch says.
#[derive(Clone)]
pub struct Command {
    /// Which ride.
    pub ride_id: Id<Ride>,
    /// Which driver.
    pub driver_id: DriverId,
    /// What they do.
    pub step: Step,
}

/// What a driver does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Takes the ride.
    Accept {
        /// What the passenger sees of them; its id is the command's.
        driver: Driver,
        /// Seconds until the pickup.
        pickup_eta_s: u32,
    },
    /// Waits at the pickup.
    Arrive,
    /// Has the passenger on board.
    Start {
        /// What the passenger said, if the driver asked.
        pickup_code: Option<String>,
    },
    /// Is there.
    Complete,
    /// Lets the ride go.
    Release,
}

/// Why the ride stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such ride.
    #[error("no such ride")]
    NotFound,
    /// The ride has another driver.
    #[error("the ride has another driver")]
    AlreadyAccepted,
    /// The transition table has no such edge.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// The passenger has another code.
    #[error("wrong pickup code")]
    WrongPickupCode,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct DriveRide {
    /// Settings of the component.
    pub config: Arc<Config>,
    /// Where rides are kept.
    pub shards: Shards,
    /// Which rides a driver accepted.
    pub driver_index: DriverIndex,
}

impl DriveRide {
    /// Takes the step; a repeat by the same driver changes nothing and gives the ride again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, command: Command, now: Millis) -> Result<Ride, Error> {
        let (ride_id, driver_id) = (command.ride_id, command.driver_id.clone());
        if !matches!(command.step, Step::Accept { .. }) {
            return self.take(command, None, now).await.map(Taken::into_ride);
        }
        let this = self.clone();
        let take = move |way| {
            let (this, command) = (this.clone(), command.clone());
            async move {
                match this.take(command, Some(way), now).await {
                    Err(Error::Store(error)) => Err(error),
                    taken => Ok(taken),
                }
            }
        };
        self.driver_index.accept(ride_id, &driver_id, now, take).await?
    }

    async fn take(&self, command: Command, index: Option<Way>, now: Millis) -> Result<Taken, Error> {
        let config = self.config.clone();
        let mut shards = vec![command.ride_id.shard()];
        if matches!(index, Some(Way::Row)) {
            shards.push(DriverRide::shard(&command.driver_id));
        }
        let work = self.shards.write_together_first(shards, move |tx| {
            let (config, command, index) = (config.clone(), command.clone(), index.clone());
            Box::pin(async move { step(tx, &command, &config, index.as_ref(), now).await })
        });
        work.await
    }
}

async fn step(tx: &Tx, command: &Command, config: &Config, index: Option<&Way>, now: Millis) -> Result<Taken, Error> {
    let ride = Ride::find(tx, command.ride_id).await?.ok_or(Error::NotFound)?;
    let change = match &command.step {
        Step::Accept { driver, pickup_eta_s } => {
            let driver = Driver { id: command.driver_id.clone(), ..driver.clone() };
            Change::Accepted { driver, pickup_eta_s: *pickup_eta_s }
        }
        Step::Arrive => Change::Arrived,
        Step::Start { .. } => Change::Started,
        Step::Complete => Change::Completed,
        Step::Release => Change::Released { by: Actor::Driver },
    };
    let Some((to, _)) = change.moves() else { return Ok(Taken::Kept(ride)) };
    if ride.is_driven_by(&command.driver_id) {
        if ride.status == to {
            return Ok(Taken::Kept(ride));
        }
    } else if ride.driver.is_some() {
        return Err(Error::AlreadyAccepted);
    } else if to == RideStatus::Requested {
        return released_before(tx, ride, command).await.map(Taken::Kept);
    } else if to != RideStatus::Accepted {
        return Err(Error::Illegal(Illegal { from: ride.status, to }));
    }
    if let Step::Start { pickup_code: Some(code) } = &command.step {
        let right: bool = code.as_bytes().ct_eq(ride.pickup_code.as_bytes()).into();
        if ride.status == RideStatus::Arrived && !right {
            return Err(Error::WrongPickupCode);
        }
    }
    let next = commit::<Error>(tx, &ride, &change, &config.timeouts(), now).await?;
    if let Some(index) = index {
        index.record(tx, &next, &command.driver_id, now).await?;
    }
    Ok(Taken::Made(next))
}

/// A repeated release finds the ride without a driver; who once accepted it gets the same answer again.
async fn released_before(tx: &Tx, ride: Ride, command: &Command) -> Result<Ride, Error> {
    if ride.status == RideStatus::Requested && ride.was_accepted_by(tx, &command.driver_id).await? {
        return Ok(ride);
    }
    Err(Error::Illegal(Illegal { from: ride.status, to: RideStatus::Requested }))
}
