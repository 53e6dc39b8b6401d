//! Rows 1 to 3: processor time of one request through the whole gateway against a peer on the same core, round by round.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use tokio::process::Command;

use super::{
    Run,
    bare::{Bare, Sent},
    generator::{Call, Connections, Tally},
    nginx::Nginx,
    table::{Hold, Row, Table},
};
use crate::{client::Client, clock, gateway::Gateway, process::Process, report::Spread};

/// Connections, each with one request under way.
const CONNECTIONS: usize = 32;
/// Accepted, it touches no database: what is measured is the way in and out.
const PATH: &str = "/v1/ride-states";
const AGAINST_NGINX: Hold = Hold::at_most(1.0, 1.25, "×");
const AGAINST_BARE: Hold = Hold::at_most(1.1, 1.3, "×");
const AGAINST_BARE_WITH_TOKEN: Hold = Hold::at_most(1.25, 1.6, "×");
/// One request, then nothing for a day: decision 1 refuses everybody else.
const REFUSE: &str = r#"
[[policy]]
name = "address"
key = "address"
quota = 1
window_s = 86400
"#;
/// Which kind of accepted request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// The address, its class and everybody are limited.
    Anonymous,
    /// A passenger and a device too.
    WithToken,
}

/// Row 1.
///
/// # Errors
/// In words.
pub(crate) async fn refusal(run: &Run, table: &mut Table) -> Result<(), String> {
    let (folder, file) = (run.places.folder("refusing"), run.places.folder("refusing.toml"));
    fs::write(&file, REFUSE).map_err(|e| format!("{}: {e}", file.display()))?;
    let gateway = start(run, &folder, &[("GATEWAY__TRAFFIC__POLICIES", &file.to_string_lossy())]).await?;
    let ours = Side::new(gateway.process.clone(), call(gateway.public, 429, &[]));
    // The one that is admitted, so that the next answer is what all others are.
    ours.call.once(|_| ())?;
    let headers = ours.call.once(|answer| answer.headers())?;
    let nginx = Nginx::start(&run.cores, &run.places.folder("nginx"), &headers).await?;
    let theirs = Call { once: Some(200), ..call(nginx.address, 429, &[]) };
    let profiled = ours.clone();
    let [ours, theirs] = rounds(run, [ours, Side::new(nginx.worker.clone(), theirs)]).await?;
    profiled.profile(run, "refusal").await?;
    gateway.stop().await?;
    let what = "CPU of a 429, whole gateway, all headers";
    note(table, what, [("gateway", &ours), (&nginx.version, &theirs)]);
    table.add(Row::ratio(what, AGAINST_NGINX, "µs", ours.us, "nginx `limit_req`", theirs.us));
    Ok(())
}

/// Rows 2 and 3.
///
/// # Errors
/// In words.
pub(crate) async fn accepted(run: &Run, kind: Accepted, table: &mut Table) -> Result<(), String> {
    let (name, with, hold) = match kind {
        Accepted::Anonymous => ("accepted", "", AGAINST_BARE),
        Accepted::WithToken => ("token", " with a token", AGAINST_BARE_WITH_TOKEN),
    };
    let gateway = start(run, &run.places.folder(name), &[]).await?;
    let tokens = match kind {
        Accepted::Anonymous => Vec::new(),
        Accepted::WithToken => Client::new(gateway.url())?.tokens(CONNECTIONS).await?,
    };
    let ours = Side::new(gateway.process.clone(), call(gateway.public, 200, &tokens));
    let sent = ours.call.once(|answer| Sent {
        path: PATH.to_owned(),
        headers: content_headers(answer.headers()),
        body: String::from_utf8_lossy(answer.body).into_owned(),
    })?;
    let bare = Bare::start(&run.cores, &run.places.folder(&format!("{name}.json")), &sent).await?;
    // It reads no token, but the same bytes come in.
    let theirs = call(([127, 0, 0, 1], bare.port).into(), 200, &tokens);
    let same = theirs.once(|answer| answer.body == sent.body.as_bytes())?;
    if !same {
        return Err("the bare server does not send the gateway's body".to_owned());
    }
    let profiled = ours.clone();
    let [ours, theirs] = rounds(run, [ours, Side::new(bare.process.clone(), theirs)]).await?;
    profiled.profile(run, name).await?;
    gateway.stop().await?;
    let what = format!("CPU of an accepted `GET {PATH}`{with}, all tiers on");
    note(table, &what, [("gateway", &ours), ("bare actix-web", &theirs)]);
    table.add(Row::ratio(&what, hold, "µs", ours.us, "bare actix-web", theirs.us));
    Ok(())
}

/// A gateway on the server's core, without an access log.
async fn start(run: &Run, folder: &Path, settings: &[(&str, &str)]) -> Result<Gateway, String> {
    let quiet = [("GATEWAY__HTTP__ACCESS_LOG", "false"), ("GATEWAY__RUNTIME__LOG", "warn")];
    let settings: Vec<_> = settings.iter().copied().chain(quiet).collect();
    Gateway::launch(run.cores.server(&run.places.gateway), folder, &settings).await
}

