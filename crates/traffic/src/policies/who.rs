//! Whom an entry of a list means.

use std::{fmt, net::IpAddr};

use ipnet::{IpNet, Ipv6Net};
use serde::{Serialize, Serializer};

use super::{KeyKind, reader::listed};
use crate::Class;

/// Longest name of a device, characters; the API takes no longer one.
const MAX_DEVICE: usize = 128;

/// Somebody that a policy's list names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// Addresses. As the key of an override: what counts as one caller.
    Network(IpNet),
    /// A passenger, by id.
    Passenger(i64),
    /// A device, by the name that it gave.
    Device(String),
    /// A class of requests.
    Class(Class),
}

impl Who {
    /// An entry of `allow` or `deny`.
    ///
    /// # Errors
    /// What is allowed.
    pub(super) fn listed(kind: KeyKind, text: &str) -> Result<Self, String> {
        match kind {
            KeyKind::Address => network(text).map(Self::Network),
            _ => Self::one(kind, text),
        }
    }

    /// The key of an override.
    ///
    /// # Errors
    /// What is allowed.
    pub(super) fn one(kind: KeyKind, text: &str) -> Result<Self, String> {
        match kind {
            KeyKind::Address => caller(text).map(Self::Network),
            KeyKind::Passenger => {
                let id = text.parse().ok().filter(|id: &i64| *id > 0 && id.to_string() == text);
                id.map(Self::Passenger).ok_or_else(|| "no passenger's id, as the API shows it".to_owned())
            }
            KeyKind::Device => {
                let fits = (1..=MAX_DEVICE).contains(&text.chars().count()) && !text.chars().any(char::is_control);
                fits.then(|| Self::Device(text.to_owned())).ok_or_else(|| {
                    format!("no device: allowed is 1 to {MAX_DEVICE} characters without control characters")
                })
            }
            KeyKind::Class => {
                let class = Class::ALL.into_iter().find(|class| class.name() == text);
                let known = || listed(Class::ALL.iter().map(|class| class.name()));
                class.map(Self::Class).ok_or_else(|| format!("no class, allowed is {}", known()))
            }
            KeyKind::Global => Err("not possible: a global policy has one budget for all".to_owned()),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // One address needs no prefix.
            Self::Network(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Network(net) => net.fmt(f),
            Self::Passenger(id) => id.fmt(f),
            Self::Device(name) => name.fmt(f),
            Self::Class(class) => class.name().fmt(f),
        }
    }
}

/// As it is written in a file.
impl Serialize for Who {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An address, or a CIDR without bits that mean nothing.
fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| "no address and no CIDR, as 10.0.0.0/8".to_owned())?;
    if net.addr() != net.network() {
        return Err(format!("an address inside of {0}: write {0}", net.trunc()));
    }
    if let IpNet::V6(v6) = net
        && v6.addr().to_ipv4_mapped().is_some()
    {
        return Err("IPv4 written as IPv6: write it as IPv4".to_owned());
    }
    Ok(net)
}

/// What counts as one caller: an IPv4 address, an IPv6 /64.
fn caller(text: &str) -> Result<IpNet, String> {
    let allowed = || "no single address; all of an IPv6 /64 is one".to_owned();
    let net = network(text).or_else(|why| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| why))?;
    match net {
        IpNet::V4(v4) if v4.prefix_len() == 32 => Ok(net),
        IpNet::V6(v6) if [64, 128].contains(&v6.prefix_len()) => match v6.addr().to_ipv4_mapped() {
            None => Ok(counted(v6.addr().into())),
            Some(_) => Err("IPv4 written as IPv6: write it as IPv4".to_owned()),
        },
        _ => Err(allowed()),
    }
}

/// What an address counts as: itself if it is IPv4 (also when written as IPv6), else its /64, which is what one customer
/// is given.
pub(crate) fn counted(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpNet::from(IpAddr::V4(v4)),
        IpAddr::V6(v6) => IpNet::V6(Ipv6Net::new_assert(v6, 64).trunc()),
    }
}
