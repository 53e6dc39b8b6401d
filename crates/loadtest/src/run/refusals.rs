//! What a refusal costs the server: measured by itself, after the run. Under load it cannot be told from what goes on beside it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    http::{Conn, Request},
    observe::cpu_seconds,
    outcome::Refusals,
};

/// Nobody else comes from here, so that nobody else's budget is used up.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
/// One request after the other on each: as in the run, none is read together with the next.
const CONNECTIONS: usize = 16;
/// The shipped burst of 2000 is used up in this time, or there is no limit that could be measured.
const BURST: Duration = Duration::from_millis(1500);
const MEASURED: Duration = Duration::from_millis(1500);
/// With fewer refused than this, what was accepted is not small enough to be left in.
const SHARE: f64 = 0.9;
/// A server that does not answer is not waited for longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Sends cheap requests from one address, as many as go, and looks at the server's CPU.
pub(crate) async fn measure(server: SocketAddr, pid: u32) -> Refusals {
    flood(server, BURST).await;
    let before = cpu_seconds(pid);
    let (requests, refused) = flood(server, MEASURED).await;
    let cpu_s = before.and_then(|before| Some(cpu_seconds(pid)? - before));
    Refusals { requests, refused, cpu_us: cpu_s.and_then(|cpu_s| cost(requests, refused, cpu_s)) }
}

/// CPU for each refusal, microseconds: all of it, so rather too much than too little. None when too few were refused.
fn cost(requests: u64, refused: u64, cpu_s: f64) -> Option<f64> {
    (refused > 0 && refused as f64 >= SHARE * requests as f64).then(|| cpu_s * 1e6 / refused as f64)
}

/// How many were answered, and how many of those with a refusal.
async fn flood(server: SocketAddr, length: Duration) -> (u64, u64) {
    let until = Instant::now() + length;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        all.spawn(one_connection(server, until));
    }
    all.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Until the time is over or the connection fails.
async fn one_connection(server: SocketAddr, until: Instant) -> (u64, u64) {
    let request = Request { method: "GET", path: "/v1/ride-states", token: None, idempotency_key: None, body: None };
    let bytes = request.write(server);
    let (mut requests, mut refused) = (0, 0);
    let Ok(Ok(mut conn)) = timeout(ANSWER_WITHIN, Conn::open(SOURCE, server)).await else { return (0, 0) };
    while Instant::now() < until {
        let Ok(Ok(answer)) = timeout(ANSWER_WITHIN, conn.call(&bytes)).await else { break };
        requests += 1;
        refused += u64::from(answer.status == 429);
        if answer.closes {
            break;
        }
    }
    (requests, refused)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A server that answers every request with this; asserts that all come from the address of nobody else.
    async fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn(async move {
            while let Ok((mut stream, from)) = listener.accept().await {
                assert_eq!(from.ip(), SOURCE);
                tokio::task::spawn(async move {
                    let mut request = [0; 1024];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_server_that_refuses_shows_what_a_refusal_costs() {
        let server = server(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n").await;
        let found = measure(server, std::process::id()).await;
        assert!(found.requests > 0 && found.refused == found.requests, "{found:?}");
        assert!(found.cpu_us.is_some(), "{found:?}");
    }

    #[tokio::test]
    async fn a_server_that_refuses_nothing_has_no_such_cost() {
        let server = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let found = measure(server, std::process::id()).await;
        assert!(found.requests > 0 && found.refused == 0 && found.cpu_us.is_none(), "{found:?}");
    }

    #[test]
    fn the_cost_counts_when_nine_of_ten_were_refused() {
        assert_eq!(cost(1000, 900, 0.009), Some(10.0));
        assert_eq!(cost(1000, 899, 0.009), None);
        assert_eq!(cost(0, 0, 0.0), None);
    }
}
