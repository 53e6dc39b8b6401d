//! The fleet's calls to the outside: reads of rides and steps through use cases.

use std::sync::Arc;

use entity::{
    Message, OutboxEntry, Ride, RideStatus, Shards, StoreError,
    value::{DriverId, Id, Millis},
};
use usecase::rides::drive_ride;

use super::Shared;

/// Rides read at once by a sweep.
const PAGE: u64 = 500;

/// One call.
pub(crate) enum Job {
    /// Reads a ride that dispatch has just told of.
    Told(Id<Ride>),
    /// Reads a ride again.
    Load(Id<Ride>),
    /// Reads the next open rides after an id.
    Page(Option<Id<Ride>>),
    /// A driver takes a step.
    Step { ride_id: Id<Ride>, driver_id: DriverId, step: drive_ride::Step },
}

/// Some of the open rides, by id.
pub(crate) struct Page {
    /// Those that the fleet may know of.
    pub(crate) rides: Vec<Ride>,
    /// Where the next page starts; `None` at the end.
    pub(crate) last: Option<Id<Ride>>,
}

/// How a call ended.
pub(crate) enum Done {
    Loaded { ride_id: Id<Ride>, ride: Result<Option<Box<Ride>>, StoreError> },
    Page(Result<Page, StoreError>),
    Stepped { ride_id: Id<Ride>, ride: Result<Box<Ride>, drive_ride::Error> },
}

pub(crate) async fn perform(fleet: Arc<Shared>, job: Job, now: Millis) -> Done {
    let actions = &fleet.actions;
    match job {
        Job::Told(ride_id) => {
            let ride = Ride::find(actions.shards.read(ride_id.shard()), ride_id).await;
            Done::Loaded { ride_id, ride: ride.map(|ride| ride.map(Box::new)) }
        }
        Job::Load(ride_id) => Done::Loaded { ride_id, ride: load(&actions.shards, ride_id).await },
        Job::Page(after) => Done::Page(page(&actions.shards, after).await),
        Job::Step { ride_id, driver_id, step } => {
            let command = drive_ride::Command { ride_id, driver_id, step };
            Done::Stepped { ride_id, ride: actions.drive_ride.run(command, now).await.map(Box::new) }
        }
    }
}

/// The ride, unless it is none of the fleet's business (any more).
async fn load(shards: &Shards, ride_id: Id<Ride>) -> Result<Option<Box<Ride>>, StoreError> {
    match Ride::find(shards.read(ride_id.shard()), ride_id).await? {
        Some(ride) if is_told(shards, &ride).await? => Ok(Some(Box::new(ride))),
        _ => Ok(None),
    }
}

/// The next open rides that are the fleet's business.
async fn page(shards: &Shards, after: Option<Id<Ride>>) -> Result<Page, StoreError> {
    let open = Ride::list_open(shards, after, PAGE).await?;
    let last = open.last().map(|ride| ride.id);
    let mut rides = Vec::with_capacity(open.len());
    for ride in open {
        if is_told(shards, &ride).await? {
            rides.push(ride);
        }
    }
    Ok(Page { rides, last })
}

/// Whether dispatch was told of what the ride needs. One that waits for a driver of whom dispatch has not heard yet, at
/// first or after a release, must find none: a dispatch that is down does not work.
async fn is_told(shards: &Shards, ride: &Ride) -> Result<bool, StoreError> {
    if ride.status != RideStatus::Requested {
        return Ok(true);
    }
    let heads = OutboxEntry::heads(shards.read(ride.id.shard()), ride.id).await?;
    // The request may also stand behind the withdrawal of the driver before.
    let is_for_dispatch = |message: &Message| matches!(message, Message::RequestDriver | Message::WithdrawDriver);
    Ok(!heads.iter().any(|head| is_for_dispatch(&head.message)))
}
