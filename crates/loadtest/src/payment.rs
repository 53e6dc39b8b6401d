//! Where the money of an ended ride must come to rest, and the wait until it has.

use std::time::{Duration, Instant};

use crate::{
    outage::{Halt, Stop},
    promises::Kind,
    wire::{Receipt, Status},
};

/// How long after the last trip's end the payments may stay open. Leaves room for a delivery that a kill interrupted
/// (its lease runs out, the sweep finds it) and for several tries with growing pauses.
pub(crate) const AT_REST_WITHIN: Duration = Duration::from_secs(60);
/// Between the first two looks at one receipt; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where a payment stands, given how its ride ended.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// Where it belongs.
    Right,
    /// Still under way.
    Open,
    /// Somewhere it does not belong and will not leave by itself.
    Wrong,
}

/// A look at the receipt that was the last one, and the promise it breaks.
pub(crate) struct Looked {
    pub(crate) receipt: Receipt,
    pub(crate) breach: Option<(Kind, String)>,
}

/// Asks for the receipt of a ride that ended as `status` until its payment is at rest; after `until` once more only.
///
/// # Errors
/// [`Stop`].
pub(crate) async fn at_rest(
    halt: &Halt,
    status: Status,
    until: Instant,
    mut ask: impl AsyncFnMut() -> Result<Receipt, Stop>,
) -> Result<Looked, Stop> {
    let mut pause = FIRST_PAUSE;
    loop {
        let receipt = ask().await?;
        let rest = judge(status, &receipt);
        let left = until.saturating_duration_since(Instant::now());
        if rest != Rest::Open || left.is_zero() {
            let breach = (rest != Rest::Right).then(|| breach(status, &receipt, &rest));
            return Ok(Looked { receipt, breach });
        }
        halt.pause(pause.min(left)).await?;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether the ride costs its passenger something: its fare, or a fee for cancelling.
fn is_due(status: Status, receipt: &Receipt) -> bool {
    status == Status::Completed || receipt.total.amount > 0
}

fn judge(status: Status, receipt: &Receipt) -> Rest {
    match (is_due(status, receipt), receipt.payment_status.as_str()) {
        (true, "captured") | (false, "voided" | "declined") => Rest::Right,
        (_, "pending" | "authorised") => Rest::Open,
        _ => Rest::Wrong,
    }
}

fn breach(status: Status, receipt: &Receipt, rest: &Rest) -> (Kind, String) {
    let kind = if is_due(status, receipt) { Kind::NotCaptured } else { Kind::NotReleased };
    let (payment, total) = (&receipt.payment_status, &receipt.total);
    let waited = match rest {
        Rest::Open => format!(" still, {} s after the last trip", AT_REST_WITHIN.as_secs()),
        _ => String::new(),
    };
    (kind, format!("{status}, receipt {total}: payment {payment}{waited}"))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use serde_json::json;

    use super::*;

    fn receipt(total: i64, payment: &str) -> Receipt {
        let total = json!({ "amount": total, "currency": "USD" });
        serde_json::from_value(json!({ "ride_id": "r", "lines": [], "total": total, "payment_status": payment }))
            .unwrap()
    }

    /// How often the receipt was asked for, and the broken promise.
    async fn look(status: Status, total: i64, payments: &[&str], wait: Duration) -> (usize, Option<Kind>) {
        let mut answers: VecDeque<_> = payments.iter().map(|payment| receipt(total, payment)).collect();
        let (halt, mut asked) = (Halt::new(), 0);
        let looked = at_rest(&halt, status, Instant::now() + wait, async || {
            asked += 1;
            answers.pop_front().ok_or(Stop::GaveUp)
        });
        let breach = looked.await.unwrap().breach;
        (asked, breach.map(|(kind, _)| kind))
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_completed_ride_is_waited_for_until_its_payment_is_captured() {
        assert_eq!(look(Status::Completed, 9, &["captured"], Duration::ZERO).await, (1, None));
        assert_eq!(look(Status::Completed, 9, &["pending", "authorised", "captured"], MINUTE).await, (3, None));
    }

    #[tokio::test]
    async fn a_completed_ride_whose_payment_came_to_rest_elsewhere_is_not_waited_for() {
        for payment in ["failed", "voided", "declined", "a word of its own"] {
            let seen = look(Status::Completed, 9, &[payment], MINUTE).await;
            assert_eq!(seen, (1, Some(Kind::NotCaptured)), "{payment}");
        }
    }

    #[tokio::test]
    async fn a_payment_that_stays_open_is_a_broken_promise_when_the_time_is_over() {
        let open = ["authorised"; 50];
        let (asked, breach) = look(Status::Completed, 9, &open, FIRST_PAUSE * 4).await;
        assert_eq!(breach, Some(Kind::NotCaptured));
        assert!(asked > 1, "it was asked again before the time was over");
        assert_eq!(look(Status::Expired, 0, &open, Duration::ZERO).await, (1, Some(Kind::NotReleased)));
    }

    #[test]
    fn a_ride_that_ended_for_nothing_is_voided_or_stays_declined() {
        for status in [Status::Cancelled, Status::Expired] {
            assert_eq!(judge(status, &receipt(0, "voided")), Rest::Right);
            assert_eq!(judge(status, &receipt(0, "declined")), Rest::Right);
            assert_eq!(judge(status, &receipt(0, "authorised")), Rest::Open);
            assert_eq!(judge(status, &receipt(0, "captured")), Rest::Wrong);
            assert_eq!(judge(status, &receipt(0, "failed")), Rest::Wrong);
        }
    }

    #[test]
    fn a_fee_for_cancelling_is_captured() {
        assert_eq!(judge(Status::Cancelled, &receipt(500, "captured")), Rest::Right);
        assert_eq!(judge(Status::Cancelled, &receipt(500, "authorised")), Rest::Open);
        assert_eq!(judge(Status::Cancelled, &receipt(500, "voided")), Rest::Wrong);
        assert_eq!(breach(Status::Cancelled, &receipt(500, "voided"), &Rest::Wrong).0, Kind::NotCaptured);
    }
}
