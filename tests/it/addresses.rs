//! Whose request is it, as far as the address tells: what a client writes into a header is not believed, what a proxy of
//! ours writes is.

use crate::harness::{Answer, Api, Gateway};

/// Five requests an address, and no more for a long time.
const FIVE_EACH: &str = "[[policy]]\nname = \"address\"\nkey = \"address\"\nquota = 5\nwindow_s = 3600\n";
const PROXIED: [(&str, &str); 1] = [("http.trusted_proxies", "127.0.0.1")];

/// Asks for something that is the same for everybody, with these headers.
async fn ask(api: &Api, headers: &[(&str, &str)]) -> Answer {
    let call = api.get("/v1/ride-states");
    headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await
}

/// Spends what the address has, with a header that differs each time; whatever it says, the sixth request is refused.
async fn spend(api: &Api, header: impl Fn(usize) -> (&'static str, String)) {
    for i in 0..5 {
        let (name, value) = header(i);
        ask(api, &[(name, &value)]).await.expect(200);
    }
    for i in 5..8 {
        let (name, value) = header(i);
        ask(api, &[(name, &value)]).await.problem(429, "quota-exceeded");
    }
}

/// Nothing of it was spent before.
async fn has_all_of_its_budget(api: &Api, headers: &[(&str, &str)]) {
    let answer = ask(api, headers).await;
    answer.expect(200);
    assert_eq!(answer.header("ratelimit").map(|text| text.starts_with("\"address\";r=4;")), Some(true), "{answer:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_from_no_proxy_neither_escapes_a_limit_nor_spends_somebody_elses() {
    let gateway = Gateway::start_with_policies(FIVE_EACH, &[]).await;
    let (spoofer, victim) = (gateway.public_from("127.0.0.2"), gateway.public_from("127.0.0.3"));
    spend(&spoofer, |i| match i % 3 {
        0 => ("x-forwarded-for", "127.0.0.3".to_owned()),
        1 => ("forwarded", "for=127.0.0.3".to_owned()),
        _ => ("x-forwarded-for", format!("198.51.100.{i}")),
    })
    .await;
    has_all_of_its_budget(&victim, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_what_the_client_wrote_itself_neither_escapes_nor_spends() {
    let gateway = Gateway::start_with_policies(FIVE_EACH, &PROXIED).await;
    let proxy = gateway.public();
    // The client writes what it likes; the proxy adds where it really came from.
    spend(&proxy, |i| ("x-forwarded-for", format!("198.51.100.{i}, 203.0.113.7"))).await;
    spend(&proxy, |i| ("forwarded", format!("for=198.51.100.{i}, for=\"203.0.113.8:{}\"", 1000 + i))).await;
    for victim in ["198.51.100.0", "198.51.100.1", "198.51.100.7"] {
        has_all_of_its_budget(&proxy, &[("x-forwarded-for", victim)]).await;
    }
    // The same client, whatever way the proxy writes it.
    for same in ["203.0.113.7", "203.0.113.7:4711", "::ffff:203.0.113.7", "6.6.6.6,203.0.113.7 , 127.0.0.1"] {
        ask(&proxy, &[("x-forwarded-for", same)]).await.problem(429, "quota-exceeded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_whole_ipv6_network_is_one_caller_behind_a_proxy() {
    let gateway = Gateway::start_with_policies(FIVE_EACH, &PROXIED).await;
    let proxy = gateway.public();
    spend(&proxy, |i| ("x-forwarded-for", format!("[2001:db8:0:1::{i}]:443"))).await;
    has_all_of_its_budget(&proxy, &[("x-forwarded-for", "2001:db8:0:2::1")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_beside_the_proxy_is_not_believed() {
    let gateway = Gateway::start_with_policies(FIVE_EACH, &PROXIED).await;
    let (proxy, stranger) = (gateway.public(), gateway.public_from("127.0.0.2"));
    spend(&stranger, |i| ("x-forwarded-for", format!("198.51.100.{i}"))).await;
    has_all_of_its_budget(&proxy, &[("x-forwarded-for", "198.51.100.0")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_the_proxys_account() {
    let gateway = Gateway::start_with_policies(FIVE_EACH, &PROXIED).await;
    let proxy = gateway.public();
    let nonsense =
        ["garbage", "unknown", "_hidden", "198.51.100.1, x", "", "1.2.3.4:99999", "[::1", "198.51.100.1, ,%"];
    spend(&proxy, |i| ("x-forwarded-for", nonsense[i].to_owned())).await;
    has_all_of_its_budget(&proxy, &[("x-forwarded-for", "198.51.100.1")]).await;
    // Two headers that tell two stories: one of them is the client's own.
    let two = [("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=203.0.113.2")];
    ask(&proxy, &two).await.problem(429, "quota-exceeded");
    for told in ["203.0.113.1", "203.0.113.2"] {
        has_all_of_its_budget(&proxy, &[("x-forwarded-for", told)]).await;
    }
}
