//! Requests to the gateway against the same statements run directly through the driver, round by round.

use std::{fs, future::Future, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    client::{Client, Passenger, Ride},
    database::{self, Database},
    gateway::{Gateway, copy_database},
    main_flow::Places,
    peer::Work,
    process::Process,
    record::{Recorded, record},
    report::{Report, Row, Spread},
};

/// How many requests are under way at once.
const CONCURRENCY: [usize; 2] = [1, 16];
/// Requests that nobody counts, at the beginning.
const WARM_UP: usize = 16;
const POST_GOAL: f64 = 2.0;
const GET_GOAL: f64 = 3.0;
/// Drivers would move the rides on: without them, and with offers hours apart, a ride stays where dispatch has been asked. A
/// ride must not expire meanwhile, and the search for lost messages must find its rest.
pub(crate) const SETTINGS: [(&str, &str); 3] = [
    ("GATEWAY__SANDBOX__DRIVERS", "0"),
    ("GATEWAY__SANDBOX__TIME_SCALE", "0.001"),
    ("GATEWAY__RIDES__MATCH_TIMEOUT_S", "604800"),
];

/// How much is measured.
struct Size {
    rounds: usize,
    posts: usize,
    gets: usize,
}

/// What one side used for one request of each kind, by round; milliseconds of processor time.
#[derive(Default)]
struct Figures {
    posts: Vec<f64>,
    gets: Vec<f64>,
}

/// Checks that both sides execute the same, then measures them in turn.
///
/// # Errors
/// In words; also when the peer's statements are not the gateway's.
pub(crate) async fn run(places: &Places, quick: bool, report: &mut Report<Row>) -> Result<(), String> {
    let size =
        if quick { Size { rounds: 2, posts: 60, gets: 600 } } else { Size { rounds: 9, posts: 300, gets: 5000 } };
    let recorded = record(&places.gateway, &places.folder("recorded"), &SETTINGS).await?;
    if !recorded.differences.is_empty() {
        let list = recorded.differences.join("\n  ");
        return Err(format!("the peer does not execute what the gateway does; change `statements.rs`:\n  {list}"));
    }
    let mut arena = Arena::open(places, &size, recorded).await?;
    let mut figures: Vec<[Figures; 2]> = CONCURRENCY.iter().map(|_| Default::default()).collect();
    for round in 0..size.rounds {
        for (concurrency, [gateway, peer]) in CONCURRENCY.into_iter().zip(&mut figures) {
            // Who begins changes, so that neither always finds the disk and the caches as the other left them.
            if round % 2 == 0 {
                arena.measure_gateway(&size, concurrency, gateway).await?;
                arena.measure_peer(&size, concurrency, peer).await?;
            } else {
                arena.measure_peer(&size, concurrency, peer).await?;
                arena.measure_gateway(&size, concurrency, gateway).await?;
            }
        }
    }
    arena.note_idle(report).await?;
    arena.close().await?;
    for (concurrency, [gateway, peer]) in CONCURRENCY.into_iter().zip(figures) {
        let what = format!("`POST /v1/rides`, {concurrency} at a time");
        add(report, what, POST_GOAL, gateway.posts, peer.posts);
        let what = format!("`GET /v1/rides/{{id}}`, {concurrency} at a time");
        add(report, what, GET_GOAL, gateway.gets, peer.gets);
    }
    Ok(())
}

fn add(report: &mut Report<Row>, what: String, goal: f64, gateway: Vec<f64>, peer: Vec<f64>) {
    let ratio = Spread::of(gateway.iter().zip(&peer).map(|(gateway, peer)| gateway / peer).collect());
    let (gateway, peer) = (Spread::of(gateway), Spread::of(peer));
    report.add(Row {
        what: format!("CPU of {what}"),
        goal: format!("≤ {goal}×"),
        figure: format!("{}×; {} ms", ratio.text(2), gateway.text(3)),
        peer: format!("{} ms", peer.text(3)),
        judged: Some((ratio.median, goal)),
    });
}

/// Both sides, ready to be measured.
struct Arena {
    gateway: Gateway,
    client: Client,
    database: Database,
    passengers: std::vec::IntoIter<Passenger>,
    rides: Vec<Ride>,
    peer: Peer,
    peer_database: Database,
}

