//! The composition root: the only place that knows every component.

use std::{error::Error, sync::Arc, time::Duration};

use adapter_http::{Api, Readiness, dto::ride::RideStatesBody, edge};
use adapter_sandbox::{Fleet, Sandbox};
use entity::{Committed, Shards, StoreError, store::Deps};
use prometheus::{IntCounterVec, Opts, Registry};
use runtime::{
    Clock, Entropy, Stopwatch,
    task::{Restart, Supervisor},
};
use traffic::{Admission, Keeper, PolicyFile, Start};
use usecase::{
    auth::{Keys, refresh::Refresh, request_code::RequestCode, sign_in::SignIn, sign_out::SignOut},
    driver_index::{self, DriverIndex},
    port::{Dispatch, Payments, Routing, Sms},
    profile::ChangeProfile,
    quotes::QuoteTrip,
    relay::{self, RelayInbox, RelayWaker, dead_letters::RequeueDeadLetter},
    rides::{
        cancel_ride::CancelRide,
        drive_ride::DriveRide,
        driver_history::DriverHistory,
        end_ride::EndRide,
        follow_ride::FollowRide,
        positions::Positions,
        rate_ride::RateRide,
        receipt::ReadReceipt,
        report_location::ReportLocation,
        request_ride::{InFlight, RequestRide},
        signals::RideSignals,
        time_out::TimeOutRides,
    },
};

use crate::{background, policies::Watch, refusals, secrets, settings::Settings, signals::StopSignals};

/// Wake-ups that the relay's line holds; more are found by its sweep.
const RELAY_LINE: usize = 10_000;

/// How a background task comes back after a failure.
pub(crate) const RESTART: Restart =
    Restart::OnFailure { first: Duration::from_millis(100), max: Duration::from_secs(10) };

/// What closing the database may take when requests and tasks have used up the time to end.
const CLOSE_AT_LEAST: Duration = Duration::from_millis(500);

/// Serves until a stop signal, then lets requests and tasks end within `runtime.drain_s`.
///
/// # Errors
/// A component that cannot start.
pub(crate) async fn serve(mut settings: Settings, policies: Option<PolicyFile>) -> Result<(), Box<dyn Error>> {
    let mut signals = StopSignals::listen()?;
    let entropy = Entropy::system();
    refusals::check(&settings)?;
    refusals::check_strategy(&settings)?;
    let policies = Start::read(policies)?;
    secrets::fill(&mut settings, &entropy)?;
    let (waker, inbox) = relay::queue(RELAY_LINE);
    let node = Node::open(&settings, entropy, waker).await?;
    let ready = Readiness::default();
    let driver_index = node.driver_index(&settings).await?;
    let (api, work) = node.assemble(&settings, policies, driver_index, inbox, ready.clone())?;
    let drain_s = settings.runtime.drain_s;
    let servers = adapter_http::bind(settings.http, Arc::new(api), drain_s)?;
    work.start(&node.supervisor, &node.registry)?;
    tracing::info!(
        profile = %settings.profile,
        public = %servers.public_address,
        internal = %servers.internal_address,
        docs = format!("http://{}/docs/", servers.public_address),
        "serving"
    );
    let stop = servers.stop();
    let serving = node.supervisor.run("http-servers", servers.run());
    ready.set(true);

    tokio::pin!(serving);
    let signal = tokio::select! {
        signal = signals.next() => signal,
        ended = &mut serving => return Ok(ended??),
    };
    tracing::info!(signal, drain_s, "stopping; a second signal ends at once");
    ready.set(false);
    let deadline = Duration::from_secs(drain_s.into());
    let end = async {
        // A load balancer looks and sends nobody new; who comes meanwhile is served.
        tokio::time::sleep(Duration::from_secs(settings.runtime.unready_s.into())).await;
        // Streams end by the shutdown signal; the listeners let the other requests finish meanwhile.
        let stopwatch = Stopwatch::start();
        // At the deadline they are aborted, and one that was aborted may never say that it has stopped.
        let (left, _) =
            tokio::join!(node.supervisor.shutdown(deadline), tokio::time::timeout(deadline, stop.gracefully()));
        let time_left = deadline.saturating_sub(stopwatch.elapsed()).max(CLOSE_AT_LEAST);
        if tokio::time::timeout(time_left, node.shards.close()).await.is_err() {
            tracing::warn!("the database was not closed in time; nothing is lost, its log holds the rest");
        }
        left
    };
    let left = signals.unless_repeated(end).await;
    tracing::info!(drained = left.is_empty(), ?left, "stopped");
    Ok(())
}

