//! `loadtest replay`: a day's trips, as many at once as allowed, and what became of them.

use std::{
    collections::VecDeque,
    convert::Infallible,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    api::Request,
    audit::audit,
    client::Client,
    kills::{self, Due},
    money::{Statement, reconcile},
    options::Options,
    outage::{Halt, Why},
    passenger::{Passenger, Phones},
    progress,
    promises::Kind,
    report::{Course, Report},
    stage::Stage,
    tally::Ending,
    trip::{Context, Driven, drive},
    trips::{Pace, Schedule},
    verdict,
    wire::Transitions,
};

/// How long the look at everything at the end may take.
const AUDIT_WITHIN: Duration = Duration::from_secs(180);
/// After the last kill was due, trips still begin for so long.
const PAST_LAST_KILL: Duration = Duration::from_secs(5);
/// So many trips in a row that gave up, and there is no point in going on.
const HOPELESS: u32 = 50;

/// Runs the replay; whether every promise was kept. It comes to an early end at `interrupt`.
///
/// # Errors
/// Why it could not run, in words.
pub(crate) async fn run(options: Options, interrupt: Halt) -> Result<bool, String> {
    let trips = options.trip_count();
    let kills = match options.kills {
        Some(count) => kills::at_random(count, options.seed),
        None => kills::at_shares(&options.kill_at, trips),
    };
    let pace = match (options.kills, options.speed) {
        (Some(_), _) => Pace::Even(kills::span(&kills) + PAST_LAST_KILL),
        (None, Some(speed)) => Pace::Rhythm(speed),
        (None, None) => Pace::AtOnce,
    };
    let schedule = Schedule::load(options.trips.as_deref(), trips, options.seed, pace)?;
    let mut stage = None;
    if let Some(binary) = &options.server {
        let start = interrupt.guard(Stage::start(binary, &options)).await;
        stage = Some(start.map_err(|_| Why::Interrupted.to_string())??);
    }
    let url = stage.as_ref().map_or_else(|| options.url.clone(), |stage| stage.server.url());
    let options = Options { url, ..options };
    let report = replay(&options, &schedule, &kills, stage.as_mut(), &interrupt).await?;
    if let Some(stage) = &mut stage
        && !report.is_clean()
    {
        stage.server.keep_folder();
    }
    match interrupt.why() {
        Some(why) => Err(why.to_string()),
        None => Ok(report.is_clean()),
    }
}

async fn replay(
    options: &Options,
    schedule: &Schedule,
    kills: &[Due],
    mut stage: Option<&mut Stage>,
    interrupt: &Halt,
) -> Result<Report, String> {
    let transitions = prepare(options, stage.is_none(), interrupt).await?;
    let halt = Halt::new();
    let cx = Arc::new(Context {
        client: Client::new(&options.url, halt.clone())?,
        transitions,
        phones: Phones::new(rand::random()),
        seed: options.seed,
        tag: format!("replay-{:016x}", rand::random::<u64>()),
        ride_bound: options.ride_bound(schedule.longest()),
        cancel_every: options.cancel_every(),
    });
    let (client, total, began) = (&cx.client, schedule.trips.len(), Instant::now());
    let (ended, seen) = watch::channel(0);
    let trips = async {
        let attending = async {
            match stage.as_deref_mut() {
                Some(stage) => kills::attend(client, kills, stage, seen).await,
                None => 0,
            }
        };
        tokio::join!(drive_all(&cx, schedule, options.concurrency, ended), attending)
    };
    let (driven, kills) = tokio::select! {
        (driven, kills) = trips => (driven?, kills),
        never = watchdog(&halt, interrupt, Duration::from_secs(options.deadline)) => match never {},
        never = progress::show(client, total as u64) => match never {},
    };
    progress::end();
    let mut course =
        Course { trips: total, not_begun: driven.not_begun, took: began.elapsed(), kills, ..Course::default() };
    course.why = halt.why();
    if driven.not_begun > 0 && course.why == Some(Why::Deadline) {
        client.promises.broken(Kind::OutOfTime, None, format!("{} trips never began", driven.not_begun));
    }
    if course.why != Some(Why::Interrupted) {
        for (kind, ride, detail) in verdict::judge(total, &driven.passengers, !options.keep_fleet) {
            client.promises.broken(kind, ride.as_deref(), detail);
        }
    }
    if matches!(course.why, None | Some(Why::Deadline)) {
        let statement = stage.as_ref().map(|stage| stage.server.statement());
        look_at_all(&cx, driven.passengers, statement.as_deref(), interrupt, &mut course).await;
    }
    if let Some(stage) = stage
        && course.why != Some(Why::ServerGone)
    {
        close(client, stage, &mut course).await;
    }
    let report = Report::new(options.clone(), client, course);
    report.print();
    if let Some(file) = &options.json {
        report.write_json(file)?;
    }
    Ok(report)
}

/// Learns the transition table and sets the fleet of a server that is not the replay's own. Its failures are reasons not
/// to run, no broken promises.
async fn prepare(options: &Options, set_fleet: bool, interrupt: &Halt) -> Result<Transitions, String> {
    let client = Client::new(&options.url, interrupt.clone())?;
    let failed = |what: &str| {
        let list = client.promises.list();
        let detail = list.values().flat_map(|c| &c.examples).next().map(|c| c.detail.clone()).unwrap_or_default();
        interrupt.why().map_or_else(|| format!("{}: {what}: {detail}", options.url), |why| why.to_string())
    };
    let states = Request::states();
    let answer = client.send(&states).await.map_err(|_| failed("no gateway answers"))?;
    let transitions = client.read(&states, &answer, 200).map_err(|_| failed("no table of transitions"))?;
    if set_fleet && !options.keep_fleet {
        let fleet = Request::fleet(options.fleet(), options.time_scale, options.accept_probability);
        let answer = client.send(&fleet).await.map_err(|_| failed("the sandbox's fleet"))?;
        if answer.status != 204 {
            let _ = client.unexpected(&fleet, &answer);
            return Err(failed("the sandbox's fleet could not be set (is the sandbox on? --keep-fleet leaves it)"));
        }
    }
    Ok(transitions)
}

