//! `loadtest replay`: a day's trips, as many at once as allowed, and what became of them.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    api::Request,
    audit::audit,
    client::Client,
    options::Options,
    outage::{Halt, Why},
    passenger::{Passenger, Phones},
    progress,
    promises::Kind,
    report::{Course, Report},
    server::Server,
    tally::Ending,
    trip::{Context, Driven, drive},
    trips::Schedule,
    verdict::Day,
    wire::Transitions,
};

/// How long the look at everything at the end may take.
const AUDIT_WITHIN: Duration = Duration::from_secs(180);
/// So many trips in a row that gave up, and there is no point in going on.
const HOPELESS: u32 = 50;

/// Runs the replay; whether every promise was kept.
///
/// # Errors
/// Why it could not run, in words.
pub(crate) async fn run(options: Options) -> Result<bool, String> {
    let schedule = Schedule::load(options.trips.as_deref(), options.count as usize, options.seed, options.speed)?;
    let mut server = match &options.server {
        Some(binary) => Some(Server::start(binary).await?),
        None => None,
    };
    let outcome = replay(&options, &schedule, server.as_mut()).await;
    let Some(server) = server else { return outcome };
    if outcome == Ok(true) {
        server.remove_folder();
    } else {
        eprintln!("loadtest: the server's data and log are in {}", server.folder().display());
    }
    outcome
}

async fn replay(options: &Options, schedule: &Schedule, mut server: Option<&mut Server>) -> Result<bool, String> {
    let halt = Halt::new();
    let url = server.as_ref().map_or_else(|| options.url.clone(), |server| server.url());
    let transitions = prepare(options, &url).await?;
    let cx = Arc::new(Context {
        client: Client::new(&url, halt.clone())?,
        transitions,
        phones: Phones::new(rand::random()),
        seed: options.seed,
        tag: format!("replay-{:016x}", rand::random::<u64>()),
        ride_bound: options.ride_bound(schedule.longest()),
        check_every: options.check_every as usize,
    });
    let total = schedule.trips.len();
    let began = Instant::now();
    let (ended, seen) = watch::channel(0);
    let trips = async {
        let attending = attend(&cx, options, server.as_deref_mut(), seen, total);
        tokio::join!(drive_all(&cx, schedule, options.concurrency, ended), attending).0
    };
    let driven = tokio::select! {
        driven = trips => driven?,
        never = watchdog(&halt, Duration::from_secs(options.deadline)) => match never {},
        never = progress::show(&cx.client, total as u64) => match never {},
    };
    progress::end();
    let mut course =
        Course { trips: total, not_begun: driven.not_begun, took: began.elapsed(), histories: 0, why: halt.why() };
    let client = &cx.client;
    if driven.not_begun > 0 && course.why == Some(Why::Deadline) {
        client.promises.broken(Kind::OutOfTime, None, format!("{} trips never began", driven.not_begun));
    }
    if course.why != Some(Why::Interrupted) {
        for (kind, ride, detail) in Day::new(total, &driven.passengers).judge(!options.keep_fleet) {
            client.promises.broken(kind, ride.as_deref(), detail);
        }
    }
    if matches!(course.why, None | Some(Why::Deadline)) {
        course.histories = look_at_all(client, driven.passengers).await;
    }
    if let Some(server) = server
        && course.why != Some(Why::ServerGone)
        && let Err(detail) = server.stop().await
    {
        client.promises.broken(Kind::ServerProcess, None, detail);
    }
    let report = Report::new(Options { url, ..options.clone() }, client, &course);
    report.print();
    if let Some(file) = &options.json {
        report.write_json(file)?;
    }
    match course.why {
        Some(Why::Interrupted) => Err(Why::Interrupted.to_string()),
        _ => Ok(report.is_clean()),
    }
}

