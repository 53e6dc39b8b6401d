//! A run from its preparation to its outcome: passengers sign in, the capacity is measured, the load is sent, and what is only
//! known afterwards is looked at.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    arrivals::Arrivals,
    book::Book,
    calibrate::{SKEW, measure as capacity},
    crowd::Crowd,
    engine::Engine,
    kinds, live,
    measure::{self, Remains},
    metronome,
    observe::{self, Sights, cpu_seconds},
    options::RunOptions,
    outcome::{Calibration, Outcome, Refusals},
    pin, refusals,
    scenario::{Role, Scenario},
    sign_in, spray,
    target::Target,
};
use crate::trips::{Pace, Schedule, Trip};

/// From the decision to begin to the first arrival that can be due.
const HEAD_START: Duration = Duration::from_millis(200);
/// After a run, before its capacity is measured again: what the server still has to do ends.
const CALM: Duration = Duration::from_secs(3);
/// Passengers at the end, as a multiple of those at the beginning: who signs in during the run joins.
const GROWTH: usize = 2;

/// The run itself, from the server's start to the outcome without checks; the caller stops `target`.
///
/// # Errors
/// Why it could not run, in words.
pub(super) async fn drive(options: &RunOptions, scenario: &Scenario, target: &mut Target) -> Result<Outcome, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = u32::try_from(cores).unwrap_or(u32::MAX);
    if options.pin {
        pin::generator(cores).await?;
        pin::stay_awake();
    }
    *target = Target::reach(options, scenario).await?;
    let mut notes = Vec::new();
    let (routes, routes_from) = target.routes(&mut notes).await?;
    let policies = target.policies(&mut notes).await;
    let trips = Schedule::load(None, usize::MAX, options.seed, Pace::AtOnce)?.trips;
    let mix = scenario.mix()?;
    let mixes = scenario.phase.iter().map(|phase| {
        let (from, to) = phase.rates(1.0);
        let share = phase.priority_0_at_most.map(|most| most / ((from + to) / 2.0).max(f64::MIN_POSITIVE));
        share.map_or_else(|| mix.clone(), |share| mix.with_priority_0_at_most(share, &routes))
    });
    let mixes: Vec<_> = mixes.collect();
    let engine = engine(options, scenario, target, routes, mixes, &trips);
    if scenario.passengers > 0 && mix.needs_passengers() {
        live::say(&format!("{} passengers sign in", scenario.passengers));
        sign_in::sign_in(&engine, scenario.passengers, sign_in::PATIENCE, live::renew).await?;
    }
    let (base, calibration) = base(options, scenario, target, &engine, &mix).await?;
    let began_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let sights = Sights::default();
    let start = Instant::now() + HEAD_START;
    engine.state().book = book(scenario, &engine, start);
    let own = (cpu_seconds(std::process::id()), Instant::now());
    let phases = ends(scenario);
    let keys_sent = tokio::select! {
        keys = load(&engine, scenario, &trips, base.0, options, start) => keys?,
        () = sights.watch(&target.whom, start) => 0,
        never = live::show(&engine, &sights, &phases, start) => match never {},
    };
    let took = start.elapsed();
    // One more look, for what happened since the last.
    let last = observe::look(&target.whom, start).await;
    sights.list().push(last);
    let generator_cores = cpu_seconds(std::process::id()).zip(own.0);
    let generator_cores = generator_cores.map(|(now, then)| (now - then) / own.1.elapsed().as_secs_f64());
    let calibration_after = match calibration {
        Some(_) => after(scenario, target, &engine, &mut notes).await?,
        None => None,
    };
    let refusals = match calibration_after {
        Some(_) if !scenario.control => refusals(target, &mut notes).await,
        _ => None,
    };
    Ok(measure::outcome(Remains {
        scenario,
        engine: &engine,
        sights: &sights,
        server: target.facts(cores, options.pin, routes_from),
        base,
        calibration,
        calibration_after,
        refusals,
        policies,
        seed: options.seed,
        began_unix_s,
        generator_cores,
        keys_sent,
        took,
        notes,
    }))
}

fn engine(
    options: &RunOptions,
    scenario: &Scenario,
    target: &Target,
    routes: kinds::Routes,
    mixes: Vec<kinds::Mix>,
    trips: &[Trip],
) -> Arc<Engine> {
    let most = scenario.passengers as usize * GROWTH;
    let hot = scenario.hot.as_ref().map(|hot| hot.times);
    let crowd = Crowd::new(scenario.sources, most, hot, trips.to_vec().into(), rand::random());
    let book = Book::new(Instant::now(), mixes.len().max(1), None);
    let mut engine = Engine::new(
        target.public,
        Duration::from_millis(scenario.deadline_ms),
        scenario.max_in_flight,
        routes,
        mixes,
        scenario.retry.clone(),
        scenario.sources,
        (crowd, book, options.seed),
    );
    if let Some(retry) = &scenario.retry {
        engine.until = Duration::from_secs_f64(scenario.seconds() + retry.until_s);
    }
    Arc::new(engine)
}

