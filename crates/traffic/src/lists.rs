//! Allow and deny lists, ready to be asked on every request: sorted, searched in halves.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    limit::{Key, Secret},
    policies::Who,
};

/// Everybody that a list names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// Ranges of addresses that do not touch, first to last. IPv4 stands where it is mapped into IPv6.
    ranges: Box<[(u128, u128)]>,
    /// Keys of whoever is not an address.
    keys: Box<[Key]>,
}

impl List {
    pub(crate) fn new(named: &[Who], secret: &Secret) -> Self {
        let (mut ranges, mut keys) = (Vec::new(), Vec::new());
        for who in named {
            match who {
                Who::Network(net) => ranges.push(range(net)),
                other => keys.push(key_of(other, secret)),
            }
        }
        keys.sort_unstable();
        Self { ranges: merged(ranges), keys: keys.into() }
    }

    /// Whether it names this address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        if self.ranges.is_empty() {
            return false;
        }
        let bits = bits(address);
        let after = self.ranges.partition_point(|(first, _)| *first <= bits);
        after > 0 && bits <= self.ranges[after - 1].1
    }

    /// Whether it names whoever has this key.
    pub(crate) fn has_key(&self, key: Key) -> bool {
        !self.keys.is_empty() && self.keys.binary_search(&key).is_ok()
    }
}

/// The key that somebody is counted by.
pub(crate) fn key_of(who: &Who, secret: &Secret) -> Key {
    match who {
        Who::Network(net) => address_key(net.addr(), secret),
        Who::Passenger(id) => secret.key(&id.to_le_bytes()),
        Who::Device(name) => secret.key(name.as_bytes()),
        Who::Class(class) => secret.key(class.name().as_bytes()),
    }
}

/// The key of what an address counts as: itself if it is IPv4 (also when written as IPv6), else its /64.
pub(crate) fn address_key(address: IpAddr, secret: &Secret) -> Key {
    match address.to_canonical() {
        IpAddr::V4(v4) => secret.key(&v4.octets()),
        IpAddr::V6(v6) => secret.key(&v6.octets()[..8]),
    }
}

/// The key of the addresses around, /24 and /48: what newcomers share while a table is full.
pub(crate) fn prefix_key(address: IpAddr, secret: &Secret) -> Key {
    match address.to_canonical() {
        IpAddr::V4(v4) => secret.key(&v4.octets()[..3]),
        IpAddr::V6(v6) => secret.key(&v6.octets()[..6]),
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn range(net: &IpNet) -> (u128, u128) {
    (bits(net.network()), bits(net.broadcast()))
}

/// Ranges in order, those that touch as one.
fn merged(mut ranges: Vec<(u128, u128)>) -> Box<[(u128, u128)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(nets: &[&str]) -> List {
        let named: Vec<Who> = nets.iter().map(|net| Who::Network(net.parse().unwrap())).collect();
        List::new(&named, &Secret::new([7; 16]))
    }

    #[test]
    fn a_list_names_whoever_is_inside_one_of_its_networks_and_nobody_else() {
        let list = list(&["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]);
        assert_eq!(list.ranges.len(), 3, "what touches is one range");
        for (address, named) in [
            ("10.0.0.0", true),
            ("11.255.255.255", true),
            ("12.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.1.2.3", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::10.1.2.3", false),
        ] {
            assert_eq!(list.has_address(address.parse().unwrap()), named, "{address}");
        }
    }

    #[test]
    fn everybody_is_the_network_without_a_prefix() {
        let list = list(&["0.0.0.0/0"]);
        assert!(list.has_address("255.255.255.255".parse().unwrap()));
        assert!(!list.has_address("2001:db8::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_sorted_list_says_what_its_networks_say_one_by_one(
            nets in prop::collection::vec((any::<[u8; 2]>(), 0..=32_u8), 0..12),
            address in any::<[u8; 2]>(),
        ) {
            // Few bits, so that something is hit.
            let nets: Vec<IpNet> = nets
                .iter()
                .map(|([a, b], len)| IpNet::new(IpAddr::from([*a & 3, *b, 0, 0]), *len).unwrap().trunc())
                .collect();
            let address = IpAddr::from([address[0] & 3, address[1], 0, 0]);
            let named: Vec<Who> = nets.iter().copied().map(Who::Network).collect();
            let list = List::new(&named, &Secret::new([0; 16]));
            prop_assert_eq!(list.has_address(address), nets.iter().any(|net| net.contains(&address)));
        }
    }
}
