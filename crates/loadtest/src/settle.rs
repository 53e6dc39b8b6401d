//! What a passenger does when a ride is over: looks at it, takes the receipt, rates it. And for some rides, looks closely.

use serde_json::Value;

use crate::{
    api::Request,
    client::{Answer, Client, Opened},
    follow::{Breach, Follower, difference},
    listen::listen_again,
    outage::Stop,
    passenger::Passenger,
    promises::Kind,
    trip::{Context, lost},
    wire::{Money, Receipt, Ride, Status},
};

/// Settles the ride that ended as `end`; `kept` holds its events when it is to be looked at closely.
///
/// # Errors
/// [`Stop`].
pub(crate) async fn settle(
    cx: &Context,
    passenger: &mut Passenger,
    end: &Ride,
    fare: &Money,
    stars: u8,
    kept: Option<Vec<(u64, Value)>>,
) -> Result<(), Stop> {
    let client = &cx.client;
    let broken = |kind, detail: String| client.promises.broken(kind, Some(&end.id), detail);

    let request = Request::show(&end.id);
    let answer = passenger.send(client, &request).await?;
    if answer.status == 404 {
        lost(client, &end.id, "the ride after its end");
        return Ok(());
    }
    let shown: Ride = client.read(&request, &answer, 200)?;
    if (shown.status, shown.version) != (end.status, end.version) {
        let seen = format!("ended {} at {}", end.status, end.version);
        broken(Kind::WentBack, format!("{seen}, then {} at {}", shown.status, shown.version));
    }
    if shown.fare != *fare {
        broken(Kind::FareDiffers, format!("quoted {fare}, ended ride {}", shown.fare));
    }
    if !answer.is_tagged(shown.version) {
        broken(Kind::EtagDiffers, format!("GET: version {}, ETag {:?}", shown.version, answer.header("etag")));
    }

    let request = Request::receipt(&end.id);
    let receipt: Receipt = client.read(&request, &passenger.send(client, &request).await?, 200)?;
    for (kind, detail) in check_receipt(end, fare, &receipt) {
        broken(kind, detail);
    }
    if let Some(known) = passenger.rides.last_mut().and_then(|taken| taken.end.as_mut()) {
        known.receipt = Some(receipt);
    }

    let answer = passenger.send(client, &Request::rate(&end.id, stars)).await?;
    let already = answer.earlier_lost && answer.code().as_deref() == Some("already-rated");
    if end.status != Status::Completed {
        expect_code(client, &end.id, "rating a ride that was not completed", &answer, "ride-not-completed");
    } else if answer.status != 201 && !already {
        broken(Kind::RatingRefused, format!("{} {}", answer.status, answer.excerpt()));
    } else if let Some(known) = passenger.rides.last_mut().and_then(|taken| taken.end.as_mut()) {
        known.rated = Some(stars);
    }

    match kept {
        Some(kept) => look_closely(cx, passenger, end, fare, &kept).await,
        None => Ok(()),
    }
}

/// The events again, the end of the stream again, and the unchanged ride again.
async fn look_closely(
    cx: &Context,
    passenger: &mut Passenger,
    end: &Ride,
    fare: &Money,
    kept: &[(u64, Value)],
) -> Result<(), Stop> {
    let client = &cx.client;
    let broken = |kind, detail: String| client.promises.broken(kind, Some(&end.id), detail);

    let request = Request::replay(&end.id, 1);
    match passenger.open(client, &request).await? {
        Opened::Answer(answer) => broken(Kind::ReplayDiffers, format!("{} {}", answer.status, answer.excerpt())),
        Opened::Stream(response) => {
            let follower = Follower::new(&cx.transitions, &end.id, fare, true);
            let mut follower = follower.after(1, Status::Requested);
            if listen_again(client, response, &mut follower, &end.id).await?.is_some() {
                for detail in compare(kept, &follower.kept, end.version) {
                    broken(Kind::ReplayDiffers, detail);
                }
            }
        }
    }
    for last in [end.version, end.version + 1] {
        match passenger.open(client, &Request::replay(&end.id, last)).await? {
            Opened::Answer(answer) if answer.status == 204 => {}
            Opened::Answer(answer) => {
                broken(Kind::ReplayDiffers, format!("after event {last}: {} instead of 204", answer.status));
            }
            Opened::Stream(_) => broken(Kind::ReplayDiffers, format!("after event {last}: a stream instead of 204")),
        }
    }
    let unchanged = Request::show(&end.id).with("if-none-match", format!("\"{}\"", end.version));
    let answer = passenger.send(client, &unchanged).await?;
    if answer.status != 304 {
        broken(Kind::EtagDiffers, format!("If-None-Match of version {}: {}", end.version, answer.status));
    }
    Ok(())
}

/// What a receipt breaks, given how the ride ended.
fn check_receipt(end: &Ride, fare: &Money, receipt: &Receipt) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let nothing = Money { amount: 0, currency: fare.currency.clone() };
    let due = match end.status {
        Status::Completed => fare.clone(),
        _ => end.cancellation.as_ref().and_then(|c| c.fee.clone()).unwrap_or(nothing),
    };
    if receipt.total != due {
        breaches.push((Kind::ReceiptDiffers, format!("{}: due {due}, receipt {}", end.status, receipt.total)));
    }
    if receipt.ride_id != end.id {
        breaches.push((Kind::ReceiptDiffers, format!("a receipt of ride {}", receipt.ride_id)));
    }
    let kinds: Vec<&str> = receipt.lines.iter().map(|line| line.kind.as_str()).collect();
    let as_promised = match (end.status, due.amount) {
        (Status::Completed, _) => !kinds.contains(&"cancellation_fee"),
        (_, 0) => kinds.is_empty(),
        _ => kinds == ["cancellation_fee"],
    };
    if !as_promised {
        breaches.push((Kind::ReceiptDiffers, format!("{}: lines {kinds:?}", end.status)));
    }
    let sum: i64 = receipt.lines.iter().map(|line| line.amount.amount).sum();
    if sum != receipt.total.amount || receipt.lines.iter().any(|l| l.amount.currency != receipt.total.currency) {
        breaches.push((Kind::ReceiptSum, format!("lines add up to {sum}, total {}", receipt.total)));
    }
    breaches
}

