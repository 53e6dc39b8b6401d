//! The signal that asks tasks to end.

use tokio::sync::watch;

/// Gives the signal, once and for good.
pub(super) struct Trigger(watch::Sender<bool>);

impl Trigger {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(super) fn subscribe(&self) -> Shutdown {
        Shutdown(self.0.subscribe())
    }

    pub(super) fn fire(&self) {
        self.0.send_replace(true);
    }
}

/// Tells whether the process is asked to end. Once requested it stays requested.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Returns when shutdown is requested (at once if it was), or when the supervisor is gone.
    pub async fn wait(&self) {
        // The receiver is cloned so that one signal can be waited for in several places.
        let _ = self.0.clone().wait_for(|requested| *requested).await;
    }
}
