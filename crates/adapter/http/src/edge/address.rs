//! Where a request really comes from. `X-Forwarded-For` and `Forwarded` are believed only from trusted proxies,
//! read from right to left: the first address that is not a trusted proxy is the client.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{FORWARDED, HeaderMap, X_FORWARDED_FOR};

use crate::config::ProxyNet;

/// The client's address. With no believable header it is the peer's.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[ProxyNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.0.contains(&address));
    let mut client = plain(peer);
    if !is_trusted(client) {
        return client;
    }
    for hop in hops(headers).into_iter().rev() {
        // A hop that cannot be read ends the chain: what lies before it was written by nobody we trust.
        let Some(address) = hop else { return client };
        client = plain(address);
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

/// The addresses that proxies noted, in the order of the headers; `X-Forwarded-For` if there is one.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    // What a client wrote may stand on the same line as what a proxy added: each hop is read for itself.
    let elements = |name| {
        let lines = headers.get_all(name).flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        lines.map(|element| std::str::from_utf8(element).unwrap_or(""))
    };
    if headers.contains_key(X_FORWARDED_FOR) {
        return elements(X_FORWARDED_FOR).map(parse).collect();
    }
    let node = |element: &str| {
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for")).and_then(|(_, node)| parse(node))
    };
    elements(FORWARDED).map(node).collect()
}

/// An address with or without port, brackets and quotes.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim().trim_matches('"');
    let bare = hop.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(hop);
    bare.parse::<IpAddr>().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// An IPv4 address that came as IPv6 is the same client.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use actix_web::{http::header::HeaderValue, test::TestRequest};

    use super::*;

    #[test]
    fn only_what_trusted_proxies_noted_is_believed() {
        let trusted: Vec<ProxyNet> = ["10.0.0.0/8", "::1"].iter().map(|p| p.parse().unwrap()).collect();
        for (peer, header, value, client) in [
            ("203.0.113.9", "X-Forwarded-For", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "X-Forwarded-For", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "X-Forwarded-For", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "X-Forwarded-For", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
            ("10.0.0.1", "X-Forwarded-For", "198.51.100.1:4711", "198.51.100.1"),
            ("10.0.0.1", "X-Forwarded-For", "[2001:db8::7]:4711", "2001:db8::7"),
            ("10.0.0.1", "X-Forwarded-For", "2001:db8::7", "2001:db8::7"),
            ("10.0.0.1", "X-Forwarded-For", "198.51.100.1, garbage", "10.0.0.1"),
            ("10.0.0.1", "X-Forwarded-For", "", "10.0.0.1"),
            ("10.0.0.1", "Forwarded", "for=198.51.100.1;proto=https", "198.51.100.1"),
            ("10.0.0.1", "Forwarded", "for=\"[2001:db8::7]:1\", for=10.1.1.1", "2001:db8::7"),
            ("10.0.0.1", "Forwarded", "for=unknown", "10.0.0.1"),
            ("::1", "X-Forwarded-For", "::ffff:198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "X-Forwarded-For", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ] {
            let request = TestRequest::default().insert_header((header, value)).to_http_request();
            let seen = client_address(peer.parse().unwrap(), request.headers(), &trusted);
            assert_eq!(seen, client.parse::<IpAddr>().unwrap(), "{peer} {header}: {value}");
        }
    }

    #[test]
    fn what_a_client_wrote_hides_nothing_that_a_proxy_noted() {
        let trusted: Vec<ProxyNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let proxy = "10.0.0.1".parse().unwrap();
        for (forwarded_for, client) in [(&b"\xff, 198.51.100.1"[..], "198.51.100.1"), (b"\xff", "10.0.0.1")] {
            let forwarded_for = ("X-Forwarded-For", HeaderValue::from_bytes(forwarded_for).unwrap());
            let request = TestRequest::default().insert_header(forwarded_for);
            let request = request.insert_header(("Forwarded", "for=192.0.2.66")).to_http_request();
            let seen = client_address(proxy, request.headers(), &trusted);
            assert_eq!(seen, client.parse::<IpAddr>().unwrap());
        }
    }
}