impl Arena {
    /// Passengers and quotes are made through the API; then the peer gets a copy of the database.
    async fn open(places: &Places, size: &Size, recorded: Recorded) -> Result<Self, String> {
        let (folder, count) = (places.folder("gateway"), WARM_UP + size.rounds * size.posts * CONCURRENCY.len());
        let gateway = Gateway::start(&places.gateway, &folder, &SETTINGS).await?;
        let passengers = Client::new(gateway.url())?.passengers(0, count).await?;
        gateway.stop().await?;
        let peer_file = copy_database(&folder, &places.folder("peer"))?;
        let work = Work {
            answer: recorded.stored_answer,
            passengers: passengers.iter().map(|passenger| (passenger.id, passenger.quote_id)).collect(),
        };
        let gateway = Gateway::start(&places.gateway, &folder, &SETTINGS).await?;
        let mut arena = Self {
            client: Client::new(gateway.url())?,
            database: Database::open(&gateway.database()).await?,
            gateway,
            passengers: passengers.into_iter(),
            rides: Vec::new(),
            peer: Peer::start(&peer_file, &work).await?,
            peer_database: Database::open(&peer_file).await?,
        };
        let small = Size { rounds: 1, posts: WARM_UP, gets: WARM_UP };
        arena.measure_gateway(&small, 1, &mut Figures::default()).await?;
        let before = database::commits(&peer_file)?;
        arena.measure_peer(&small, 1, &mut Figures::default()).await?;
        let commits = (database::commits(&peer_file)? - before) as f64 / WARM_UP as f64;
        if commits != recorded.commits_a_post {
            let gateway = recorded.commits_a_post;
            return Err(format!("a POST commits {gateway} transactions in the gateway and {commits} in the peer"));
        }
        Ok(arena)
    }

    async fn measure_gateway(&mut self, size: &Size, concurrency: usize, into: &mut Figures) -> Result<(), String> {
        self.end_rides().await?;
        let passengers: Vec<_> = self.passengers.by_ref().take(size.posts).collect();
        let post = async {
            let rides = self.client.request(&passengers, concurrency).await?;
            // What a ride causes belongs to it: the bank and dispatch are asked.
            self.database.settled().await.map(|()| rides)
        };
        let (rides, used) = used(&self.gateway.process, post).await?;
        into.posts.push(used / size.posts as f64);
        self.rides = rides;
        let ((), used) =
            self::used(&self.gateway.process, self.client.read(&self.rides, size.gets, concurrency)).await?;
        into.gets.push(used / size.gets as f64);
        Ok(())
    }

    /// Ends the rides of the round before, on both sides: the simulated fleet looks at every open ride every five seconds, and
    /// thousands of them are no usual sight.
    async fn end_rides(&mut self) -> Result<(), String> {
        self.client.cancel(&std::mem::take(&mut self.rides)).await?;
        self.database.settled().await?;
        self.peer_database.end_rides().await
    }

    async fn measure_peer(&mut self, size: &Size, concurrency: usize, into: &mut Figures) -> Result<(), String> {
        let process = self.peer.process.clone();
        let ((), post) = used(&process, self.peer.does("post", size.posts, concurrency)).await?;
        let ((), get) = used(&process, self.peer.does("get", size.gets, concurrency)).await?;
        into.posts.push(post / size.posts as f64);
        into.gets.push(get / size.gets as f64);
        Ok(())
    }

    /// What the gateway's background tasks use while nobody asks: part of its figures, not taken off.
    async fn note_idle(&self, report: &mut Report<Row>) -> Result<(), String> {
        let seconds = 10;
        let ((), ms) = used(&self.gateway.process, async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(())
        })
        .await?;
        let (each, rides) = (ms / seconds as f64, self.rides.len());
        report.note(format!(
            "Nobody asks, {rides} rides open: the gateway uses {each:.1} ms of CPU a second. It is part of its figures."
        ));
        Ok(())
    }

    /// Both sides must have left the same rows.
    async fn close(self) -> Result<(), String> {
        let (gateway, peer) = (self.database.rows().await?, self.peer_database.rows().await?);
        self.database.close().await;
        self.peer_database.close().await;
        self.gateway.stop().await?;
        if gateway == peer { Ok(()) } else { Err(format!("the gateway left {gateway:?}, the peer {peer:?}")) }
    }
}

/// The peer's process.
struct Peer {
    _child: Child,
    process: Process,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    async fn start(database: &Path, work: &Work) -> Result<Self, String> {
        let file = database.with_extension("work.json");
        let text = serde_json::to_string(work).map_err(|e| e.to_string())?;
        fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
        command.arg("peer").arg("--database").arg(database).arg("--work").arg(&file);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| format!("the peer: {e}"))?;
        let process = Process::new(child.id().ok_or("the peer has ended")?)?;
        let (commands, answers) = (child.stdin.take().ok_or("no pipe")?, child.stdout.take().ok_or("no pipe")?);
        let mut peer = Self { _child: child, process, commands, answers: BufReader::new(answers).lines() };
        peer.done().await?;
        Ok(peer)
    }

    async fn does(&mut self, what: &str, times: usize, concurrency: usize) -> Result<(), String> {
        let command = format!("{what} {times} {concurrency}\n");
        self.commands.write_all(command.as_bytes()).await.map_err(|e| format!("the peer: {e}"))?;
        self.done().await
    }

    async fn done(&mut self) -> Result<(), String> {
        match self.answers.next_line().await {
            Ok(Some(line)) if line == "done" => Ok(()),
            other => Err(format!("the peer says {other:?}")),
        }
    }
}

/// What `work` gives, and the processor time that `process` used meanwhile, milliseconds.
async fn used<T>(process: &Process, work: impl Future<Output = Result<T, String>>) -> Result<(T, f64), String> {
    let before = process.cpu()?;
    let done = work.await?;
    Ok((done, (process.cpu()? - before).as_secs_f64() * 1000.0))
}
