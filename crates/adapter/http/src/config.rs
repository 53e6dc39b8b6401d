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
    /// Pages that may call from a browser, such as `https://app.example.com`; comma-separated in the environment. `*` is
    /// every page.
    #[serde(deserialize_with = "runtime::config::list")]
    pub allowed_origins: Vec<AllowedOrigin>,
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
            allowed_origins: vec![],
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

/// The origin of a page (RFC 6454), as browsers write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Whatever it is.
    Any,
    /// This one.
    One(String),
}

impl std::str::FromStr for AllowedOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let of_a_host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:[]".contains(c);
        match host {
            _ if text == "*" => Ok(Self::Any),
            Some(host) if !host.is_empty() && host.chars().all(of_a_host) => Ok(Self::One(text.to_owned())),
            _ => Err(format!(
                "{text:?} is no origin: allowed is scheme://host or scheme://host:port in lower case, or *"
            )),
        }
    }
}

impl Serialize for AllowedOrigin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Any => "*",
            Self::One(origin) => origin,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for origin in ["https://app.example.com", "http://localhost:3000", "http://[::1]:8080"] {
            assert_eq!(origin.parse(), Ok(AllowedOrigin::One(origin.to_owned())));
        }
        assert_eq!("*".parse(), Ok(AllowedOrigin::Any));
        let no_origins =
            ["", "app.example.com", "https://", "https://app.example.com/", "https://App.example.com", "null"];
        for none in no_origins.into_iter().chain(["https://*.example.com", "ftp://a", "https://a/b", "https://a?b"]) {
            assert!(none.parse::<AllowedOrigin>().is_err(), "{none}");
        }
    }
}
