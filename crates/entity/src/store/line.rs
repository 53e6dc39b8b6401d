//! Who writes next.

use std::time::Duration;

use tokio::{
    sync::{AcquireError, Semaphore, SemaphorePermit},
    time::timeout,
};

use super::StoreError;

/// Whose turn a write waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before those who wait for an ordinary one.
    First,
    /// In the order in which they came.
    Ordinary,
}

/// The line before a database's writers. An ordinary write comes to its head in two steps, and as many as there are writers may
/// have taken the first: so whoever goes first waits for one turn of them, however many there are.
pub(super) struct Line {
    /// Turns, in the order in which they were asked for.
    writers: Semaphore,
    /// Ordinary writes that may ask for one.
    ordinary: Semaphore,
    patience: Duration,
}

/// A turn; over when it is dropped.
#[must_use = "a turn that is dropped at once keeps nobody waiting"]
pub(super) struct AtHead<'l> {
    _writer: SemaphorePermit<'l>,
    _ordinary: Option<SemaphorePermit<'l>>,
}

impl Line {
    pub(super) fn new(writers: usize, patience: Duration) -> Self {
        Self { writers: Semaphore::new(writers), ordinary: Semaphore::new(writers), patience }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when it did not come in time.
    pub(super) async fn wait(&self, turn: Turn) -> Result<AtHead<'_>, StoreError> {
        let busy = |detail: &str| StoreError::Busy(format!("a write waited for its turn: {detail}"));
        let both = async {
            let ordinary = match turn {
                Turn::First => None,
                Turn::Ordinary => Some(self.ordinary.acquire().await?),
            };
            Ok::<_, AcquireError>(AtHead { _writer: self.writers.acquire().await?, _ordinary: ordinary })
        };
        match timeout(self.patience, both).await {
            Ok(turn) => turn.map_err(|error| busy(&error.to_string())),
            Err(_) => Err(busy(&format!("none came in {:?}", self.patience))),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_first_write_waits_for_one_ordinary_one_however_many_came_before_it() {
        let line = Line::new(1, Duration::from_secs(30));
        let writing = line.wait(Turn::Ordinary).await.unwrap();
        let mut others: Vec<_> = (0..10).map(|_| Box::pin(line.wait(Turn::Ordinary))).collect();
        assert!(others.iter_mut().all(|other| other.as_mut().now_or_never().is_none()));
        let mut first = Box::pin(line.wait(Turn::First));
        assert!(first.as_mut().now_or_never().is_none(), "one writer");
        drop(writing);
        let first = first.now_or_never().expect("its turn").unwrap();
        assert!(others.iter_mut().all(|other| other.as_mut().now_or_never().is_none()), "not yet");
        drop(first);
        let next: Vec<_> = others.iter_mut().filter_map(|other| other.as_mut().now_or_never()).collect();
        assert_eq!(next.len(), 1, "the oldest of them");
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_told_that_the_database_is_busy() {
        let line = Line::new(1, Duration::from_millis(1));
        let _writing = line.wait(Turn::First).await.unwrap();
        for turn in [Turn::First, Turn::Ordinary] {
            assert!(matches!(line.wait(turn).await, Err(StoreError::Busy(_))), "{turn:?}");
        }
        let busy = line.wait(Turn::Ordinary).await.err().map(|error| error.to_string());
        assert!(busy.is_some_and(|text| text.contains("1ms")));
    }
}
