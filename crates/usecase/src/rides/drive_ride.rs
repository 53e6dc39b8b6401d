//! A driver's side moves a ride on: accept, arrive, start, complete, release.

use std::sync::Arc;

use entity::{
    Actor, Change, Driver, DriverRide, Illegal, Ride, RideStatus, Shards, StoreError, Tx,
    value::{DriverId, Id, Millis},
};
use subtle::ConstantTimeEq;

use super::{Config, commit};

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
}

impl DriveRide {
    /// Takes the step; a repeat by the same driver changes nothing and gives the ride again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, command: Command, now: Millis) -> Result<Ride, Error> {
        let config = self.config.clone();
        let (ride_id, driver_id) = (command.ride_id, command.driver_id.clone());
        let index = DriverRide::shard(&driver_id);
        let is_elsewhere = !self.shards.same_database(ride_id.shard(), index);
        let accepts_elsewhere = is_elsewhere && matches!(command.step, Step::Accept { .. });
        let ride = self
            .shards
            .write_first(ride_id.shard(), move |tx| {
                let (config, command) = (config.clone(), command.clone());
                Box::pin(async move { step(tx, &command, &config, is_elsewhere, now).await })
            })
            .await?;
        if accepts_elsewhere {
            // A driver who is not told of the success accepts again, and the row is written then.
            let record = self.shards.write::<_, StoreError, _>(index, move |tx| {
                let driver_id = driver_id.clone();
                Box::pin(async move { DriverRide::record(tx, &driver_id, ride_id).await })
            });
            record.await?;
        }
        Ok(ride)
    }
}

async fn step(
    tx: &Tx,
    command: &Command,
    config: &Config,
    index_is_elsewhere: bool,
    now: Millis,
) -> Result<Ride, Error> {
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
    let Some((to, _)) = change.moves() else { return Ok(ride) };
    if ride.is_driven_by(&command.driver_id) {
        if ride.status == to {
            return Ok(ride);
        }
    } else if ride.driver.is_some() {
        return Err(Error::AlreadyAccepted);
    } else if to == RideStatus::Requested {
        return released_before(tx, ride, command).await;
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
    if to == RideStatus::Accepted && !index_is_elsewhere {
        // One database: the driver index is written in the same transaction.
        DriverRide::record(tx, &command.driver_id, ride.id).await?;
    }
    Ok(next)
}

/// A repeated release finds the ride without a driver; who once accepted it gets the same answer again.
async fn released_before(tx: &Tx, ride: Ride, command: &Command) -> Result<Ride, Error> {
    if ride.status == RideStatus::Requested && ride.was_accepted_by(tx, &command.driver_id).await? {
        return Ok(ride);
    }
    Err(Error::Illegal(Illegal { from: ride.status, to: RideStatus::Requested }))
}
