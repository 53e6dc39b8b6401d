//! Where a request really comes from. `X-Forwarded-For` and `Forwarded` (RFC 7239) are believed only from trusted
//! proxies, read from right to left: the first address that is not a trusted proxy is the client.
//!
//! What is in doubt is put on the account of whoever is certain: the last proxy that we know. So a header that makes no
//! sense neither escapes a limit nor spends the budget of an address that somebody else may have.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::http::header::{FORWARDED, HeaderMap, X_FORWARDED_FOR};

use crate::config::ProxyNet;

/// Elements of a header that are read at most. A longer chain of our own proxies is a loop.
const MAX_HOPS: usize = 32;

/// The client's address. With no believable header it is the peer's.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[ProxyNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.0.contains(&address));
    if !is_trusted(peer) {
        return peer;
    }
    let walk = |hops: &mut dyn Iterator<Item = Option<IpAddr>>| {
        let mut client = peer;
        for hop in hops {
            // A hop that cannot be read ends the chain: what lies before it was written by nobody we trust.
            let Some(address) = hop else { return client };
            client = address;
            if !is_trusted(client) {
                return client;
            }
        }
        client
    };
    let forwarded_for = || walk(&mut elements(headers, X_FORWARDED_FOR).map(|element| address(element)));
    let forwarded = || walk(&mut elements(headers, FORWARDED).map(node));
    match (headers.contains_key(X_FORWARDED_FOR), headers.contains_key(FORWARDED)) {
        (false, false) => peer,
        (true, false) => forwarded_for(),
        (false, true) => forwarded(),
        // One of them may be the client's own, which a proxy that writes the other passed on. Nobody can tell which.
        (true, true) => Some(forwarded_for()).filter(|client| *client == forwarded()).unwrap_or(peer),
    }
}

/// The elements of a header from right to left, over all its lines; empty ones say nothing (RFC 9110, section 5.6.1).
/// What a client wrote may stand on the same line as what a proxy added: each is read for itself, and a quote that a
/// client left open swallows nothing.
fn elements(headers: &HeaderMap, name: impl actix_web::http::header::AsHeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).rev();
    let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let elements = elements.map(|element| std::str::from_utf8(element.trim_ascii()).unwrap_or("no text"));
    elements.take(MAX_HOPS).filter(|element| !element.is_empty())
}

/// The address that an element of `Forwarded` names.
fn node(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for")).and_then(|(_, node)| address(node))
}

/// An address with or without port, brackets, quotes and zone. Not `unknown`, nor a name that hides one (`_hidden`).
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let hop = hop.strip_prefix('"').and_then(|hop| hop.strip_suffix('"')).unwrap_or(hop);
    let address = match hop.strip_prefix('[').and_then(|hop| hop.split_once(']')) {
        Some((v6, port)) if is_port(port) => ipv6(v6).map(IpAddr::V6),
        Some(_) => None,
        None => hop
            .parse()
            .ok()
            .or_else(|| ipv6(hop).map(IpAddr::V6))
            .or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip())),
    };
    // An IPv4 address that came as IPv6 is the same client.
    address.map(|address| address.to_canonical())
}

