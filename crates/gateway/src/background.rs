//! The tasks that run beside requests: deadlines, cleaning, gauges. Each is named, supervised, and idempotent, so
//! any number of nodes may run it.

use std::{
    error::Error,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use entity::{OutboxEntry, Shards, StoreError, value::Millis};
use prometheus::{
    GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Registry, register_gauge_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};
use runtime::{Clock, Stopwatch, task::Supervisor};
use traffic::{Admission, Nanos};
use usecase::{
    consistency::Consistency,
    driver_index::DriverIndex,
    housekeeping::Housekeeping,
    relay::RelayWaker,
    rides::{positions::Positions, time_out::TimeOutRides},
};

use crate::{compose::RESTART, consistency};

const TIMEOUT_SWEEP: Duration = Duration::from_millis(500);
/// What a node that died has left of acceptances between two databases.
const INDEX_SWEEP: Duration = Duration::from_millis(500);
const HOUSEKEEPING: Duration = Duration::from_secs(600);
const MEMORY_SWEEP: Duration = Duration::from_secs(10);
/// Requests that finish let the gate look at how it goes; with nobody there it must still come back to its calm limit.
const GATE: Duration = Duration::from_millis(250);
const GAUGES: Duration = Duration::from_secs(5);

/// What the tasks work on.
pub(crate) struct Deps {
    pub(crate) supervisor: Supervisor,
    pub(crate) shards: Shards,
    pub(crate) clock: Clock,
    pub(crate) driver_index: DriverIndex,
    pub(crate) time_out: TimeOutRides,
    pub(crate) admission: Arc<Admission>,
    pub(crate) started: Stopwatch,
    pub(crate) positions: Positions,
    pub(crate) waker: RelayWaker,
    pub(crate) consistency: Consistency,
}

/// Starts them.
///
/// # Errors
/// The gauges are registered already.
pub(crate) fn start(deps: Deps, registry: &Registry) -> Result<(), Box<dyn Error>> {
    let gauges = Gauges::register(registry)?;
    let of_consistency = consistency::Gauges::register(registry)?;
    let scanner = deps.consistency.scanner.clone();
    deps.supervisor.spawn("consistency-scans", RESTART, move |shutdown| {
        let scanner = scanner.clone();
        async move { scanner.run(shutdown).await }
    });
    let shards = deps.shards.clone();
    deps.supervisor.spawn("shard-moves", RESTART, move |shutdown| {
        let shards = shards.clone();
        async move { shards.follow_moves(shutdown).await }
    });
    let housekeeping = Housekeeping::new(deps.shards.clone());
    let tasks = Arc::new(Tasks { deps, gauges, of_consistency, housekeeping, latest_sweep: Mutex::default() });
    tasks.every("ride-timeouts", TIMEOUT_SWEEP, Tasks::time_out_rides);
    tasks.every("driver-index", INDEX_SWEEP, Tasks::finish_acceptances);
    tasks.every("housekeeping", HOUSEKEEPING, Tasks::clean);
    tasks.every("memory-sweep", MEMORY_SWEEP, Tasks::forget);
    tasks.every("gate", GATE, Tasks::look_at_the_gate);
    tasks.every("gauges", GAUGES, Tasks::measure);
    Ok(())
}

struct Tasks {
    deps: Deps,
    gauges: Gauges,
    of_consistency: consistency::Gauges,
    housekeeping: Housekeeping,
    /// When rides were timed out last, and how long ago that is.
    latest_sweep: Mutex<Option<(Millis, Stopwatch)>>,
}

impl Tasks {
    async fn time_out_rides(self: Arc<Self>) -> Result<(), StoreError> {
        let (now, time_out) = (self.deps.clock.now(), &self.deps.time_out);
        let latest =
            self.latest_sweep.lock().unwrap_or_else(PoisonError::into_inner).replace((now, Stopwatch::start()));
        match latest {
            // At the start too: the clock may have been set back while nobody looked.
            None => time_out.after_step_back(now).await?,
            Some((then, _)) if now < then => time_out.after_step_back(now).await?,
            // `now` lies in the future of what the time that has passed makes of the run before.
            Some((then, since)) if now.is_from_the_future(then.plus_ms(ms(since.elapsed()))) => {
                time_out.after_step_forward(now).await?;
            }
            Some(_) => {}
        }
        while time_out.run(now).await? {}
        Ok(())
    }

    async fn finish_acceptances(self: Arc<Self>) -> Result<(), StoreError> {
        let finished = self.deps.driver_index.finish(self.deps.clock.now()).await?;
        for (kind, count) in finished.by_name() {
            self.gauges.finished.with_label_values(&[kind]).inc_by(count);
        }
        Ok(())
    }

    async fn clean(self: Arc<Self>) -> Result<(), StoreError> {
        let clock = self.deps.clock.clone();
        let removed = self.housekeeping.run(move || clock.now()).await?;
        tracing::debug!(removed, "expired rows removed");
        Ok(())
    }

    async fn forget(self: Arc<Self>) -> Result<(), StoreError> {
        self.deps.admission.sweep(Nanos::since_start_of(&self.deps.started));
        self.deps.positions.forget_old(self.deps.clock.now());
        Ok(())
    }

    async fn look_at_the_gate(self: Arc<Self>) -> Result<(), StoreError> {
        self.deps.admission.gate().tick(Nanos::since_start_of(&self.deps.started));
        Ok(())
    }

    async fn measure(self: Arc<Self>) -> Result<(), StoreError> {
        let (gauges, waker) = (&self.gauges, &self.deps.waker);
        gauges.line.set(waker.waiting().try_into().unwrap_or(i64::MAX));
        gauges.dropped.set(waker.dropped().try_into().unwrap_or(i64::MAX));
        gauges.drivers.set(self.deps.positions.count().try_into().unwrap_or(i64::MAX));
        let unfinished = self.deps.driver_index.unfinished(self.deps.clock.now()).await?;
        for (kind, unfinished) in unfinished.by_name() {
            gauges.in_doubt.with_label_values(&[kind]).set(unfinished.count.try_into().unwrap_or(i64::MAX));
            gauges.oldest.with_label_values(&[kind]).set(unfinished.oldest_ms as f64 / 1000.0);
        }
        for (state, shards) in self.deps.shards.moves().by_name() {
            gauges.moves.with_label_values(&[state]).set(shards.into());
        }
        let (waiting, dead) = OutboxEntry::depth(&self.deps.shards).await?;
        gauges.waiting.set(waiting.try_into().unwrap_or(i64::MAX));
        for (lane, waiting) in OutboxEntry::waiting_by_lane(&self.deps.shards).await? {
            gauges.lanes.with_label_values(&[lane]).set(waiting.try_into().unwrap_or(i64::MAX));
        }
        gauges.dead.set(dead.try_into().unwrap_or(i64::MAX));
        self.of_consistency.measure(&self.deps.shards, &self.deps.consistency, self.deps.clock.now()).await
    }

    /// Does `work` now and then once a `period` until shutdown; an error goes to the supervisor, which starts it again.
    fn every<Fut>(self: &Arc<Self>, name: &'static str, period: Duration, work: fn(Arc<Self>) -> Fut)
    where
        Fut: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let tasks = self.clone();
        self.deps.supervisor.spawn(name, RESTART, move |shutdown| {
            let tasks = tasks.clone();
            async move {
                let mut ticks = tokio::time::interval(period);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        biased;
                        () = shutdown.wait() => return Ok::<_, StoreError>(()),
                        _ = ticks.tick() => work(tasks.clone()).await?,
                    }
                }
            }
        });
    }
}

