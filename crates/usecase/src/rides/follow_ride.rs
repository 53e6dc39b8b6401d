//! A passenger follows a ride live: every version once and in order, and where the driver is.

use entity::{
    Passenger, Ride, Shards, StoreError,
    value::{Id, Millis},
};
use tokio::sync::watch;

use super::{
    positions::{Position, Positions},
    signals::{RideSignals, Subscription},
};

/// What happens next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// The ride as of a version; positions are not part of it.
    Version {
        /// The ride then.
        ride: Box<Ride>,
        /// Whether the client asked for it again: it is told as it was, without what is live.
        replayed: bool,
    },
    /// Where the driver is.
    Location(Position),
    /// The terminal version was given: nothing follows.
    End,
}

/// Why there is nothing to follow.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such ride of this passenger.
    #[error("no such ride")]
    NotFound,
    /// The client saw a version that there never was.
    #[error("the ride has no version {seen}; its newest is {newest}")]
    NoSuchVersion {
        /// What the client says.
        seen: i32,
        /// What there is.
        newest: i32,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct FollowRide {
    /// Where rides are kept.
    pub shards: Shards,
    /// Wakes the feed.
    pub signals: RideSignals,
    /// Where drivers are.
    pub positions: Positions,
}

impl FollowRide {
    /// Starts with the current version, or after the one the client saw; `None` when that was the terminal one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(
        &self,
        passenger_id: Id<Passenger>,
        ride_id: Id<Ride>,
        seen: Option<i32>,
    ) -> Result<Option<Feed>, Error> {
        // Listening starts before reading: what is committed in between is not missed.
        let wake = self.signals.subscribe(ride_id);
        let shard = || self.shards.read(passenger_id.shard());
        let ride = Ride::find_owned(shard(), passenger_id, ride_id).await?.ok_or(Error::NotFound)?;
        let waiting = match seen {
            None => vec![ride.clone()],
            Some(seen) if seen >= ride.version && ride.status.is_terminal() => return Ok(None),
            Some(seen) if seen > ride.version => return Err(Error::NoSuchVersion { seen, newest: ride.version }),
            Some(seen) => ride.versions_after(shard(), seen).await?,
        };
        // The newest version read is the last one waiting; with nothing waiting it is the ride itself.
        let newest = waiting.last().cloned().unwrap_or(ride);
        let replay_to = if seen.is_some() { newest.version } else { 0 };
        // A client that goes on where a driver was already on hears of that driver's position too.
        let mut feed =
            Feed { follow: self.clone(), wake, newest, waiting: waiting.into(), driver: None, ended: false, replay_to };
        if feed.waiting.is_empty() {
            let current = feed.newest.clone();
            feed.watch_driver_of(&current);
        }
        Ok(Some(feed))
    }
}

/// The versions and positions of one ride, one at a time. Holds no task and no connection while it waits.
pub struct Feed {
    follow: FollowRide,
    wake: Subscription,
    newest: Ride,
    waiting: std::collections::VecDeque<Ride>,
    driver: Option<Watched>,
    ended: bool,
    /// Versions up to this one were asked for again.
    replay_to: i32,
}

struct Watched {
    id: entity::value::DriverId,
    positions: watch::Receiver<Option<Position>>,
}

impl Feed {
    /// Waits for what happens next. May be dropped and called again at any point: what a wake-up was about is found by
    /// the next [`Feed::look`] then.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails; the feed can go on afterwards.
    pub async fn next(&mut self) -> Result<Next, StoreError> {
        loop {
            if let Some(ride) = self.waiting.pop_front() {
                self.ended = ride.status.is_terminal();
                self.watch_driver_of(&ride);
                let replayed = ride.version <= self.replay_to;
                return Ok(Next::Version { ride: Box::new(ride), replayed });
            }
            if self.ended {
                return Ok(Next::End);
            }
            tokio::select! {
                biased;
                () = self.wake.changed() => self.look().await?,
                position = next_position(&mut self.driver) => return Ok(Next::Location(position)),
            }
        }
    }

    /// Reads what was committed since the newest version, in case a wake-up came from another node or was lost.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        let shard = self.follow.shards.read(self.newest.id.shard());
        let versions = self.newest.versions_after(shard, self.newest.version).await?;
        if let Some(newest) = versions.last() {
            self.newest = newest.clone();
        }
        self.waiting.extend(versions);
        Ok(())
    }

    /// The driver's last position, if it has become stale and its staleness is worth telling.
    #[must_use]
    pub fn stale_position(&self, now: Millis) -> Option<Position> {
        let driver = self.driver.as_ref()?;
        (*driver.positions.borrow()).filter(|p| p.is_stale(now))
    }

    fn watch_driver_of(&mut self, ride: &Ride) {
        let driver = ride.driver.as_ref().filter(|_| !ride.status.is_terminal()).map(|d| &d.id);
        if driver == self.driver.as_ref().map(|w| &w.id) {
            return;
        }
        self.driver = driver.map(|id| Watched { id: id.clone(), positions: self.follow.positions.subscribe(id) });
    }
}

async fn next_position(driver: &mut Option<Watched>) -> Position {
    let Some(watched) = driver else { return std::future::pending().await };
    loop {
        if watched.positions.changed().await.is_err() {
            return std::future::pending().await;
        }
        let position = *watched.positions.borrow_and_update();
        if let Some(position) = position {
            return position;
        }
    }
}
