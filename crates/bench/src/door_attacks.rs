//! Attacks on connections, each bounded in number and ended with its measurement. Against a gateway of the bench's own only.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use clap::ValueEnum;
use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

const GET: &str = "GET /v1/ride-states HTTP/1.1\r\nhost: gateway\r\n\r\n";
const POST: &str = "POST /v1/auth/otp HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n";
/// Addresses that an attack comes from.
const ADDRESSES: usize = 200;
/// Between two bytes of whoever is slow.
const PACE: Duration = Duration::from_millis(500);
/// After a connection that was refused or cut off, before the next.
const AGAIN: Duration = Duration::from_millis(20);
/// The same for who has nothing to say anyway.
const AGAIN_IDLE: Duration = Duration::from_secs(1);
/// What an attack gets to build up.
const BUILD_UP: Duration = Duration::from_secs(60);
/// Connections that are opened at the same time.
const OPENING: usize = 64;

/// A way to attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// 1,000 connections that send their head a byte at a time (slowloris)
    SlowHeads,
    /// 1,000 connections that send their body a byte at a time
    SlowBodies,
    /// 10,000 connections that made a request and stay
    Idle,
    /// 50 connections that send a head without end
    EndlessHeads,
    /// 50 connections that send a body without end
    EndlessBodies,
    /// 20 connections of one address that send requests a hundred at a time
    Pipelines,
}

/// An attack that lasts.
pub(crate) struct Siege {
    stop: watch::Sender<bool>,
    attackers: JoinSet<()>,
    count: Arc<Count>,
}

/// What the attackers did.
#[derive(Default)]
struct Count {
    /// Connections that were opened.
    opened: AtomicU64,
    /// Those that are open.
    open: AtomicU64,
    /// Answers, where they were read.
    answers: AtomicU64,
}

