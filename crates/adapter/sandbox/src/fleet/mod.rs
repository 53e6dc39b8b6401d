//! The drivers: one supervised task that takes the next due step of every open ride, through the same use cases
//! as a real dispatch partner.

mod busy;
mod driver;
mod engine;
mod job;
mod motion;
mod plan;
mod view;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use entity::{Driver, Ride, Shards, value::Id};
use futures_util::{StreamExt, stream::FuturesUnordered};
use runtime::{Clock, task::Shutdown};
use tokio::sync::{mpsc, watch};
use usecase::{
    port::{FleetSettings, MAX_DRIVERS, SandboxControl},
    rides::{drive_ride::DriveRide, end_ride::EndRide, report_location::ReportLocation},
};

use crate::{
    Config,
    control::{Control, Partners},
    dispatch::DriverBoard,
};
use busy::Busy;
use engine::Engine;
use job::Job;
use view::View;

/// Reads and steps on their way at one time: enough to keep the database's one writer busy, few enough to leave
/// the passengers their share of it.
const IN_FLIGHT: usize = 32;

/// The sandbox's drivers. Cheap to clone; clones are the same fleet.
#[derive(Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
    partners: Arc<Partners>,
    /// Locked by the one task that runs; here so that a restarted one finds the same queue.
    signals: Arc<tokio::sync::Mutex<mpsc::Receiver<Id<Ride>>>>,
}

/// What the fleet acts through.
pub(crate) struct Actions {
    pub(crate) shards: Shards,
    pub(crate) drive_ride: Arc<DriveRide>,
    pub(crate) end_ride: Arc<EndRide>,
    pub(crate) report_location: Arc<ReportLocation>,
    pub(crate) clock: Clock,
}

/// What the running fleet and the control panel share.
pub(crate) struct Shared {
    pub(crate) settings: watch::Sender<FleetSettings>,
    pub(crate) actions: Actions,
    pub(crate) board: DriverBoard,
    seed: u64,
    busy: Mutex<Busy>,
}

impl Fleet {
    pub(crate) fn new(
        config: &Config,
        actions: Actions,
        partners: Arc<Partners>,
        board: DriverBoard,
        signals: mpsc::Receiver<Id<Ride>>,
    ) -> Self {
        let shared = Shared {
            settings: watch::Sender::new(config.fleet_settings()),
            actions,
            board,
            seed: config.seed,
            busy: Mutex::new(Busy::new()),
        };
        Self { shared: Arc::new(shared), partners, signals: Arc::new(tokio::sync::Mutex::new(signals)) }
    }

    /// What `/sandbox/*` calls.
    #[must_use]
    pub fn control(&self) -> Arc<dyn SandboxControl> {
        Arc::new(Control { partners: Arc::clone(&self.partners), fleet: Arc::clone(&self.shared) })
    }

    /// Drives until shutdown: for a supervised task with a restart. Every start takes up the open rides from the
    /// database. Two processes that drive the same database do no harm: a step is taken once.
    ///
    /// # Errors
    /// None: a database that does not answer is asked again, later.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut signals = self.signals.lock().await;
        let mut settings = self.shared.settings.subscribe();
        let clock = &self.shared.actions.clock;
        *self.shared.busy() = Busy::new();
        let mut latest = clock.now();
        let mut engine = Engine::new(Arc::clone(&self.shared), latest);
        let mut running = FuturesUnordered::new();
        loop {
            let now = clock.now();
            if now < latest {
                engine.clock_set_back(now);
            }
            latest = now;
            for job in engine.due(IN_FLIGHT.saturating_sub(running.len()), now) {
                running.push(job::perform(Arc::clone(&self.shared), job, now));
            }
            // With no room nothing new is taken on, so only an answer can change that.
            let room = running.len() < IN_FLIGHT;
            tokio::select! {
                () = shutdown.wait() => break,
                Some(done) = running.next() => engine.finished(done, clock.now()),
                Some(ride_id) = signals.recv(), if room => {
                    running.push(job::perform(Arc::clone(&self.shared), Job::Told(ride_id), clock.now()));
                }
                Ok(()) = settings.changed() => engine.settings_changed(clock.now()),
                () = tokio::time::sleep(engine.pause(now)), if room => {}
            }
        }
        // What has begun is finished; it takes milliseconds, and the supervisor bounds it.
        while running.next().await.is_some() {}
        Ok(())
    }
}

impl Shared {
    pub(crate) fn busy(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A driver for a forced acceptance, and its time to the pickup in seconds: a free one of the fleet or, when it
    /// has none, from outside. `None` when everybody there can be is busy.
    pub(crate) fn reserve(&self, ride: &Ride) -> Option<(Driver, u32)> {
        let (start, pickup_eta_s) = plan::candidate(self.seed, &View::of(ride), 0);
        let drivers = self.settings.borrow().drivers;
        let mut busy = self.busy();
        let number = busy.next_free(start, drivers).or_else(|| busy.next_free(start, MAX_DRIVERS))?;
        let driver = driver::driver(self.seed, number)?;
        busy.assign(ride.id, Some(number));
        Some((driver, pickup_eta_s))
    }
}
