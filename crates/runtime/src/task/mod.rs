//! Supervised tasks: the only way to start something that runs beside its caller.
//!
//! A task has a name, its panic is an error with that name, and shutdown waits for it. There is no other spawn
//! in the workspace (clippy refuses it), so whatever runs is in [`Supervisor::tasks`].

mod panic;
mod registry;
mod shutdown;

use std::{fmt::Display, future::Future, sync::Arc, time::Duration};

use prometheus::Registry;
use tokio::runtime::Handle;

pub use panic::catch_panic;
pub(crate) use panic::install_panic_hook;
pub use registry::{TaskInfo, TaskState};
pub use shutdown::Shutdown;

use panic::TASK;
use registry::{Guard, Tasks};
use shutdown::Trigger;

use crate::{Stopwatch, origin};

/// How long aborted tasks get to reach their next await point and be dropped.
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// Starts, watches and ends every task of the process. Cheap to clone; clones are the same supervisor.
#[derive(Clone)]
pub struct Supervisor {
    tasks: Arc<Tasks>,
    trigger: Arc<Trigger>,
    tokio: Handle,
}

/// What happens to a task that returned an error or panicked. One that returned `Ok` is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It stays ended.
    Never,
    /// It starts again after a delay that doubles from `first` to `max`, less up to half of it at random. A run that
    /// lasted longer than `max` starts the delays over.
    OnFailure {
        /// The first delay.
        first: Duration,
        /// The longest delay.
        max: Duration,
    },
}

/// Why a one-shot task gave no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// It panicked; the backtrace is in the log.
    #[error("task `{task}` panicked: {message}")]
    Panicked {
        /// The task's name.
        task: &'static str,
        /// The panic's message, for logs.
        message: String,
    },
    /// It was aborted because it outlived the shutdown deadline.
    #[error("task `{task}` was aborted by shutdown")]
    Aborted {
        /// The task's name.
        task: &'static str,
    },
}

impl Supervisor {
    /// A supervisor without tasks that reports to `registry`. Every task runs on the runtime that this is called on,
    /// also one that is started from a server's worker thread, whose own runtime ends before shutdown is over.
    ///
    /// # Errors
    /// Its metrics are already registered there.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let tasks = Arc::new(Tasks::new(registry)?);
        Ok(Self { tasks, trigger: Arc::new(Trigger::new()), tokio: Handle::current() })
    }

    /// Starts a long-lived task. `make` is called for each (re)start and gets the shutdown signal, which the task
    /// must heed: what is still running at the deadline is aborted.
    pub fn spawn<F, Fut, E>(&self, name: &'static str, restart: Restart, make: F)
    where
        F: Fn(Shutdown) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let guard = self.tasks.register(name);
        let shutdown = self.trigger.subscribe();
        start(&self.tokio, guard, |guard| async move {
            let mut backoff = Backoff::new(restart);
            loop {
                let lived = Stopwatch::start();
                match catch_panic(async { make(shutdown.clone()).await }).await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => {
                        guard.failed();
                        tracing::error!(task = name, %error, "task failed");
                    }
                    Err(message) => {
                        guard.panicked();
                        tracing::error!(task = name, message, "task panicked");
                    }
                }
                let Some(delay) = backoff.next(lived.elapsed()) else { return };
                guard.backing_off();
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = shutdown.wait() => return,
                }
                guard.restarted();
            }
        });
    }

    /// Starts a one-shot task at once and gives its value. Dropping the answer does **not** cancel the task: a
    /// client that hangs up must not stop a write transaction halfway. Shutdown waits for it.
    pub fn run<T, F>(
        &self,
        name: &'static str,
        future: F,
    ) -> impl Future<Output = Result<T, TaskError>> + Send + use<T, F>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let guard = self.tasks.register(name);
        let handle = start(&self.tokio, guard, |guard| async move {
            catch_panic(future).await.map_err(|message| {
                guard.panicked();
                tracing::error!(task = name, message, "task panicked");
                TaskError::Panicked { task: name, message }
            })
        });
        async move { handle.await.unwrap_or(Err(TaskError::Aborted { task: name })) }
    }

    /// The signal that [`Supervisor::shutdown`] gives.
    #[must_use]
    pub fn shutdown_signal(&self) -> Shutdown {
        self.trigger.subscribe()
    }

    /// Signals every task, waits until all have ended, and aborts what is left at the deadline. Gives the names of the
    /// tasks that had to be aborted, sorted, one entry a task.
    pub async fn shutdown(&self, deadline: Duration) -> Vec<&'static str> {
        self.trigger.fire();
        if tokio::time::timeout(deadline, self.tasks.idle()).await.is_ok() {
            return Vec::new();
        }
        let left = self.tasks.abort_all();
        for task in &left {
            tracing::error!(
                task = task.name,
                age_s = task.age.as_secs(),
                "task outlived the shutdown deadline: aborted"
            );
        }
        // A task that blocks its thread cannot be dropped; the process is about to end anyway.
        let _ = tokio::time::timeout(ABORT_GRACE, self.tasks.idle()).await;
        let mut left: Vec<_> = left.into_iter().map(|task| task.name).collect();
        left.sort_unstable();
        left
    }

    /// Every task that has not ended, oldest first.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskInfo> {
        self.tasks.list()
    }
}

/// Puts the body on the runtime under its name and for the request it was started for. The guard outlives the body, so that a
/// task which is no longer listed has really let go of everything.
fn start<B, Fut>(tokio: &Handle, guard: Guard, body: B) -> tokio::task::JoinHandle<Fut::Output>
where
    B: FnOnce(Arc<Guard>) -> Fut,
    Fut: Future<Output: Send + 'static> + Send + 'static,
{
    let guard = Arc::new(guard);
    let entry = guard.entry();
    let body = TASK.scope(entry.name(), body(Arc::clone(&guard)));
    let handle = tokio.spawn(origin::inherited(async move {
        let _listed_until_the_body_is_gone = guard;
        body.await
    }));
    entry.started(handle.abort_handle());
    handle
}

/// The delays between restarts.
struct Backoff {
    restart: Restart,
    next: Duration,
}

impl Backoff {
    fn new(restart: Restart) -> Self {
        let next = match restart {
            Restart::Never => Duration::ZERO,
            Restart::OnFailure { first, .. } => first,
        };
        Self { restart, next }
    }

    /// The delay before the next start, after a run that lasted `lived`; `None` when there is none.
    fn next(&mut self, lived: Duration) -> Option<Duration> {
        let Restart::OnFailure { first, max } = self.restart else { return None };
        if lived > max {
            self.next = first;
        }
        let delay = self.next.min(max);
        self.next = delay.saturating_mul(2).min(max);
        Some(delay.mul_f64(rand::random_range(0.5..=1.0)))
    }
}

#[cfg(test)]
mod tests;
