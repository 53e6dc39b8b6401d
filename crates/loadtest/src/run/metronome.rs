//! Hands out arrivals when they are due. A thread of its own: the runtime's timers go by whole milliseconds, which would
//! be most of a fast answer's latency.

use std::{
    iter::Peekable,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::arrivals::{Arrival, Arrivals};

/// Arrivals handed over at once, at most.
const BATCH: usize = 256;
/// What is due within this time goes along: to wake up for each one alone would cost more than it is worth.
const AHEAD: Duration = Duration::from_micros(100);
/// Batches that may wait. When they do, the generator is late, and the requests' lag says so.
const WAITING: usize = 4096;

/// Begins to hand out arrivals, counted from `start`; ends when all are out or nobody listens any more.
///
/// # Errors
/// No thread could be started.
pub(crate) fn start(
    arrivals: Arrivals,
    start: Instant,
) -> Result<(mpsc::Receiver<Vec<Arrival>>, JoinHandle<()>), String> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let thread = std::thread::Builder::new().name("metronome".into());
    let handle = thread.spawn(move || beat(arrivals, start, &sender)).map_err(|e| format!("no thread: {e}"))?;
    Ok((receiver, handle))
}

/// The same from a task of the one runtime, for a generator that never sleeps ([`super::pin::stay_awake`]): another thread on
/// its core would wait for its turn there.
pub(crate) fn start_awake(arrivals: Arrivals, start: Instant) -> mpsc::Receiver<Vec<Arrival>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut arrivals = arrivals.peekable();
        while arrivals.peek().is_some() {
            let batch = due(&mut arrivals, start, Duration::ZERO);
            if !batch.is_empty() && sender.send(batch).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    receiver
}

/// What is due within `ahead`, a batch at most.
fn due(arrivals: &mut Peekable<Arrivals>, start: Instant, ahead: Duration) -> Vec<Arrival> {
    let until = Instant::now().saturating_duration_since(start) + ahead;
    let mut batch = Vec::new();
    while batch.len() < BATCH
        && let Some(arrival) = arrivals.next_if(|arrival| arrival.due <= until)
    {
        batch.push(arrival);
    }
    batch
}

fn beat(arrivals: Arrivals, start: Instant, sender: &mpsc::Sender<Vec<Arrival>>) {
    let mut arrivals = arrivals.peekable();
    while let Some(next) = arrivals.peek() {
        let wait = (start + next.due).saturating_duration_since(Instant::now());
        if wait > AHEAD {
            // Short steps, so that a run that is over does not leave a thread asleep in a long pause of its schedule.
            std::thread::sleep(wait.min(Duration::from_millis(100)));
            if sender.is_closed() {
                return;
            }
            continue;
        }
        let batch = due(&mut arrivals, start, AHEAD);
        if sender.blocking_send(batch).is_err() {
            return;
        }
    }
}