/// The same bytes to both sides, but for the port; with tokens, one on each connection.
fn call(address: SocketAddr, status: u16, tokens: &[String]) -> Call {
    let request = |number: usize| {
        let token = tokens.get(number).map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        format!(
            "GET {PATH} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench\r\nAccept: application/json\r\n{token}\r\n"
        )
    };
    Call { address, requests: (0..CONNECTIONS).map(request).collect(), status, once: None }
}

/// What belongs to the answer itself: neither what every server adds nor what only the gateway has to say.
fn content_headers(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let others = ["connection", "content-length", "date", "ratelimit", "ratelimit-policy", "x-request-id"];
    headers.into_iter().filter(|(name, _)| !others.contains(&name.as_str())).collect()
}

/// One of the two that are compared.
#[derive(Clone)]
struct Side {
    process: Process,
    call: Call,
}

/// What one side did, round by round.
#[derive(Default)]
struct Figures {
    /// Processor time of a request, microseconds.
    us: Vec<f64>,
    /// Share of its core that the process used.
    busy: Vec<f64>,
    /// Answers a second.
    rate: Vec<f64>,
    /// Mean length of an answer, bytes.
    bytes: f64,
}

impl Side {
    fn new(process: Process, call: Call) -> Self {
        Self { process, call }
    }

    /// One round: fresh connections, warm, then measured. Blocks.
    fn round(&self, warm: Duration, time: Duration) -> Result<(Tally, Duration, Duration), String> {
        let mut connections = Connections::open(&self.call)?;
        connections.warm_up(warm)?;
        let (before, began) = (self.process.cpu()?, clock::now());
        let tally = connections.measure(time)?;
        Ok((tally, self.process.cpu()?.saturating_sub(before), began.elapsed()))
    }
}

impl Side {
    /// Where the time goes, if that was asked for: beside the rounds, because `perf` takes time too.
    async fn profile(self, run: &Run, row: &str) -> Result<(), String> {
        if !run.profile {
            return Ok(());
        }
        let file = run.places.out.join(format!("traffic-{row}.perf.data"));
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "-F", "997", "-g", "--pid", &self.process.id(), "--output"]).arg(&file);
        let mut perf = perf.args(["--", "sleep", "3"]).kill_on_drop(true).spawn().map_err(|e| format!("perf: {e}"))?;
        let work = move || Connections::open(&self.call)?.measure(Duration::from_secs(4));
        tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())??;
        let ended = perf.wait().await.map_err(|e| e.to_string())?;
        if !ended.success() {
            return Err(format!("perf record ended with {ended}"));
        }
        eprintln!("bench: perf report --input {}", file.display());
        Ok(())
    }
}

async fn rounds(run: &Run, sides: [Side; 2]) -> Result<[Figures; 2], String> {
    let (warm, time) = if run.quick { (200, 500) } else { (500, 3000) };
    let (warm, time) = (Duration::from_millis(warm), Duration::from_millis(time));
    let (rounds, mut figures) = (run.rounds, <[Figures; 2]>::default());
    // The generator waits in system calls: not on a thread of the runtime.
    let work = tokio::task::spawn_blocking(move || {
        for round in 0..rounds {
            // Who begins changes.
            for who in [round % 2, 1 - round % 2] {
                let (tally, cpu, wall) = sides[who].round(warm, time)?;
                let (answers, figures) = (tally.answers() as f64, &mut figures[who]);
                figures.us.push(cpu.as_secs_f64() * 1e6 / answers);
                figures.busy.push(cpu.as_secs_f64() / wall.as_secs_f64() * 100.0);
                figures.rate.push(answers / wall.as_secs_f64());
                figures.bytes = tally.bytes as f64 / answers;
            }
        }
        Ok(figures)
    });
    work.await.map_err(|e| e.to_string())?
}

/// Whether both sides were at work all the time, and what they sent.
fn note(table: &mut Table, what: &str, sides: [(&str, &Figures); 2]) {
    let sides = sides.map(|(name, figures)| {
        let [busy, rate] = [&figures.busy, &figures.rate].map(|each| Spread::of(each.clone()).median);
        format!("{name} {busy:.0} % of its core, {rate:.0} a second, {:.0} bytes an answer", figures.bytes)
    });
    table.note(format!("{what}: {}.", sides.join("; ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_its_own_passenger_and_otherwise_the_same_request() {
        let address = ([127, 0, 0, 1], 80).into();
        let anonymous = call(address, 429, &[]);
        assert_eq!(anonymous.requests.len(), CONNECTIONS);
        assert!(anonymous.requests.iter().all(|request| *request == anonymous.requests[0]));
        assert!(anonymous.requests[0].starts_with("GET /v1/ride-states HTTP/1.1\r\n"));
        assert!(anonymous.requests[0].ends_with("\r\n\r\n") && !anonymous.requests[0].contains("Authorization"));
        let tokens: Vec<String> = (0..CONNECTIONS).map(|number| format!("t{number}")).collect();
        assert!(call(address, 200, &tokens).requests[7].contains("\r\nAuthorization: Bearer t7\r\n"));
    }

    #[test]
    fn the_peer_gets_the_answers_own_headers_only() {
        let header = |name: &str| (name.to_owned(), "x".to_owned());
        let of_both =
            content_headers(["date", "content-type", "ratelimit", "x-content-type-options"].map(header).into());
        assert_eq!(of_both, ["content-type", "x-content-type-options"].map(header));
    }
}
