//! `loadtest run`: a scenario of load against a gateway, open loop, with a report and checks.
//!
//! Open loop means that requests are sent when they are due, however slow the answers come, as passengers do who know
//! nothing of each other. Latency counts from the moment a request was due.

mod arrivals;
mod book;
mod calibrate;
mod checks;
mod crowd;
mod engine;
mod errand;
mod figures;
mod groups;
mod http;
mod kinds;
mod limits;
mod live;
mod measure;
mod metronome;
mod observe;
mod options;
mod outcome;
mod pin;
mod refusals;
mod report;
mod scenario;
mod sign_in;
mod spray;
mod table;
mod target;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arrivals::Arrivals;
use book::Book;
use calibrate::measure as capacity;
use checks::Check;
use crowd::Crowd;
use engine::Engine;
use measure::Remains;
use observe::{Sights, cpu_seconds};
pub(crate) use options::{ReportOptions, RunOptions};
use outcome::{Calibration, Outcome};
use scenario::{Role, Scenario};
use target::Target;

use crate::{
    outage::Halt,
    trips::{Pace, Schedule, Trip},
};

/// From the decision to begin to the first arrival that can be due.
const HEAD_START: Duration = Duration::from_millis(200);
/// A capacity that was measured with so much of other kinds is noted.
const SKEW: f64 = 0.05;
/// After a run, before its capacity is measured again: what the server still has to do ends.
const CALM: Duration = Duration::from_secs(3);
/// Passengers at the end, as a multiple of those at the beginning: who signs in during the run joins.
const GROWTH: usize = 2;

/// Runs a scenario; whether every check held.
///
/// # Errors
/// Why it could not run, or why the run is not valid, in words.
pub(crate) async fn run(options: RunOptions, interrupt: Halt) -> Result<bool, String> {
    if options.list {
        list();
        return Ok(true);
    }
    let scenario = chosen(&options)?;
    let checks = if options.check.is_empty() { scenario.checks()? } else { options.check.clone() };
    let deadline = Duration::from_secs(options.deadline);
    let mut target = Target::default();
    let outcome = tokio::select! {
        outcome = drive(&options, &scenario, &mut target) => outcome,
        () = tokio::time::sleep(deadline) => Err(format!("the deadline of {} s has passed", deadline.as_secs())),
        () = interrupt.stopped() => Err("interrupted".to_owned()),
    };
    live::end();
    if outcome.is_err() {
        target.keep_folder();
    }
    target.stop().await;
    let mut outcome = outcome?;
    outcome.checks = checks.iter().map(|check: &Check| check.look(&outcome.figures, scenario.control)).collect();
    deliver(&outcome, &options)?;
    match outcome.validity.valid {
        true => Ok(!outcome.checks.iter().any(|check| check.failed())),
        false => Err(format!("the run is not valid: {}", outcome.validity.reasons.join("; "))),
    }
}

/// The report of an earlier run, from its JSON; always true, for what a run's checks said is in it.
///
/// # Errors
/// Why the file could not be read or the report not be written, in words.
pub(crate) fn report_again(options: &ReportOptions) -> Result<bool, String> {
    let wrong = |file: &Path, what: String| format!("{}: {what}", file.display());
    let text = std::fs::read_to_string(&options.file).map_err(|e| wrong(&options.file, e.to_string()))?;
    let outcome: Outcome = serde_json::from_str(&text).map_err(|e| wrong(&options.file, e.to_string()))?;
    std::fs::write(&options.html, report::html(&outcome)).map_err(|e| wrong(&options.html, e.to_string()))?;
    Ok(true)
}

#[allow(clippy::print_stdout, reason = "the list is what was asked for")]
fn list() {
    Scenario::list().for_each(|(name, about)| println!("{name:<18} {about}"));
}

/// The scenario with what the person changed about it.
fn chosen(options: &RunOptions) -> Result<Scenario, String> {
    let mut scenario = Scenario::load(options.scenario.as_deref().unwrap_or_default())?;
    if let Some(seconds) = options.seconds {
        scenario.stretch_to(seconds)?;
    }
    if let Some(passengers) = options.passengers {
        scenario.passengers = passengers;
    }
    if let (Some(keys), Some(spray)) = (options.keys, &mut scenario.spray) {
        spray.keys = keys;
    }
    scenario.control |= options.control;
    scenario.validate()?;
    if scenario.is_relative() && options.rate.is_none() && options.server.is_none() {
        return Err(
            "this scenario's rates are multiples: say of what with --rate, or let it be measured with --server".into(),
        );
    }
    if scenario.control && options.server.is_none() {
        return Err("only a server of this tool's own (--server) can have its shedding off".into());
    }
    Ok(scenario)
}

async fn drive(options: &RunOptions, scenario: &Scenario, target: &mut Target) -> Result<Outcome, String> {
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
async fn refusals(target: &Target, notes: &mut Vec<String>) -> Option<outcome::Refusals> {
    let pid = target.whom.pid?;
    live::say("the cost of a refusal is measured, 3 seconds");
    let found = refusals::measure(target.public, pid).await;
    if found.cpu_us.is_none() {
        let outcome::Refusals { requests, refused, .. } = found;
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

#[allow(clippy::print_stdout, reason = "the report is what this program is run for")]
fn deliver(outcome: &Outcome, options: &RunOptions) -> Result<(), String> {
    println!("{}", table::text(outcome));
    let write = |file: &Path, text: String| std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()));
    if let Some(file) = &options.json {
        write(file, serde_json::to_string_pretty(outcome).map_err(|e| e.to_string())? + "\n")?;
    }
    options.html.as_ref().map_or(Ok(()), |file| write(file, report::html(outcome)))
}