/// Learns the transition table and sets the fleet. Its failures are reasons not to run, no broken promises.
async fn prepare(options: &Options, url: &str) -> Result<Transitions, String> {
    let client = Client::new(url, Halt::new())?;
    let failed = |what: &str| {
        let list = client.promises.list();
        let detail = list.values().flat_map(|c| &c.examples).next().map(|c| c.detail.clone()).unwrap_or_default();
        format!("{url}: {what}: {detail}")
    };
    let states = Request::states();
    let answer = client.send(&states).await.map_err(|_| failed("no gateway answers"))?;
    let transitions = client.read(&states, &answer, 200).map_err(|_| failed("no table of transitions"))?;
    if let Some(fleet) = fleet(options) {
        let answer = client.send(&fleet).await.map_err(|_| failed("the sandbox's fleet"))?;
        if answer.status != 204 {
            let _ = client.unexpected(&fleet, &answer);
            return Err(failed("the sandbox's fleet could not be set (is the sandbox on? --keep-fleet leaves it)"));
        }
    }
    Ok(transitions)
}

fn fleet(options: &Options) -> Option<Request> {
    (!options.keep_fleet).then(|| Request::fleet(options.fleet(), options.time_scale, options.accept_probability))
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

/// Kills the server when its time has come and starts it again; notices when it ends by itself. Returns when all trips
/// are over.
async fn attend(
    cx: &Context,
    options: &Options,
    server: Option<&mut Server>,
    mut seen: watch::Receiver<usize>,
    total: usize,
) {
    let Some(server) = server else { return };
    let mut kills: Vec<usize> = options.kill_at.iter().map(|share| (share * total as f64).ceil() as usize).collect();
    kills.sort_unstable();
    let mut kills = kills.into_iter();
    loop {
        let target = kills.next().unwrap_or(usize::MAX);
        // What the wait gives is a lock on the count: held over the kill it would stop the trips that count on.
        let reached = async { seen.wait_for(|ended| *ended >= target).await.map(drop) };
        let failed = tokio::select! {
            reached = reached => match reached {
                Ok(()) => kill(cx, options, server).await,
                Err(_) => return,
            },
            status = server.ended() => Err(status),
        };
        if let Err(detail) = failed {
            cx.client.promises.broken(Kind::ServerProcess, None, detail);
            cx.client.halt.stop(Why::ServerGone);
            return;
        }
    }
}

async fn kill(cx: &Context, options: &Options, server: &mut Server) -> Result<(), String> {
    cx.client.outages.begin(Instant::now());
    let back = server.kill_and_start_again().await;
    // What the sandbox was told lasts until its end only.
    if let (Ok(()), Some(fleet)) = (&back, fleet(options))
        && let Ok(answer) = cx.client.send(&fleet).await
        && answer.status != 204
    {
        let _ = cx.client.unexpected(&fleet, &answer);
    }
    cx.client.outages.end(Instant::now());
    back
}

/// The audit of everybody, under a bound of its own.
async fn look_at_all(client: &Client, passengers: Vec<Passenger>) -> usize {
    let halt = Halt::new();
    let people = passengers.iter().filter(|p| p.signed_in()).count();
    let killed = client.outages.last_began();
    let client = client.until(halt.clone());
    let read = tokio::select! {
        read = audit(&client, passengers, killed) => read,
        never = watchdog(&halt, AUDIT_WITHIN) => match never {},
    };
    if read < people && halt.why().is_some() {
        let detail = format!("{} of {people} passengers were not looked at again at the end", people - read);
        client.promises.broken(Kind::OutOfTime, None, detail);
    }
    read
}

/// Stops everybody at the deadline or at Ctrl-C; never ends.
async fn watchdog(halt: &Halt, deadline: Duration) -> Infallible {
    let why = tokio::select! {
        () = tokio::time::sleep(deadline) => Why::Deadline,
        _ = tokio::signal::ctrl_c() => Why::Interrupted,
    };
    halt.stop(why);
    std::future::pending().await
}
