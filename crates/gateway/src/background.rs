//! The tasks that run beside requests: deadlines, cleaning, gauges. Each is named, supervised, and idempotent, so
//! any number of nodes may run it.

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use entity::{OutboxEntry, Shards, StoreError};
use prometheus::{IntGauge, Registry};
use runtime::{
    Clock,
    task::{Shutdown, Supervisor},
};
use traffic::Admission;
use usecase::{
    housekeeping::Housekeeping,
    relay::RelayWaker,
    rides::{self, positions::Positions, time_out::TimeOutRides},
};

use crate::compose::RESTART;

const TIMEOUT_SWEEP: Duration = Duration::from_millis(500);
const HOUSEKEEPING: Duration = Duration::from_secs(600);
const MEMORY_SWEEP: Duration = Duration::from_secs(10);
const GAUGES: Duration = Duration::from_secs(5);

/// What the tasks work on.
pub(crate) struct Deps<'d> {
    pub(crate) supervisor: &'d Supervisor,
    pub(crate) registry: &'d Registry,
    pub(crate) shards: &'d Shards,
    pub(crate) clock: &'d Clock,
    pub(crate) rides: Arc<rides::Config>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) positions: Positions,
    pub(crate) waker: RelayWaker,
}

/// Starts them.
///
/// # Errors
/// The gauges are registered already.
pub(crate) fn start(deps: &Deps<'_>) -> Result<(), Box<dyn Error>> {
    let (clock, shards) = (deps.clock.clone(), deps.shards.clone());
    let time_out = TimeOutRides { config: deps.rides.clone(), shards };
    deps.supervisor.spawn("ride-timeouts", RESTART, move |shutdown| {
        let (time_out, clock) = (time_out.clone(), clock.clone());
        every(TIMEOUT_SWEEP, shutdown, move || {
            let (time_out, now) = (time_out.clone(), clock.now());
            async move {
                while time_out.run(now).await? {}
                Ok(())
            }
        })
    });

    let (clock, housekeeping) = (deps.clock.clone(), Housekeeping::new(deps.shards.clone()));
    deps.supervisor.spawn("housekeeping", RESTART, move |shutdown| {
        let (housekeeping, clock) = (housekeeping.clone(), clock.clone());
        every(HOUSEKEEPING, shutdown, move || {
            let (housekeeping, now) = (housekeeping.clone(), clock.now());
            async move {
                let removed = housekeeping.run(now).await?;
                tracing::debug!(removed, "expired rows removed");
                Ok(())
            }
        })
    });

    let (clock, admission, positions) = (deps.clock.clone(), deps.admission.clone(), deps.positions.clone());
    deps.supervisor.spawn("memory-sweep", RESTART, move |shutdown| {
        let (clock, admission, positions) = (clock.clone(), admission.clone(), positions.clone());
        every(MEMORY_SWEEP, shutdown, move || {
            admission.sweep();
            positions.forget_old(clock.now());
            async { Ok(()) }
        })
    });
    start_gauges(deps)
}

fn start_gauges(deps: &Deps<'_>) -> Result<(), Box<dyn Error>> {
    let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(name, help)?;
        deps.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    };
    let waiting = gauge("gateway_outbox_waiting", "Messages that partners have not acknowledged.")?;
    let dead = gauge("gateway_outbox_dead", "Messages that were given up: an operator has to look.")?;
    let line = gauge("gateway_relay_line", "Wake-ups that wait for the relay.")?;
    let dropped = gauge("gateway_relay_wakeups_dropped", "Wake-ups that did not fit since the start.")?;
    let drivers = gauge("gateway_driver_positions", "Drivers whose position is remembered.")?;
    let (shards, waker, positions) = (deps.shards.clone(), deps.waker.clone(), deps.positions.clone());
    deps.supervisor.spawn("gauges", RESTART, move |shutdown| {
        let (shards, waker, positions) = (shards.clone(), waker.clone(), positions.clone());
        let (waiting, dead, line) = (waiting.clone(), dead.clone(), line.clone());
        let (dropped, drivers) = (dropped.clone(), drivers.clone());
        every(GAUGES, shutdown, move || {
            let small = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            line.set(small(waker.waiting()));
            dropped.set(i64::try_from(waker.dropped()).unwrap_or(i64::MAX));
            drivers.set(small(positions.count()));
            let (shards, waiting, dead) = (shards.clone(), waiting.clone(), dead.clone());
            async move {
                let depth = OutboxEntry::depth(&shards).await?;
                waiting.set(i64::try_from(depth.0).unwrap_or(i64::MAX));
                dead.set(i64::try_from(depth.1).unwrap_or(i64::MAX));
                Ok(())
            }
        })
    });
    Ok(())
}

/// Runs `work` now and then once a `period` until shutdown; an error goes to the supervisor, which starts it again.
async fn every<W, Fut>(period: Duration, shutdown: Shutdown, work: W) -> Result<(), StoreError>
where
    W: Fn() -> Fut,
    Fut: Future<Output = Result<(), StoreError>>,
{
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shutdown.wait() => return Ok(()),
            _ = ticks.tick() => work().await?,
        }
    }
}