/// What differs between events seen live and the same events replayed after the first.
fn compare(live: &[(u64, Value)], replayed: &[(u64, Value)], end: u64) -> Vec<String> {
    let mut differences = Vec::new();
    if replayed.last().map(|(version, _)| *version) != Some(end) {
        differences.push(format!("the replay ends at {:?}, the ride at {end}", replayed.last().map(|(v, _)| v)));
    }
    for (version, seen) in live.iter().filter(|(version, _)| *version > 1) {
        match replayed.iter().find(|(v, _)| v == version) {
            None => differences.push(format!("event {version} is not replayed")),
            Some((_, again)) => {
                differences.extend(difference(seen, again).map(|d| format!("event {version} at {d}")));
            }
        }
    }
    differences
}

/// The answer to a key used again must be the first answer.
pub(crate) fn check_same_key(client: &Client, ride: &str, first: &Answer, again: &Answer) {
    let broken = |kind, detail: String| client.promises.broken(kind, Some(ride), detail);
    let id = |answer: &Answer| serde_json::from_slice::<Ride>(&answer.body).ok().map(|ride| ride.id);
    if let Some(other) = id(again).filter(|other| other != ride) {
        broken(Kind::TwoRides, format!("the same key made ride {other} too"));
    } else if again.status != first.status || again.body != first.body {
        broken(Kind::KeyReplay, format!("{} {}", again.status, again.excerpt()));
    } else if again.header("idempotency-replayed") != Some("true") {
        broken(Kind::KeyReplay, format!("Idempotency-Replayed is {:?}", again.header("idempotency-replayed")));
    }
}

/// The answer must be a 409 with this code.
pub(crate) fn expect_code(client: &Client, ride: &str, what: &str, answer: &Answer, code: &str) {
    if answer.status != 409 || answer.code().as_deref() != Some(code) {
        let detail = format!("{what}: {} {}", answer.status, answer.excerpt());
        client.promises.broken(Kind::UnexpectedAnswer, Some(ride), detail);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ride(status: &str, fee: Option<i64>) -> Ride {
        let cancellation = fee.map(|fee| json!({ "by": "driver", "reason": "x", "fee": usd(fee) }));
        serde_json::from_value(json!({ "id": "r", "status": status, "quote_id": "q", "product": "xl", "version": 6,
            "fare": usd(1250), "cancellation": cancellation }))
        .unwrap()
    }

    fn usd(amount: i64) -> Value {
        json!({ "amount": amount, "currency": "USD" })
    }

    fn receipt(lines: &[(&str, i64)], total: i64) -> Receipt {
        let lines: Vec<_> = lines.iter().map(|(k, a)| json!({ "kind": k, "amount": usd(*a) })).collect();
        serde_json::from_value(json!({ "ride_id": "r", "lines": lines, "total": usd(total),
            "payment_status": "captured", "issued_at": "2025-01-01T00:00:00Z" }))
        .unwrap()
    }

    fn broken(end: &Ride, receipt: &Receipt) -> Vec<Kind> {
        let fare = Money { amount: 1250, currency: "USD".into() };
        check_receipt(end, &fare, receipt).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn a_completed_ride_costs_its_quoted_fare() {
        let completed = ride("completed", None);
        assert_eq!(broken(&completed, &receipt(&[("base", 250), ("distance", 1000)], 1250)), []);
        assert_eq!(broken(&completed, &receipt(&[("base", 250), ("distance", 1001)], 1251)), [Kind::ReceiptDiffers]);
        assert_eq!(broken(&completed, &receipt(&[("base", 250)], 1250)), [Kind::ReceiptSum]);
    }

    #[test]
    fn a_cancelled_ride_costs_its_fee_in_one_line_or_nothing() {
        let free = ride("cancelled", Some(0));
        assert_eq!(broken(&free, &receipt(&[], 0)), []);
        assert_eq!(broken(&free, &receipt(&[("cancellation_fee", 0)], 0)), [Kind::ReceiptDiffers]);
        let fee = ride("cancelled", Some(500));
        assert_eq!(broken(&fee, &receipt(&[("cancellation_fee", 500)], 500)), []);
        assert_eq!(broken(&fee, &receipt(&[("base", 500)], 500)), [Kind::ReceiptDiffers]);
        assert_eq!(broken(&ride("expired", None), &receipt(&[("base", 1250)], 1250)).len(), 2);
    }

    #[test]
    fn a_replay_has_every_event_as_it_was() {
        let live = [(1, json!({ "v": 1 })), (2, json!({ "v": 2 })), (3, json!({ "v": 3 }))];
        assert_eq!(compare(&live, &live[1..], 3), Vec::<String>::new());
        assert_eq!(compare(&live[2..], &live[1..], 3), Vec::<String>::new(), "who came late saw less");
        assert_eq!(compare(&live, &live[2..], 3).len(), 1, "one is missing");
        assert_eq!(compare(&live, &live[1..2], 3).len(), 2, "the end is missing");
        assert_eq!(compare(&live, &[(2, json!({ "v": 9 })), live[2].clone()], 3).len(), 1, "one was changed");
    }
}
