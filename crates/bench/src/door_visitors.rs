//! Visitors who mean well: a steady stream of reads with a token, half of them on a new connection.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::LocalSet,
};

use crate::clock;

/// Visits a second.
const RATE: u32 = 200;
/// Who has no answer by then has none.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where they come from: nobody else does.
const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Connections that are kept at most.
const KEPT: usize = 32;

/// Who visits.
pub(crate) struct Visitors {
    gateway: SocketAddr,
    /// One for each passenger.
    requests: Arc<[String]>,
}

/// What they saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Half of them waited at most this long.
    pub(crate) p50_ms: f64,
    /// All but one in a hundred.
    pub(crate) p99_ms: f64,
    /// Visits without a good answer in time.
    pub(crate) failed: u64,
    /// Visits.
    pub(crate) count: u64,
}

impl Visitors {
    /// Each of them has a token.
    pub(crate) fn new(gateway: SocketAddr, tokens: impl Iterator<Item = String>) -> Self {
        let request =
            |token| format!("GET /v1/rides/current HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {token}\r\n\r\n");
        Self { gateway, requests: tokens.map(request).collect() }
    }

    /// Visits for this long; a thread of their own, so that nothing else in this process holds them up.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) async fn come(&self, time: Duration) -> Result<Seen, String> {
        let (gateway, requests) = (self.gateway, self.requests.clone());
        let visits = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, async { Ok::<_, io::Error>(visit(gateway, requests, time).await) })
        });
        visits.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
    }
}

#[allow(clippy::disallowed_methods, reason = "a visit is due at its moment of a schedule, and waits for nobody's")]
async fn visit(gateway: SocketAddr, requests: Arc<[String]>, time: Duration) -> Seen {
    let (report, mut reports) = mpsc::unbounded_channel();
    let (keep, mut kept) = mpsc::channel(KEPT);
    let began = clock::now();
    let total = (time.as_secs_f64() * f64::from(RATE)) as u32;
    for number in 0..total {
        let due = began + Duration::from_secs(1) * number / RATE;
        tokio::time::sleep_until(due.into()).await;
        let old = if number % 2 == 0 { kept.try_recv().ok() } else { None };
        let (requests, report, keep) = (requests.clone(), report.clone(), keep.clone());
        tokio::task::spawn_local(async move {
            let answered =
                tokio::time::timeout(PATIENCE, call(gateway, &requests[number as usize % requests.len()], old)).await;
            let answered = answered.ok().and_then(Result::ok);
            // Nobody is left to hear of it only when the stream was dropped.
            let _ = report.send(answered.is_some().then(|| due.elapsed()));
            if let Some(connection) = answered {
                let _ = keep.try_send(connection);
            }
        });
    }
    drop(report);
    let mut waits = Histogram::<u64>::new(3).unwrap_or_else(|_| unreachable!("three digits are allowed"));
    let mut failed = 0;
    while let Some(wait) = reports.recv().await {
        failed += u64::from(wait.is_none());
        let us = wait.unwrap_or(PATIENCE).as_micros();
        // It grows as needed.
        let _ = waits.record(u64::try_from(us).unwrap_or(u64::MAX));
    }
    let at = |quantile| waits.value_at_quantile(quantile) as f64 / 1000.0;
    Seen { p50_ms: at(0.5), p99_ms: at(0.99), failed, count: waits.len() }
}

/// One read; on a kept connection that was closed meanwhile, as every client does, once more on a new one.
async fn call(gateway: SocketAddr, request: &str, old: Option<TcpStream>) -> io::Result<TcpStream> {
    if let Some(connection) = old
        && let Ok(connection) = ask(connection, request).await
    {
        return Ok(connection);
    }
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((FROM, 0)))?;
    ask(socket.connect(gateway).await?, request).await
}

async fn ask(mut connection: TcpStream, request: &str) -> io::Result<TcpStream> {
    connection.set_nodelay(true)?;
    connection.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(1024);
    // 204 has no body: nothing comes after the head.
    while !head.ends_with(b"\r\n\r\n") {
        if connection.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if head.starts_with(b"HTTP/1.1 204 ") { Ok(connection) } else { Err(io::ErrorKind::InvalidData.into()) }
}
