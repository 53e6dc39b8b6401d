//! The door: connections, before there is a request on them. It decides who may connect and who has to go, so that clients
//! who are slow, silent, endless or many cannot shut the others out.
//!
//! A connection is either waiting for its client or for us ([`slot`]). Only one that waits for its client ends early: when
//! its time is up, or to make room for somebody new. Everything that a client may do for ever is bounded here or in
//! [`crate::extract::body`]; a request that is under way is nobody's business at the door.

mod files;
mod listen;
mod metrics;
mod register;
mod slot;
mod stream;
mod sweep;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::rt::net::TcpStream;
pub(crate) use files::raise_open_files;
pub(crate) use listen::{bind, serve};
pub(crate) use metrics::Metrics;
use metrics::Series;
use register::{Refused, Register};
use runtime::{Clock, Stopwatch};
use slot::Verdict;
use socket2::SockRef;
use stream::Guarded;
pub(crate) use stream::Line;
pub(crate) use sweep::sweep;

use crate::config::ProxyNet;

/// What the kernel may hold of answers that a client has not taken yet, bytes. Left to itself it takes megabytes for each.
const SEND_BUFFER: usize = 64 * 1024;
/// The same of what a client sent and nobody has read yet.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// What one listener puts up with.
pub(crate) struct Rules {
    /// Connections at the same time; more make room by ending the one that has waited longest for its client.
    pub(crate) max_connections: usize,
    /// Connections of one address (IPv6: of one /64) at the same time.
    pub(crate) max_per_address: usize,
    /// Whose connections are not counted by address: a proxy carries everybody.
    pub(crate) trusted: Vec<ProxyNet>,
    /// From the first byte of a request's head (or from connecting) to its last.
    pub(crate) head: Duration,
    /// Between an answer and the next request.
    pub(crate) keep_alive: Duration,
    /// How long a client may take no byte of what is sent to it.
    pub(crate) write: Duration,
    /// Largest body that any handler reads, bytes.
    pub(crate) body_limit: usize,
}

/// The door of one listener.
pub(crate) struct Door {
    rules: Rules,
    register: Register,
    series: Series,
    clock: Clock,
    /// The time since then is the time of every slot.
    opened: Stopwatch,
    /// Connections turned away that no log line has told of yet.
    untold: AtomicU64,
}

impl Door {
    pub(crate) fn new(name: &str, rules: Rules, metrics: &Metrics, clock: Clock) -> Arc<Self> {
        let register = Register::new(rules.max_connections);
        let (series, untold) = (metrics.of(name), AtomicU64::new(0));
        Arc::new(Self { rules, register, series, clock, opened: Stopwatch::start(), untold })
    }

    /// Lets a connection in, or drops it before a byte is read.
    fn admit(self: &Arc<Self>, tcp: TcpStream) -> Option<(Guarded, SocketAddr)> {
        // One that is gone already has no peer.
        let peer = tcp.peer_addr().ok()?;
        let address = origin(peer.ip());
        let is_trusted = self.rules.trusted.iter().any(|net| net.0.contains(&address));
        let limit = if is_trusted { usize::MAX } else { self.rules.max_per_address };
        match self.register.enter(self, address, limit) {
            Ok(place) => {
                // A socket that refuses an option is about to fail by itself.
                let _ = tcp.set_nodelay(true);
                let socket = SockRef::from(&tcp);
                let _ = socket.set_send_buffer_size(SEND_BUFFER);
                let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
                // A client that vanished acknowledges nothing: the kernel gives up then, and not after a quarter of an hour.
                #[cfg(target_os = "linux")]
                let _ = socket.set_tcp_user_timeout(Some(self.rules.write));
                self.series.opened();
                Some((Guarded::new(tcp, place), peer))
            }
            Err(refused) => {
                self.series.ended(match refused {
                    Refused::Address => "address",
                    Refused::Full => "full",
                });
                self.untold.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn count(&self, verdict: Verdict) {
        self.series.ended(match verdict {
            Verdict::Stay => return,
            Verdict::SlowHead => "head",
            Verdict::Idle => "idle",
            Verdict::MakeRoom => "room",
            Verdict::Stalled => "stalled",
            Verdict::Endless => "endless",
        });
    }
}

/// Who counts as one: an IPv4 address, also one that came as IPv6; the /64 of an IPv6 address.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests;
