//! Where drivers are now: volatile, in memory, never logged or replayed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use entity::value::{DriverId, Millis, Point};
use tokio::sync::watch;

/// A position older than this is stale, milliseconds.
pub const STALE_AFTER_MS: i64 = 15_000;
/// A position older than this is forgotten, milliseconds.
const FORGET_AFTER_MS: i64 = 10 * 60_000;
/// Drivers remembered at most; reports of others are dropped, with a warning.
const MAX_DRIVERS: usize = 200_000;

/// Where a driver was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where.
    pub at: Point,
    /// When, as the driver's phone says.
    pub observed_at: Millis,
}

impl Position {
    /// Whether it is too old to be shown as current, or nobody knows how old it is.
    #[must_use]
    pub fn is_stale(&self, now: Millis) -> bool {
        now.since_ms(self.observed_at) > STALE_AFTER_MS || self.observed_at.is_from_the_future(now)
    }
}

/// The live positions of all drivers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Positions(Arc<Mutex<HashMap<DriverId, watch::Sender<Option<Position>>>>>);

impl Positions {
    /// Takes a newer position, or any when the last one is from before the clock was set back; `false` when there are
    /// too many drivers to remember another one.
    #[must_use]
    pub fn report(&self, driver_id: &DriverId, position: Position, now: Millis) -> bool {
        let mut drivers = self.lock();
        if let Some(known) = drivers.get(driver_id) {
            known.send_if_modified(|last| {
                let newer = last.is_none_or(|l| l.observed_at <= position.observed_at || l.observed_at > now);
                if newer {
                    *last = Some(position);
                }
                newer
            });
            return true;
        }
        if drivers.len() >= MAX_DRIVERS {
            return false;
        }
        drivers.insert(driver_id.clone(), watch::Sender::new(Some(position)));
        true
    }

    /// Where the driver was seen last.
    #[must_use]
    pub fn last(&self, driver_id: &DriverId) -> Option<Position> {
        self.lock().get(driver_id).and_then(|known| *known.borrow())
    }

    /// Told of every position of the driver from now on; the last one is seen as new.
    #[must_use]
    pub fn subscribe(&self, driver_id: &DriverId) -> watch::Receiver<Option<Position>> {
        let mut drivers = self.lock();
        let known = drivers.entry(driver_id.clone()).or_insert_with(|| watch::Sender::new(None));
        let mut receiver = known.subscribe();
        receiver.mark_changed();
        receiver
    }

    /// Forgets drivers who were not seen for long and whom nobody watches.
    pub fn forget_old(&self, now: Millis) {
        let mut drivers = self.lock();
        drivers.retain(|_, known| {
            let recent = known.borrow().is_some_and(|p| now.since_ms(p.observed_at) <= FORGET_AFTER_MS);
            recent || known.receiver_count() > 0
        });
        if drivers.capacity() > 4 * drivers.len().max(1024) {
            drivers.shrink_to_fit();
        }
    }

    /// Drivers remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DriverId, watch::Sender<Option<Position>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(name: &str) -> DriverId {
        DriverId::parse(name).unwrap()
    }

    fn seen(ms: i64) -> Position {
        Position { at: Point::from_degrees(40.7, -73.9).unwrap(), observed_at: Millis(ms) }
    }

    #[test]
    fn a_driver_who_is_gone_and_unwatched_is_forgotten() {
        let positions = Positions::default();
        assert!(positions.report(&driver("old"), seen(0), Millis(0)));
        assert!(positions.report(&driver("watched"), seen(0), Millis(0)));
        assert!(positions.report(&driver("new"), seen(FORGET_AFTER_MS), Millis(FORGET_AFTER_MS)));
        let watcher = positions.subscribe(&driver("watched"));
        positions.forget_old(Millis(FORGET_AFTER_MS + 1));
        assert_eq!(positions.count(), 2);
        drop(watcher);
        positions.forget_old(Millis(FORGET_AFTER_MS + 1));
        assert_eq!(positions.count(), 1);
    }
}
