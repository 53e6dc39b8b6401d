//! The fleet's calls to the outside: reads of rides and steps through use cases.

use std::sync::Arc;

use entity::{
    Ride, StoreError,
    value::{DriverId, Id, Millis},
};
use usecase::drive_ride;

use super::Shared;

/// Rides read at once by a sweep.
const PAGE: u64 = 500;

/// One call.
pub(crate) enum Job {
    /// Reads a ride.
    Load(Id<Ride>),
    /// Reads the next open rides after an id.
    Page(Option<Id<Ride>>),
    /// A driver takes a step.
    Step { ride_id: Id<Ride>, driver_id: DriverId, step: drive_ride::Step },
}

/// How a call ended.
pub(crate) enum Done {
    Loaded { ride_id: Id<Ride>, ride: Result<Option<Box<Ride>>, StoreError> },
    Page(Result<Vec<Ride>, StoreError>),
    Stepped { ride_id: Id<Ride>, ride: Result<Box<Ride>, drive_ride::Error> },
}

pub(crate) async fn perform(fleet: Arc<Shared>, job: Job, now: Millis) -> Done {
    let actions = &fleet.actions;
    match job {
        Job::Load(ride_id) => {
            let ride = Ride::find(actions.shards.read(ride_id.shard()), ride_id).await;
            Done::Loaded { ride_id, ride: ride.map(|ride| ride.map(Box::new)) }
        }
        Job::Page(after) => Done::Page(Ride::list_open(&actions.shards, after, PAGE).await),
        Job::Step { ride_id, driver_id, step } => {
            let command = drive_ride::Command { ride_id, driver_id, step };
            Done::Stepped { ride_id, ride: actions.drive_ride.run(command, now).await.map(Box::new) }
        }
    }
}