/// What most components are built from.
struct Node {
    clock: Clock,
    /// The time of limits.
    started: Stopwatch,
    entropy: Entropy,
    registry: Registry,
    supervisor: Supervisor,
    keys: Keys,
    shards: Shards,
    waker: RelayWaker,
    ride_signals: RideSignals,
}

/// What is done beside requests, not begun yet: a start that fails on its port must have told no partner anything.
struct Work {
    relay: relay::Relay,
    inbox: RelayInbox,
    fleet: Option<Fleet>,
    background: background::Deps,
    watch: Watch,
}

impl Work {
    fn start(self, supervisor: &Supervisor, registry: &Registry) -> Result<(), Box<dyn Error>> {
        let (relay, inbox) = (self.relay, self.inbox);
        supervisor.spawn("outbox-relay", RESTART, move |shutdown| {
            let (relay, inbox) = (relay.clone(), inbox.clone());
            async move { relay.run(inbox, shutdown).await }
        });
        if let Some(fleet) = self.fleet {
            supervisor.spawn("sandbox-fleet", RESTART, move |shutdown| fleet.clone().run(shutdown));
        }
        self.watch.start(supervisor);
        background::start(self.background, registry)
    }
}

/// The partners of this process.
struct Partners {
    sms: Arc<dyn Sms>,
    routing: Arc<dyn Routing>,
    dispatch: Arc<dyn Dispatch>,
    payments: Arc<dyn Payments>,
}

impl Node {
    /// Opens the database, once everything that is cheaper to find wrong is right.
    async fn open(settings: &Settings, entropy: Entropy, waker: RelayWaker) -> Result<Self, Box<dyn Error>> {
        let started = Stopwatch::start();
        let (registry, ride_signals) = (Registry::new(), RideSignals::default());
        let supervisor = Supervisor::new(&registry)?;
        let (clock, keys) = (Clock::system(), Keys::from_config(&settings.auth)?);
        refusals::check_clock(clock.now())?;
        let versions = IntCounterVec::new(
            Opts::new("gateway_ride_versions_total", "Committed versions of rides, by the status they have."),
            &["status"],
        )?;
        registry.register(Box::new(versions.clone()))?;
        let (relay, streams) = (waker.clone(), ride_signals.clone());
        let on_commit = move |committed| match committed {
            Committed::Changed { ride_id, status } => {
                versions.with_label_values(&[status.name()]).inc();
                streams.notify(ride_id);
            }
            Committed::Message(ride_id) => relay.wake(ride_id),
        };
        let deps = Deps { supervisor: supervisor.clone(), entropy: entropy.clone(), on_commit: Arc::new(on_commit) };
        let shards = settings.store.clone().build(deps).await?;
        Ok(Self { clock, started, entropy, registry, supervisor, keys, shards, waker, ride_signals })
    }

    /// The driver index, if its strategy can be on these databases.
    async fn driver_index(&self, settings: &Settings) -> Result<DriverIndex, StoreError> {
        let (shards, supervisor) = (self.shards.clone(), self.supervisor.clone());
        let deps = driver_index::Deps { shards, supervisor, entropy: self.entropy.clone() };
        let driver_index = settings.driver_index.clone().build(deps);
        driver_index.check().await?;
        Ok(driver_index)
    }

