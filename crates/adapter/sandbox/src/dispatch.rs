//! The dispatch partner's front door: it only wakes the fleet, which reads the ride itself.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use entity::{Ride, value::Id};
use tokio::sync::mpsc::{self, error::TrySendError};
use usecase::port::{Dispatch, DispatchRequest, PartnerError};

/// Wake-ups that may wait for the fleet.
pub(crate) const SIGNALS: usize = 8192;

/// Where rides are called out to the fleet.
#[derive(Clone)]
pub(crate) struct DriverBoard {
    signals: mpsc::Sender<Id<Ride>>,
    overflowed: Arc<AtomicU64>,
}

impl DriverBoard {
    pub(crate) fn new(signals: mpsc::Sender<Id<Ride>>) -> Self {
        Self { signals, overflowed: Arc::default() }
    }

    /// Asks the fleet to look at a ride. When the queue is full the ride is found by the fleet's next sweep; when it
    /// is closed the fleet has ended, and the next one takes up every open ride.
    pub(crate) fn look_at(&self, ride_id: Id<Ride>) {
        if let Err(TrySendError::Full(_)) = self.signals.try_send(ride_id) {
            let total = self.overflowed.fetch_add(1, Ordering::Relaxed) + 1;
            // Once for 1, 2, 4, 8… so that a flood does not flood the log as well.
            if total.is_power_of_two() {
                tracing::warn!(total, capacity = SIGNALS, "sandbox fleet's queue is full, left to its sweep");
            }
        }
    }
}

#[async_trait]
impl Dispatch for DriverBoard {
    async fn request(&self, request: DispatchRequest) -> Result<(), PartnerError> {
        self.look_at(request.ride_id);
        Ok(())
    }

    async fn withdraw(&self, ride_id: Id<Ride>) -> Result<(), PartnerError> {
        self.look_at(ride_id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use entity::value::{Millis, Shard};

    use super::*;

    #[test]
    fn a_full_queue_is_counted_and_blocks_nobody() {
        let (sender, mut signals) = mpsc::channel(1);
        let board = DriverBoard::new(sender);
        let id = |random| Id::new(Millis(1_800_000_000_000), random, Shard::new(0).unwrap()).unwrap();
        board.look_at(id(1));
        board.look_at(id(2));
        assert_eq!(board.overflowed.load(Ordering::Relaxed), 1);
        assert_eq!(signals.try_recv(), Ok(id(1)));
        drop(signals);
        board.look_at(id(3));
        assert_eq!(board.overflowed.load(Ordering::Relaxed), 1, "a fleet that has ended has no full queue");
    }
}