/// What is left when no trip is under way any more.
struct Over {
    passengers: Vec<Passenger>,
    not_begun: usize,
}

/// Drives every trip when it is due; tells `ended` how many have ended.
async fn drive_all(
    cx: &Arc<Context>,
    schedule: &Schedule,
    concurrency: u32,
    ended: watch::Sender<usize>,
) -> Result<Over, String> {
    let (began, halt, total) = (Instant::now(), &cx.client.halt, schedule.trips.len());
    let mut under_way = JoinSet::new();
    let (mut free, mut retired) = (VecDeque::new(), Vec::new());
    let (mut next, mut hopeless) = (0, 0);
    loop {
        let halted = halt.why().is_some();
        let room = !halted && next < total && under_way.len() < concurrency as usize;
        let wait = schedule.due(next).saturating_sub(began.elapsed());
        if room && wait.is_zero() {
            let passenger = free.pop_front().unwrap_or_else(|| Passenger::new(&cx.phones));
            cx.client.tally.counts().under_way += 1;
            under_way.spawn(drive(cx.clone(), next, schedule.trips[next].clone(), passenger));
            next += 1;
            continue;
        }
        if under_way.is_empty() && !room {
            retired.extend(free);
            return Ok(Over { passengers: retired, not_begun: total - next });
        }
        tokio::select! {
            Some(driven) = under_way.join_next() => {
                let driven: Driven = driven.map_err(|e| format!("a defect of this tool: {e}"))?;
                let mut counts = cx.client.tally.counts();
                counts.under_way -= 1;
                *counts.endings.entry(driven.ending).or_default() += 1;
                drop(counts);
                ended.send_modify(|n| *n += 1);
                hopeless = if driven.ending == Ending::GaveUp { hopeless + 1 } else { 0 };
                if hopeless == HOPELESS {
                    halt.stop(Why::ServerGone);
                }
                if driven.is_free() { free.push_back(driven.passenger) } else { retired.push(driven.passenger) }
            }
            () = tokio::time::sleep(wait), if room => {}
            () = halt.stopped(), if !halted => {}
        }
    }
}

/// Asks the gateway whether its data agrees with itself, stops it, and has its file looked at.
async fn close(client: &Client, stage: &mut Stage, course: &mut Course) {
    let broken = |kind, detail: &str| client.promises.broken(kind, None, detail);
    if course.why.is_none() {
        if let Err(detail) = stage.server.consistency().await {
            broken(Kind::IndexDiffers, &detail);
        } else {
            course.is_consistent = true;
        }
    }
    if let Err(detail) = stage.stop().await {
        broken(Kind::ServerProcess, &detail);
    }
    if stage.is_one_file() {
        course.integrity = stage.server.integrity().await;
        if let Some(said) = course.integrity.as_ref().filter(|said| *said != "ok") {
            broken(Kind::DatabaseDamaged, said);
        }
    }
    course.starts = stage.server.starts.clone();
}

/// The audit of everybody, under a bound of its own, and of the money.
async fn look_at_all(
    cx: &Context,
    passengers: Vec<Passenger>,
    statement: Option<&Path>,
    interrupt: &Halt,
    course: &mut Course,
) {
    let halt = Halt::new();
    let client = cx.client.until(halt.clone());
    let people = passengers.iter().filter(|p| p.signed_in()).count();
    let open = passengers.iter().flat_map(|p| &p.rides).filter(|ride| ride.end.is_none()).count();
    let unsure = passengers.iter().filter(|p| p.unsure).count() + open;
    let bills = tokio::select! {
        bills = audit(&client, &cx.transitions, passengers) => bills,
        never = watchdog(&halt, interrupt, AUDIT_WITHIN) => match never {},
    };
    course.histories = bills.len();
    if bills.len() < people {
        if let Some(why) = halt.why() {
            let detail = format!("{} of {people} passengers were not looked at again: {why}", people - bills.len());
            client.promises.broken(Kind::OutOfTime, None, detail);
        }
        // The money of those who were looked at proves nothing about the rest.
        return;
    }
    let statement = statement.map(Statement::read).transpose();
    let broken = |kind, detail| client.promises.broken(kind, None, detail);
    match statement {
        Ok(statement) => {
            let (sums, breaches) = reconcile(&bills.concat(), statement.as_ref(), unsure);
            breaches.into_iter().for_each(|(kind, detail)| broken(kind, detail));
            course.money = Some(sums);
        }
        Err(detail) => broken(Kind::MoneyDiffers, format!("no statement of the bank: {detail}")),
    }
}

/// Stops everybody at the deadline or when the replay is interrupted; never ends.
async fn watchdog(halt: &Halt, interrupt: &Halt, deadline: Duration) -> Infallible {
    let why = tokio::select! {
        () = tokio::time::sleep(deadline) => Why::Deadline,
        () = interrupt.stopped() => Why::Interrupted,
    };
    halt.stop(why);
    std::future::pending().await
}
