//! Millions of keys, once each: cheap requests, as many as go, each from another address as a trusted proxy tells it.

use std::{
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
    engine::Engine,
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

/// Batches on one connection until all keys are sent, the time is over, or the connection fails.
async fn one_connection(
    engine: &Engine,
    number: u32,
    next: &AtomicU64,
    plan: &SprayPlan,
    (start, until): (Instant, Instant),
) {
    let Ok(mut conn) = super::http::Conn::open(address(number % 4000), engine.server).await else { return };
    let mut bytes = Vec::new();
    while Instant::now() < until {
        let first = next.fetch_add(plan.pipeline.into(), Ordering::Relaxed);
        if first >= plan.keys {
            return;
        }
        let count = u64::from(plan.pipeline).min(plan.keys - first);
        bytes.clear();
        (first..first + count).for_each(|key| write(&mut bytes, key_address(key), engine.server));
        let due = start.elapsed();
        let mut answered = 0;
        let exchange = async {
            conn.send(&bytes).await?;
            while answered < count {
                let answer = conn.answer().await?;
                answered += 1;
                let end = match answer.status {
                    200 => End::Ok,
                    429 => End::Refused429(engine.state().book.refuser(violated(conn.body(&answer)))),
                    503 => End::Refused503,
                    500.. => End::Server5xx,
                    _ => End::Unexpected,
                };
                note(engine, end, due, start.elapsed());
            }
            Ok::<_, std::io::Error>(())
        };
        let failed = match tokio::time::timeout(ANSWER_WITHIN, exchange).await {
            Ok(Ok(())) => continue,
            Ok(Err(_)) => End::Connection,
            Err(_) => End::Timeout,
        };
        (answered..count).for_each(|_| note(engine, failed, due, start.elapsed()));
        return;
    }
}

fn violated(body: &[u8]) -> Option<&str> {
    super::engine::violated(body)
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