    /// Builds every component and gives what handlers use and what is done beside them.
    fn assemble(
        &self,
        settings: &Settings,
        policies: Start,
        driver_index: DriverIndex,
        inbox: RelayInbox,
        ready: Readiness,
    ) -> Result<(Api, Work), Box<dyn Error>> {
        let (rides, auth) = (Arc::new(settings.rides.clone()), Arc::new(settings.auth.clone()));
        let pricing = Arc::new(settings.pricing.clone());
        let area = pricing.area().ok_or("pricing.area is not a box")?;
        let shards = || self.shards.clone();
        let positions = Positions::default();
        let drive_ride =
            Arc::new(DriveRide { config: rides.clone(), shards: shards(), driver_index: driver_index.clone() });
        let end_ride = Arc::new(EndRide { config: rides.clone(), shards: shards() });
        let report_location = Arc::new(ReportLocation { positions: positions.clone() });

        let sandbox = || Sandbox::new(settings.sandbox.clone(), self.entropy.clone());
        let sandbox = settings.sandbox.enabled.then(sandbox).transpose()?;
        let partners = self.partners(settings, sandbox.as_ref());
        let fleet = sandbox.map(|sandbox| {
            let (drive, end, report) = (drive_ride.clone(), end_ride.clone(), report_location.clone());
            sandbox.fleet(shards(), drive, end, report, self.clock.clone())
        });
        let (at_first, seed) = (policies.policies.clone(), self.entropy.bytes());
        let admission = Arc::new(Admission::build(&settings.traffic, at_first, seed, &self.registry)?);
        let policies = Arc::new(Keeper::new(admission.clone(), policies, self.clock.now()));
        let relay = relay::Relay {
            config: Arc::new(settings.relay.clone()),
            rides: rides.clone(),
            shards: shards(),
            payments: partners.payments.clone(),
            dispatch: partners.dispatch.clone(),
            clock: self.clock.clone(),
        };
        let consistency = settings.consistency.clone().build(&self.shards, self.clock.clone());
        let background = background::Deps {
            supervisor: self.supervisor.clone(),
            shards: shards(),
            clock: self.clock.clone(),
            driver_index,
            time_out: TimeOutRides { config: rides.clone(), shards: shards() },
            admission: admission.clone(),
            started: self.started,
            positions: positions.clone(),
            waker: self.waker.clone(),
            consistency: consistency.clone(),
        };
        let api = Api {
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            keys: self.keys.clone(),
            shards: shards(),
            admission,
            policies: policies.clone(),
            started: self.started,
            metrics: edge::Metrics::build(&self.registry)?,
            registry: self.registry.clone(),
            supervisor: self.supervisor.clone(),
            ready,
            ride_states: RideStatesBody::new(&rides.timeouts()),
            positions: positions.clone(),
            sandbox: fleet.as_ref().map(Fleet::control),
            request_code: RequestCode {
                config: auth.clone(),
                keys: self.keys.clone(),
                entropy: self.entropy.clone(),
                shards: shards(),
                sms: partners.sms,
            },
            sign_in: SignIn { config: auth.clone(), keys: self.keys.clone(), shards: shards() },
            refresh: Refresh { config: auth, keys: self.keys.clone(), shards: shards() },
            sign_out: SignOut { shards: shards() },
            change_profile: ChangeProfile { keys: self.keys.clone(), shards: shards() },
            quote_trip: QuoteTrip {
                config: settings.quotes.clone(),
                pricing: pricing.clone(),
                area,
                routing: partners.routing,
                shards: shards(),
            },
            request_ride: RequestRide {
                config: rides.clone(),
                entropy: self.entropy.clone(),
                shards: shards(),
                in_flight: InFlight::default(),
            },
            cancel_ride: CancelRide {
                config: rides,
                fee_cap: pricing.cancellation_fee,
                keys: self.keys.clone(),
                shards: shards(),
            },
            follow_ride: FollowRide { shards: shards(), signals: self.ride_signals.clone(), positions },
            read_receipt: ReadReceipt { shards: shards() },
            rate_ride: RateRide { shards: shards() },
            drive_ride,
            end_ride,
            report_location,
            driver_history: DriverHistory { shards: shards() },
            requeue_dead_letter: RequeueDeadLetter { shards: shards() },
            consistency,
        };
        let watch = Watch {
            keeper: policies,
            reload_ms: settings.traffic.reload_ms,
            clock: self.clock.clone(),
            started: self.started,
        };
        Ok((api, Work { relay, inbox, fleet, background, watch }))
    }

    fn partners(&self, settings: &Settings, sandbox: Option<&Sandbox>) -> Partners {
        let routing = settings.routing.clone().build();
        match sandbox {
            Some(sandbox) => Partners {
                sms: sandbox.sms(),
                routing: sandbox.wrap_routing(routing),
                dispatch: sandbox.dispatch(),
                payments: sandbox.payments(),
            },
            None => {
                tracing::warn!(
                    "no SMS, dispatch or payment partner is configured: sign-in codes and new rides wait for one, \
                     everything else is served"
                );
                let none = Arc::new(adapter_partner::Unconfigured);
                Partners { sms: none.clone(), routing, dispatch: none.clone(), payments: none }
            }
        }
    }
}