impl Attack {
    /// Every way.
    pub(crate) const ALL: [Self; 6] =
        [Self::SlowHeads, Self::SlowBodies, Self::Idle, Self::EndlessHeads, Self::EndlessBodies, Self::Pipelines];

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SlowHeads => "1,000 slow heads",
            Self::SlowBodies => "1,000 slow bodies",
            Self::Idle => "10,000 idle connections",
            Self::EndlessHeads => "50 endless heads",
            Self::EndlessBodies => "50 endless bodies",
            Self::Pipelines => "20 pipelines of one address",
        }
    }

    fn attackers(self) -> usize {
        match self {
            Self::SlowHeads | Self::SlowBodies => 1_000,
            Self::Idle => 10_000,
            Self::EndlessHeads | Self::EndlessBodies => 50,
            Self::Pipelines => 20,
        }
    }

    /// Begins, and gives back when every attacker has connected once.
    ///
    /// # Errors
    /// They cannot connect: this process may not open so many files, or nobody listens.
    pub(crate) async fn begin(self, gateway: SocketAddr) -> Result<Siege, String> {
        let (stop, stopped) = watch::channel(false);
        let (mut attackers, count) = (JoinSet::new(), Arc::new(Count::default()));
        let each = stream::iter(0..self.attackers()).map(|number| async move {
            // Whoever floods does so from one address: what many may do together is no matter of connections.
            let from = if self == Self::Pipelines { 0 } else { number % ADDRESSES };
            (from, connect(gateway, from).await)
        });
        let mut each = each.buffer_unordered(OPENING);
        let connected = async {
            while let Some((from, connection)) = each.next().await {
                let connection = connection.map_err(|e| format!("an attacker cannot connect (ulimit -n?): {e}"))?;
                let (count, mut stopped) = (count.clone(), stopped.clone());
                count.opened.fetch_add(1, Relaxed);
                attackers.spawn(async move {
                    tokio::select! {
                        () = self.last(gateway, from, connection, &count) => {}
                        _ = stopped.wait_for(|stop| *stop) => {}
                    }
                });
            }
            // Who is idle has been answered: until then it is one more visitor.
            while self == Self::Idle && count.answers.load(Relaxed) < self.attackers() as u64 {
                sleep(AGAIN).await;
            }
            Ok::<_, String>(())
        };
        tokio::time::timeout(BUILD_UP, connected).await.map_err(|_| "the attack did not build up in time")??;
        Ok(Siege { stop, attackers, count })
    }

    /// One attacker: when it is cut off it comes again.
    async fn last(self, gateway: SocketAddr, from: usize, first: TcpStream, count: &Count) {
        let mut next = Some(first);
        loop {
            if let Some(mut connection) = next {
                let open = Open::new(count);
                // However it ends, it ends.
                let _ = self.once(&mut connection, count).await;
                drop(open);
            }
            sleep(if self == Self::Idle { AGAIN_IDLE } else { AGAIN }).await;
            next = connect(gateway, from).await.ok();
            count.opened.fetch_add(u64::from(next.is_some()), Relaxed);
        }
    }

    async fn once(self, connection: &mut TcpStream, count: &Count) -> io::Result<()> {
        let (mut reading, mut writing) = connection.split();
        let mut nothing = [0; 4096];
        match self {
            Self::SlowHeads | Self::SlowBodies => {
                let (head, piece) = if self == Self::SlowHeads {
                    (format!("{}x: ", GET.trim_end_matches("\r\n")), "x")
                } else {
                    (format!("{POST}content-length: 60000\r\n\r\n"), " ")
                };
                writing.write_all(head.as_bytes()).await?;
                let slow = async {
                    loop {
                        sleep(PACE).await;
                        writing.write_all(piece.as_bytes()).await?;
                    }
                };
                let cut = async {
                    while reading.read(&mut nothing).await? > 0 {}
                    Ok(())
                };
                tokio::select! { ended = slow => ended, ended = cut => ended }
            }
            Self::Idle => {
                writing.write_all(GET.as_bytes()).await?;
                if reading.read(&mut nothing).await? > 0 {
                    count.answers.fetch_add(1, Relaxed);
                }
                while reading.read(&mut nothing).await? > 0 {}
                Ok(())
            }
            Self::EndlessHeads | Self::EndlessBodies => {
                let (head, piece) = if self == Self::EndlessHeads {
                    (format!("{}x: ", GET.trim_end_matches("\r\n")), "x".repeat(4096))
                } else {
                    (format!("{POST}transfer-encoding: chunked\r\n\r\n"), format!("1000\r\n{}\r\n", "x".repeat(4096)))
                };
                writing.write_all(head.as_bytes()).await?;
                loop {
                    writing.write_all(piece.as_bytes()).await?;
                }
            }
            Self::Pipelines => {
                let batch = GET.repeat(100);
                let send = async {
                    loop {
                        writing.write_all(batch.as_bytes()).await?;
                    }
                };
                let take = async {
                    loop {
                        let bytes = reading.read(&mut nothing).await?;
                        if bytes == 0 {
                            return Ok(());
                        }
                        let heads = nothing[..bytes].windows(9).filter(|window| window == b"HTTP/1.1 ").count();
                        count.answers.fetch_add(heads as u64, Relaxed);
                    }
                };
                tokio::select! { ended = send => ended, ended = take => ended }
            }
        }
    }
}

impl Siege {
    /// Ends it; what became of the attackers, in words.
    ///
    /// # Errors
    /// An attacker that broke down.
    pub(crate) async fn end(mut self) -> Result<String, String> {
        let Count { opened, open, answers } = &*self.count;
        let told = format!(
            "{} connections opened, {} open at the end, {} answers",
            opened.load(Relaxed),
            open.load(Relaxed),
            answers.load(Relaxed)
        );
        // Whoever has ended by itself does not listen.
        let _ = self.stop.send(true);
        while let Some(ended) = self.attackers.join_next().await {
            ended.map_err(|e| e.to_string())?;
        }
        Ok(told)
    }
}

/// Counts a connection while it is open.
struct Open<'a>(&'a Count);

impl<'a> Open<'a> {
    fn new(count: &'a Count) -> Self {
        count.open.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

async fn connect(gateway: SocketAddr, from: usize) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer addresses")]
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 1, 1 + from as u8), 0)))?;
    socket.connect(gateway).await
}