/// What a rate of 1 stands for.
async fn base(
    options: &RunOptions,
    scenario: &Scenario,
    target: &Target,
    engine: &Arc<Engine>,
    mix: &kinds::Mix,
) -> Result<((f64, &'static str), Option<Calibration>), String> {
    if !scenario.is_relative() {
        return Ok(((options.rate.unwrap_or(1.0), "given"), None));
    }
    if let Some(rate) = options.rate {
        return Ok(((rate, "given"), None));
    }
    live::say("the capacity is measured, some 20 seconds");
    let found = capacity(engine, mix, target.whom.pid).await?;
    live::say(&format!("capacity {:.0} requests a second", found.goodput));
    Ok(((found.goodput, "measured"), Some(found)))
}

/// The capacity once more, with the mix that the peak accepted; its requests are not in the book.
async fn after(
    scenario: &Scenario,
    target: &Target,
    engine: &Arc<Engine>,
    notes: &mut Vec<String>,
) -> Result<Option<Calibration>, String> {
    let Some(peak) = scenario.phase.iter().position(|phase| phase.role == Role::Peak) else { return Ok(None) };
    let accepted = engine.state().book.accepted[peak];
    let weights = kinds::Kind::ALL.into_iter().map(|kind| (kind, accepted[kind.index()] as f64)).collect();
    // Nothing was accepted: there is no mix to measure.
    let Ok(mix) = kinds::Mix::of(&weights) else { return Ok(None) };
    live::end();
    live::say("the capacity is measured once more, with what the peak accepted");
    tokio::time::sleep(CALM).await;
    let redrawn = engine.state().book.redrawn;
    let found = capacity(engine, &mix, target.whom.pid).await?;
    engine.state().book.redrawn = redrawn;
    if found.skew > SKEW {
        let percent = found.skew * 100.0;
        notes.push(format!(
            "the capacity with what the peak accepted: {percent:.0} % of it were requests of other kinds"
        ));
    }
    Ok(Some(found))
}

/// What a refusal costs; none without the server's process. A note says why when it could not be told.
async fn refusals(target: &Target, notes: &mut Vec<String>) -> Option<Refusals> {
    let pid = target.whom.pid?;
    live::say("the cost of a refusal is measured, 3 seconds");
    let found = refusals::measure(target.public, pid).await;
    if found.cpu_us.is_none() {
        let Refusals { requests, refused, .. } = found;
        notes.push(format!(
            "the cost of a refusal, and with it the bound, was not measured: of {requests} requests from one address \
             {refused} were refused, nine of ten are needed"
        ));
    }
    Some(found)
}

fn book(scenario: &Scenario, engine: &Engine, start: Instant) -> Book {
    let people = scenario.hot.as_ref().map(|_| engine.state().crowd.len());
    let mut book = Book::new(start, engine.mixes.len().max(1), people);
    book.keeps_admitted = scenario.spray.is_none();
    book
}

/// Names and ends of the phases, for the progress line.
fn ends(scenario: &Scenario) -> Vec<(String, f64)> {
    let mut end = 0.0;
    let phases = scenario.phase.iter().map(|phase| {
        end += phase.seconds;
        (phase.name.clone(), end)
    });
    let spray = scenario.spray.iter().map(|spray| ("spray".to_owned(), spray.within_s));
    phases.chain(spray).collect()
}

/// Sends everything; how many keys were sprayed.
async fn load(
    engine: &Arc<Engine>,
    scenario: &Scenario,
    trips: &[Trip],
    base: f64,
    options: &RunOptions,
    start: Instant,
) -> Result<u64, String> {
    if let Some(plan) = &scenario.spray {
        return Ok(spray::spray(engine, plan, start).await);
    }
    let arrivals = Arrivals::new(scenario.stretches(base, trips), scenario.arrivals, options.seed);
    if options.pin {
        engine.run(metronome::start_awake(arrivals, start)).await;
        return Ok(0);
    }
    let (receiver, thread) = metronome::start(arrivals, start)?;
    engine.run(receiver).await;
    thread.join().map_err(|_| "a defect of this tool: the metronome broke")?;
    Ok(0)
}
