//! Where the money of an ended ride must come to rest, and the wait until it has.

use std::time::{Duration, Instant};

use crate::{
    follow::Breach,
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

/// Asks for the receipt of a ride that ended as `status` until its payment is at rest; after `until` once more only. The
/// last receipt, and the promise it breaks.
///
/// # Errors
/// [`Stop`].
pub(crate) async fn at_rest(
    halt: &Halt,
    status: Status,
    until: Instant,
    mut ask: impl AsyncFnMut() -> Result<Receipt, Stop>,
) -> Result<(Receipt, Option<Breach>), Stop> {
    let mut pause = FIRST_PAUSE;
    loop {
        let receipt = ask().await?;
        let left = until.saturating_duration_since(Instant::now());
        let breach = judge(status, &receipt);
        if breach.is_none() || !is_open(&receipt) || left.is_zero() {
            return Ok((receipt, breach));
        }
        halt.pause(pause.min(left)).await?;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether the payment may still move by itself.
fn is_open(receipt: &Receipt) -> bool {
    matches!(receipt.payment_status.as_str(), "pending" | "authorised")
}

/// What is wrong with where the payment is: a fare or a fee is captured, what costs nothing is voided or was declined.
fn judge(status: Status, receipt: &Receipt) -> Option<Breach> {
    let Receipt { total, payment_status: payment, .. } = receipt;
    let kind = match (status == Status::Completed || total.amount > 0, payment.as_str()) {
        (true, "captured") | (false, "voided" | "declined") => return None,
        (true, _) => Kind::NotCaptured,
        (false, _) => Kind::NotReleased,
    };
    let waited = match is_open(receipt) {
        true => format!(" still, {} s after the last trip", AT_REST_WITHIN.as_secs()),
        false => String::new(),
    };
    Some((kind, format!("{status}, receipt {total}: payment {payment}{waited}")))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::wire::sample::receipt;

    /// How often the receipt was asked for, and the broken promise.
    async fn look(status: Status, total: i64, payments: &[&str], wait: Duration) -> (usize, Option<Kind>) {
        let mut answers: VecDeque<_> = payments.iter().map(|payment| receipt(&[], total, payment)).collect();
        let (halt, mut asked) = (Halt::new(), 0);
        let looked = at_rest(&halt, status, Instant::now() + wait, async || {
            asked += 1;
            answers.pop_front().ok_or(Stop::GaveUp)
        });
        let breach = looked.await.unwrap().1;
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

    fn broken(status: Status, total: i64, payment: &str) -> Option<Kind> {
        judge(status, &receipt(&[], total, payment)).map(|(kind, _)| kind)
    }

    #[test]
    fn a_ride_that_ended_for_nothing_is_voided_or_stays_declined() {
        for status in [Status::Cancelled, Status::Expired] {
            assert_eq!(broken(status, 0, "voided").or(broken(status, 0, "declined")), None);
            for wrong in ["authorised", "captured", "failed"] {
                assert_eq!(broken(status, 0, wrong), Some(Kind::NotReleased), "{wrong}");
            }
        }
    }

    #[test]
    fn a_fee_for_cancelling_is_captured() {
        assert_eq!(broken(Status::Cancelled, 500, "captured"), None);
        assert_eq!(broken(Status::Cancelled, 500, "authorised"), Some(Kind::NotCaptured));
        assert_eq!(broken(Status::Cancelled, 500, "voided"), Some(Kind::NotCaptured));
    }
}
