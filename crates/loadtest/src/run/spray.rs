//! Millions of keys, once each: cheap requests, as many as go, each from another address as a trusted proxy tells it.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    book::{End, Event},
    crowd::address,
    engine::{Engine, violated},
    http::Conn,
    kinds::Kind,
    scenario::SprayPlan,
};

/// No answer for so long is a failure.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A connection that failed is opened again after this.
const OPEN_AGAIN: Duration = Duration::from_millis(100);

/// Sends every key, or as many as fit the time; gives how many were sent.
pub(crate) async fn spray(engine: &Arc<Engine>, plan: &SprayPlan, start: Instant) -> u64 {
    let next = Arc::new(AtomicU64::new(0));
    let until = start + Duration::from_secs_f64(plan.within_s);
    let mut all = tokio::task::JoinSet::new();
    for number in 0..plan.connections {
        let (engine, next, plan) = (engine.clone(), next.clone(), plan.clone());
        all.spawn(async move {
            while Instant::now() < until && next.load(Ordering::Relaxed) < plan.keys {
                one_connection(&engine, number, &next, &plan, (start, until)).await;
                tokio::time::sleep(OPEN_AGAIN).await;
            }
        });
    }
    while all.join_next().await.is_some() {}
    next.load(Ordering::Relaxed).min(plan.keys)
}

/// Requests on one connection until all keys are sent, the time is over, or the connection fails. As many as have been
/// answered are sent at once: to wait for a whole batch would be to wait for delayed acknowledgements too.
async fn one_connection(
    engine: &Engine,
    number: u32,
    next: &AtomicU64,
    plan: &SprayPlan,
    (start, until): (Instant, Instant),
) {
    let Ok(mut conn) = Conn::open(address(number % 4000), engine.server).await else { return };
    // When the requests under way were sent, the oldest first.
    let mut sent = VecDeque::new();
    let (mut bytes, mut room) = (Vec::new(), plan.pipeline);
    loop {
        bytes.clear();
        while room > 0
            && Instant::now() < until
            && let Some(key) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|key| *key < plan.keys)
        {
            write(&mut bytes, key_address(key), engine.server);
            sent.push_back(start.elapsed());
            room -= 1;
        }
        if sent.is_empty() {
            return;
        }
        let exchange = tokio::time::timeout(ANSWER_WITHIN, answers(engine, &mut conn, &bytes, &mut sent, start));
        let failed = match exchange.await {
            Ok(Ok(answered)) => {
                room += answered;
                continue;
            }
            Ok(Err(_)) => End::Connection,
            Err(_) => End::Timeout,
        };
        sent.into_iter().for_each(|due| note(engine, failed, due, start.elapsed()));
        return;
    }
}

/// Sends these requests and takes down what has been answered, one at the least; how many.
async fn answers(
    engine: &Engine,
    conn: &mut Conn,
    requests: &[u8],
    sent: &mut VecDeque<Duration>,
    start: Instant,
) -> std::io::Result<u32> {
    conn.send(requests).await?;
    let (mut answered, mut next) = (0, Some(conn.answer().await?));
    while let Some(answer) = next {
        let end = match answer.status {
            200 => End::Ok,
            429 => End::Refused429(engine.state().book.refuser(violated(conn.body(&answer)))),
            503 => End::Refused503,
            500.. => End::Server5xx,
            _ => End::Unexpected,
        };
        note(engine, end, sent.pop_front().unwrap_or_default(), start.elapsed());
        answered += 1;
        next = conn.ready()?;
    }
    Ok(answered)
}

fn note(engine: &Engine, end: End, due: Duration, ended: Duration) {
    let (kind, priority) = (Kind::RideStates, engine.routes.priority(Kind::RideStates));
    let event = Event { due, sent: due, ended, phase: 0, kind, priority, end, who: None, source: 0, is_retry: false };
    engine.state().book.add(&event, 0);
}

/// The `number`-th address of 10.0.0.0/8, in an order that jumps (an odd factor is a permutation modulo 2²⁴).
fn key_address(number: u64) -> Ipv4Addr {
    let low = u32::try_from(number.wrapping_mul(0x9E_3779) & 0xFF_FFFF).unwrap_or_default();
    Ipv4Addr::from_bits(0x0A00_0000 | low)
}

fn write(bytes: &mut Vec<u8>, key: Ipv4Addr, host: SocketAddr) {
    use std::io::Write;
    // Writing to a vector cannot fail.
    let _ = write!(bytes, "GET /v1/ride-states HTTP/1.1\r\nhost: {host}\r\nx-forwarded-for: {key}\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_different_addresses() {
        let keys: std::collections::HashSet<_> = (0..100_000).map(key_address).collect();
        assert_eq!(keys.len(), 100_000);
        assert!(keys.iter().all(|key| key.octets()[0] == 10));
    }
}
