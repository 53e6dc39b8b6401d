//! Wakes whoever waits for a ride to change. Only a hint: what happened is read from the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use entity::{Ride, value::Id};
use tokio::sync::watch;

/// The waiting streams of this node. Cheap to clone.
#[derive(Clone, Default)]
pub struct RideSignals(Arc<Mutex<HashMap<Id<Ride>, watch::Sender<()>>>>);

impl RideSignals {
    /// Wakes everybody who waits for the ride.
    pub fn notify(&self, ride_id: Id<Ride>) {
        if let Some(waiting) = self.lock().get(&ride_id) {
            waiting.send_replace(());
        }
    }

    /// Waits for a ride, until dropped.
    #[must_use]
    pub fn subscribe(&self, ride_id: Id<Ride>) -> Subscription {
        let receiver = self.lock().entry(ride_id).or_default().subscribe();
        Subscription { signals: self.clone(), ride_id, receiver: Some(receiver) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id<Ride>, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for one ride.
pub struct Subscription {
    signals: RideSignals,
    ride_id: Id<Ride>,
    receiver: Option<watch::Receiver<()>>,
}

impl Subscription {
    /// Waits for the next signal; one that came since the last call counts.
    pub async fn changed(&mut self) {
        match &mut self.receiver {
            // The sender lives as long as this subscription.
            Some(receiver) => _ = receiver.changed().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.receiver = None;
        let mut waiting = self.signals.lock();
        if waiting.get(&self.ride_id).is_some_and(|sender| sender.receiver_count() == 0) {
            waiting.remove(&self.ride_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_between_two_waits_is_not_lost_and_nothing_stays_behind() {
        let signals = RideSignals::default();
        let ride: Id<Ride> = "5".parse().unwrap();
        let mut first = signals.subscribe(ride);
        let second = signals.subscribe(ride);
        signals.notify(ride);
        first.changed().await;
        assert_eq!(signals.lock().len(), 1);
        drop(first);
        assert_eq!(signals.lock().len(), 1);
        drop(second);
        assert_eq!(signals.lock().len(), 0);
        signals.notify(ride);
    }
}
