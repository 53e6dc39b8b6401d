//! What a passenger does when a ride is over: looks at it, takes the receipt, rates it.

use crate::{
    api::Request,
    client::{Answer, Client},
    follow::Breach,
    outage::Stop,
    passenger::Passenger,
    promises::Kind,
    trip::lost,
    wire::{Money, Receipt, Ride, Status},
};

/// Settles the passenger's newest ride, which ended as `end`.
///
/// # Errors
/// [`Stop`].
pub(crate) async fn settle(
    client: &Client,
    passenger: &mut Passenger,
    end: &Ride,
    fare: &Money,
    stars: u8,
) -> Result<(), Stop> {
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
    let already = answer.is_repeat() && answer.code().as_deref() == Some("already-rated");
    if end.status != Status::Completed {
        expect_code(client, &end.id, "rating a ride that was not completed", &answer, "ride-not-completed");
    } else if answer.status != 201 && !already {
        broken(Kind::RatingRefused, format!("{} {}", answer.status, answer.excerpt()));
    } else if let Some(known) = passenger.rides.last_mut().and_then(|taken| taken.end.as_mut()) {
        known.rated = Some(stars);
    }
    Ok(())
}

/// What a receipt breaks, given how the ride ended.
fn check_receipt(end: &Ride, fare: &Money, receipt: &Receipt) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let due = end.due(fare);
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

/// The answer must be a 409 with this code.
pub(crate) fn expect_code(client: &Client, ride: &str, what: &str, answer: &Answer, code: &str) {
    if answer.status != 409 || answer.code().as_deref() != Some(code) {
        let detail = format!("{what}: {} {}", answer.status, answer.excerpt());
        client.promises.broken(Kind::UnexpectedAnswer, Some(ride), detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sample::{cancelled, receipt, ride, usd};

    fn broken(end: &Ride, lines: &[(&str, i64)], total: i64) -> Vec<Kind> {
        check_receipt(end, &usd(1250), &receipt(lines, total, "captured")).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn a_completed_ride_costs_its_quoted_fare() {
        let completed: Ride = serde_json::from_value(ride("r", "completed", 6, 1250)).unwrap();
        assert_eq!(broken(&completed, &[("base", 250), ("distance", 1000)], 1250), []);
        assert_eq!(broken(&completed, &[("base", 250), ("distance", 1001)], 1251), [Kind::ReceiptDiffers]);
        assert_eq!(broken(&completed, &[("base", 250)], 1250), [Kind::ReceiptSum]);
    }

    #[test]
    fn a_cancelled_ride_costs_its_fee_in_one_line_or_nothing() {
        let free = cancelled("cancelled", "driver", 0);
        assert_eq!(broken(&free, &[], 0), []);
        assert_eq!(broken(&free, &[("cancellation_fee", 0)], 0), [Kind::ReceiptDiffers]);
        let fee = cancelled("cancelled", "driver", 500);
        assert_eq!(broken(&fee, &[("cancellation_fee", 500)], 500), []);
        assert_eq!(broken(&fee, &[("base", 500)], 500), [Kind::ReceiptDiffers]);
        assert_eq!(broken(&cancelled("expired", "system", 0), &[("base", 1250)], 1250).len(), 2);
    }
}
