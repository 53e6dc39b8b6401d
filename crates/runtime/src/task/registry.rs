//! Which tasks are alive, and their metrics.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::{
    IntCounterVec, IntGaugeVec, Registry, register_int_counter_vec_with_registry, register_int_gauge_vec_with_registry,
};
use tokio::{sync::Notify, task::AbortHandle};

use crate::Stopwatch;

/// One live task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Its name; several one-shot tasks may share one.
    pub name: &'static str,
    /// What it does now.
    pub state: TaskState,
    /// Time since it was first started.
    pub age: Duration,
    /// How often it was started again.
    pub restarts: u32,
}

/// What a live task does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It runs.
    Running,
    /// It failed and waits to be started again.
    BackingOff,
}

/// All live tasks. The lock is held for one map operation only: every write of the service passes here.
pub(super) struct Tasks {
    live: Mutex<BTreeMap<u64, Arc<Entry>>>,
    next_id: AtomicU64,
    became_idle: Notify,
    running: IntGaugeVec,
    panics: IntCounterVec,
    restarts: IntCounterVec,
    failures: IntCounterVec,
}

impl Tasks {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register_int_gauge_vec_with_registry!(name, help, &["task"], registry);
        let counter = |name, help| register_int_counter_vec_with_registry!(name, help, &["task"], registry);
        Ok(Self {
            live: Mutex::default(),
            next_id: AtomicU64::new(0),
            became_idle: Notify::new(),
            running: gauge("gateway_tasks_running", "Tasks that have not ended")?,
            panics: counter("gateway_task_panics_total", "Tasks that panicked")?,
            restarts: counter("gateway_task_restarts_total", "Tasks started again after a failure")?,
            failures: counter("gateway_task_failures_total", "Tasks that returned an error")?,
        })
    }

    pub(super) fn register(self: &Arc<Self>, name: &'static str) -> Guard {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry {
            name,
            since: Stopwatch::start(),
            backing_off: AtomicBool::new(false),
            restarts: AtomicU32::new(0),
            abort: OnceLock::new(),
        });
        self.lock().insert(id, Arc::clone(&entry));
        self.running.with_label_values(&[name]).inc();
        Guard { tasks: Arc::clone(self), id, entry }
    }

    /// Returns when no task is alive.
    pub(super) async fn idle(&self) {
        loop {
            let mut became_idle = std::pin::pin!(self.became_idle.notified());
            // Listening starts before the look, or the last task could end in between unheard.
            became_idle.as_mut().enable();
            if self.lock().is_empty() {
                return;
            }
            became_idle.await;
        }
    }

    /// Aborts every live task and tells which they were.
    pub(super) fn abort_all(&self) -> Vec<TaskInfo> {
        let live: Vec<_> = self.lock().values().cloned().collect();
        for entry in &live {
            if let Some(abort) = entry.abort.get() {
                abort.abort();
            }
        }
        live.iter().map(|entry| entry.info()).collect()
    }

    pub(super) fn list(&self) -> Vec<TaskInfo> {
        self.lock().values().map(|entry| entry.info()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Entry>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Entry {
    name: &'static str,
    since: Stopwatch,
    backing_off: AtomicBool,
    restarts: AtomicU32,
    abort: OnceLock<AbortHandle>,
}

impl Entry {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn started(&self, abort: AbortHandle) {
        // A task is started once: its restarts happen inside it.
        let _ = self.abort.set(abort);
    }

    fn info(&self) -> TaskInfo {
        TaskInfo {
            name: self.name,
            state: if self.backing_off.load(Ordering::Relaxed) { TaskState::BackingOff } else { TaskState::Running },
            age: self.since.elapsed(),
            restarts: self.restarts.load(Ordering::Relaxed),
        }
    }
}

/// A task's place in the list; dropping it, however the task ended, takes the task off.
pub(super) struct Guard {
    tasks: Arc<Tasks>,
    id: u64,
    entry: Arc<Entry>,
}

impl Guard {
    pub(super) fn entry(&self) -> Arc<Entry> {
        Arc::clone(&self.entry)
    }

    pub(super) fn failed(&self) {
        self.tasks.failures.with_label_values(&[self.entry.name]).inc();
    }

    pub(super) fn panicked(&self) {
        self.tasks.panics.with_label_values(&[self.entry.name]).inc();
    }

    pub(super) fn backing_off(&self) {
        self.entry.backing_off.store(true, Ordering::Relaxed);
    }

    pub(super) fn restarted(&self) {
        self.entry.backing_off.store(false, Ordering::Relaxed);
        self.entry.restarts.fetch_add(1, Ordering::Relaxed);
        self.tasks.restarts.with_label_values(&[self.entry.name]).inc();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tasks.running.with_label_values(&[self.entry.name]).dec();
        let mut live = self.tasks.lock();
        live.remove(&self.id);
        let idle = live.is_empty();
        drop(live);
        if idle {
            self.tasks.became_idle.notify_waiters();
        }
    }
}