fn ms(duration: Duration) -> i64 {
    duration.as_millis().try_into().unwrap_or(i64::MAX)
}

/// Depths for `/metrics`.
struct Gauges {
    waiting: IntGauge,
    lanes: IntGaugeVec,
    dead: IntGauge,
    line: IntGauge,
    dropped: IntGauge,
    drivers: IntGauge,
    in_doubt: IntGaugeVec,
    oldest: GaugeVec,
    finished: IntCounterVec,
    moves: IntGaugeVec,
}

impl Gauges {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register_int_gauge_with_registry!(name, help, registry);
        Ok(Self {
            waiting: gauge("gateway_outbox_waiting", "Messages that partners have not acknowledged.")?,
            lanes: register_int_gauge_vec_with_registry!(
                "gateway_outbox_lane_waiting",
                "The same by who has to acknowledge them: the bank, dispatch, or the driver index in another database.",
                &["lane"],
                registry
            )?,
            dead: gauge("gateway_outbox_dead", "Messages that were given up: an operator has to look.")?,
            line: gauge("gateway_relay_line", "Wake-ups that wait for the relay.")?,
            dropped: gauge("gateway_relay_wakeups_dropped", "Wake-ups that did not fit since the start.")?,
            drivers: gauge("gateway_driver_positions", "Drivers whose position is remembered.")?,
            in_doubt: register_int_gauge_vec_with_registry!(
                "gateway_driver_index_in_doubt",
                "What acceptances between two databases have left and nobody has finished within the lease.",
                &["left"],
                registry
            )?,
            oldest: register_gauge_vec_with_registry!(
                "gateway_driver_index_oldest_seconds",
                "How old the oldest of those is.",
                &["left"],
                registry
            )?,
            moves: register_int_gauge_vec_with_registry!(
                "gateway_shard_moves",
                "Shards that databases say are being moved, or whose move was not brought to an end.",
                &["state"],
                registry
            )?,
            finished: register_int_counter_vec_with_registry!(
                "gateway_driver_index_finished_total",
                "What this node has finished of acceptances that another run or node had left.",
                &["left"],
                registry
            )?,
        })
    }
}
