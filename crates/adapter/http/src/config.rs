//! Settings of the HTTP adapter.

use std::net::SocketAddr;

use ipnet::IpNet;
use runtime::{Invalid, Secret, within};
use serde::{Deserialize, Serialize};

/// The `[http]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where passengers connect.
    pub public_bind: SocketAddr,
    /// Where drivers' and operators' systems connect. Keep it off the internet.
    pub internal_bind: SocketAddr,
    /// Bearer token of the internal listener. The `local` profile uses `local-dev-token`.
    pub internal_token: Secret,
    /// Proxies whose `X-Forwarded-For` and `Forwarded` are believed: addresses or CIDRs, comma-separated in the
    /// environment.
    #[serde(deserialize_with = "runtime::config::list")]
    pub trusted_proxies: Vec<ProxyNet>,
    /// Largest request body, bytes.
    pub body_limit: usize,
    /// One log line a request.
    pub access_log: bool,
    /// Open connections a worker accepts at most, per listener.
    pub max_connections: usize,
    /// Threads that serve the public listener; 0 is one per core.
    pub workers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            internal_bind: SocketAddr::from(([127, 0, 0, 1], 8081)),
            internal_token: Secret::new(""),
            trusted_proxies: vec![],
            body_limit: 65_536,
            access_log: true,
            max_connections: 10_000,
            workers: 0,
        }
    }
}

/// An address or a network of a trusted proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ProxyNet(pub IpNet);

impl std::str::FromStr for ProxyNet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        net.map(Self).map_err(|_| format!("{text:?} is neither an IP address nor a CIDR"))
    }
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("body_limit", self.body_limit, 1024..=16 * 1024 * 1024, "bytes")?;
        within("max_connections", self.max_connections, 1..=1_000_000, "")?;
        within("workers", self.workers, 0..=512, "")
    }
}
