//! The wake-up line from commits to the relay: bounded; what does not fit is counted and found by the sweep.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use entity::{Ride, value::Id};
use tokio::sync::{Mutex, mpsc};

/// Says that a ride has a message. Cheap to clone.
#[derive(Clone)]
pub struct RelayWaker {
    line: mpsc::Sender<Id<Ride>>,
    dropped: Arc<AtomicU64>,
}

/// Where the relay is woken. A restarted relay goes on with the same line.
#[derive(Clone)]
pub struct RelayInbox(pub(super) Arc<Mutex<mpsc::Receiver<Id<Ride>>>>);

/// A line with room for `capacity` wake-ups.
#[must_use]
pub fn queue(capacity: usize) -> (RelayWaker, RelayInbox) {
    let (line, inbox) = mpsc::channel(capacity);
    (RelayWaker { line, dropped: Arc::default() }, RelayInbox(Arc::new(Mutex::new(inbox))))
}

impl RelayWaker {
    /// Wakes the relay. When the line is full the message waits for the sweep, and that is counted.
    pub fn wake(&self, ride: Id<Ride>) {
        if self.line.try_send(ride).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Wake-ups that did not fit.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Wake-ups in the line.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.line.max_capacity() - self.line.capacity()
    }
}