/// Which of a machine's networks an address is on (RFC 4007) is that machine's business.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let (address, zone) = text.split_once('%').unwrap_or((text, "no zone"));
    address.parse().ok().filter(|_| !zone.is_empty())
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use actix_web::{http::header::HeaderValue, test::TestRequest};

    use super::*;

    const PROXY: &str = "10.0.0.1";

    /// Who calls, according to these header lines, through proxies of 10.0.0.0/8 and ::1.
    fn client(peer: &str, lines: &[(&str, &[u8])]) -> String {
        let trusted: Vec<ProxyNet> = ["10.0.0.0/8", "::1"].iter().map(|p| p.parse().unwrap()).collect();
        let mut request = TestRequest::default();
        for (name, value) in lines {
            request = request.append_header((*name, HeaderValue::from_bytes(value).unwrap()));
        }
        client_address(peer.parse().unwrap(), request.to_http_request().headers(), &trusted).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_noted_is_believed() {
        for (header, value, expected) in [
            ("X-Forwarded-For", "198.51.100.1", "198.51.100.1"),
            ("X-Forwarded-For", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
            ("X-Forwarded-For", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
            ("X-Forwarded-For", "6.6.6.6,198.51.100.1,10.9.9.9 ,10.8.8.8", "198.51.100.1"),
            // With a port, in brackets, with a zone.
            ("X-Forwarded-For", "198.51.100.1:4711", "198.51.100.1"),
            ("X-Forwarded-For", "[2001:db8::7]:4711", "2001:db8::7"),
            ("X-Forwarded-For", "[2001:db8::7]", "2001:db8::7"),
            ("X-Forwarded-For", "2001:db8::7", "2001:db8::7"),
            ("X-Forwarded-For", "2001:DB8:0:0::7", "2001:db8::7"),
            ("X-Forwarded-For", "fe80::7%eth0", "fe80::7"),
            ("X-Forwarded-For", "[fe80::7%25eth0]:80", "fe80::7"),
            ("X-Forwarded-For", "::ffff:198.51.100.1", "198.51.100.1"),
            ("X-Forwarded-For", "[::ffff:198.51.100.1]:80", "198.51.100.1"),
            ("X-Forwarded-For", "::ffff:10.2.2.2", "10.2.2.2"),
            // Elements that say nothing.
            ("X-Forwarded-For", "198.51.100.1, , ,", "198.51.100.1"),
            ("X-Forwarded-For", ", 198.51.100.1", "198.51.100.1"),
            ("X-Forwarded-For", "", PROXY),
            ("X-Forwarded-For", ",,,", PROXY),
            // Nothing but proxies: the one that is farthest away.
            ("X-Forwarded-For", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
            // What cannot be read is the account of the last proxy that could.
            ("X-Forwarded-For", "198.51.100.1, garbage", PROXY),
            ("X-Forwarded-For", "198.51.100.1, unknown, 10.7.7.7", "10.7.7.7"),
            ("X-Forwarded-For", "198.51.100.1, _hidden", PROXY),
            ("X-Forwarded-For", "198.51.100.1:", PROXY),
            ("X-Forwarded-For", "198.51.100.1:99999", PROXY),
            ("X-Forwarded-For", "198.51.100.999", PROXY),
            ("X-Forwarded-For", "0x7f.1", PROXY),
            ("X-Forwarded-For", "127.1", PROXY),
            ("X-Forwarded-For", "[2001:db8::7", PROXY),
            ("X-Forwarded-For", "[2001:db8::7]x", PROXY),
            ("X-Forwarded-For", "[198.51.100.1]:80", PROXY),
            ("X-Forwarded-For", "fe80::7%", PROXY),
            ("X-Forwarded-For", "198.51.100.1 198.51.100.2", PROXY),
            ("Forwarded", "for=198.51.100.1;proto=https", "198.51.100.1"),
            ("Forwarded", "proto=https;For=198.51.100.1;by=10.1.1.1", "198.51.100.1"),
            ("Forwarded", "for=\"[2001:db8::7]:1\", for=10.1.1.1", "2001:db8::7"),
            ("Forwarded", "for=\"198.51.100.1:80\"", "198.51.100.1"),
            ("Forwarded", "for=6.6.6.6, for=198.51.100.1", "198.51.100.1"),
            // A quote that a client left open does not swallow what the proxy added.
            ("Forwarded", "for=\"6.6.6.6, for=198.51.100.1", "198.51.100.1"),
            ("Forwarded", "for=unknown", PROXY),
            ("Forwarded", "for=\"_hidden:80\"", PROXY),
            ("Forwarded", "for=198.51.100.1, by=10.1.1.1", PROXY),
            ("Forwarded", "for=198.51.100.1, for=", PROXY),
            ("Forwarded", "198.51.100.1", PROXY),
        ] {
            assert_eq!(client(PROXY, &[(header, value.as_bytes())]), expected, "{header}: {value}");
            // The same from somebody who is no proxy of ours.
            assert_eq!(client("203.0.113.9", &[(header, value.as_bytes())]), "203.0.113.9", "{header}: {value}");
        }
        assert_eq!(client("::1", &[("X-Forwarded-For", b"198.51.100.1")]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &[("X-Forwarded-For", b"198.51.100.1")]), "198.51.100.1");
    }

    #[test]
    fn lines_are_one_list_in_their_order() {
        let line = |value: &'static str| ("X-Forwarded-For", value.as_bytes());
        assert_eq!(client(PROXY, &[line("6.6.6.6"), line("198.51.100.1")]), "198.51.100.1");
        assert_eq!(client(PROXY, &[line("6.6.6.6, 198.51.100.1"), line("10.1.1.1")]), "198.51.100.1");
        assert_eq!(client(PROXY, &[line("198.51.100.1"), line("")]), "198.51.100.1");
        assert_eq!(client(PROXY, &[line("198.51.100.1"), line("garbage")]), PROXY);
    }

    #[test]
    fn what_a_client_wrote_hides_nothing_that_a_proxy_noted() {
        for (forwarded_for, expected) in [(&b"\xff, 198.51.100.1"[..], "198.51.100.1"), (b"\xff", PROXY)] {
            assert_eq!(client(PROXY, &[("X-Forwarded-For", forwarded_for)]), expected);
        }
    }

    #[test]
    fn two_headers_must_agree_or_neither_is_believed() {
        let both = |one: &'static str, other: &'static str| {
            client(PROXY, &[("X-Forwarded-For", one.as_bytes()), ("Forwarded", other.as_bytes())])
        };
        assert_eq!(both("198.51.100.1", "for=198.51.100.1"), "198.51.100.1");
        assert_eq!(both("6.6.6.6, 198.51.100.1:1", "for=\"198.51.100.1:2\""), "198.51.100.1");
        // A proxy writes one of them and passes on what the client wrote into the other.
        assert_eq!(both("198.51.100.1", "for=192.0.2.66"), PROXY);
        assert_eq!(both("192.0.2.66", "for=198.51.100.1"), PROXY);
        assert_eq!(both("198.51.100.1", "for=unknown"), PROXY);
    }

    #[test]
    fn a_chain_without_end_is_not_read_to_its_end() {
        let own = ["10.2.2.2"; MAX_HOPS].join(", ");
        assert_eq!(client(PROXY, &[("X-Forwarded-For", format!("198.51.100.1, {own}").as_bytes())]), "10.2.2.2");
        let less = &own["10.2.2.2, ".len()..];
        assert_eq!(client(PROXY, &[("X-Forwarded-For", format!("198.51.100.1, {less}").as_bytes())]), "198.51.100.1");
        let strangers = ["6.6.6.6"; 10_000].join(",");
        assert_eq!(
            client(PROXY, &[("X-Forwarded-For", format!("{strangers}, 198.51.100.1").as_bytes())]),
            "198.51.100.1"
        );
        assert_eq!(client(PROXY, &[("X-Forwarded-For", ",".repeat(100_000).as_bytes())]), PROXY);
    }
}
