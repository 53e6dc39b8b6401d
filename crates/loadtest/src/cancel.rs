//! A passenger calls a ride off, and agrees to the fee if there is one.

use crate::{
    api::{CHANGED_PLANS, Request},
    client::Client,
    outage::Stop,
    passenger::{Passenger, Taken},
    promises::Kind,
    wire::{Cancellation, FeeAsked, Money, Ride, Status},
};

/// Where a ride may be called off: the last of them costs a fee.
pub(crate) const MOMENTS: [Status; 3] = [Status::Requested, Status::Accepted, Status::Arrived];

/// Calls off the passenger's newest ride, unless it is too late; what was acknowledged is noted with the ride.
///
/// # Errors
/// [`Stop`].
pub(crate) async fn call_off(client: &Client, passenger: &mut Passenger, ride: &str) -> Result<(), Stop> {
    let (mut fee, mut token) = (None::<Money>, None::<String>);
    for _ in 0..3 {
        let request = Request::cancel(ride, token.as_deref());
        let answer = passenger.send(client, &request).await?;
        match (answer.status, answer.code().as_deref()) {
            (409, Some("cancellation-fee")) => {
                let asked: FeeAsked = client.read(&request, &answer, 409)?;
                (fee, token) = (Some(asked.fee), Some(asked.confirmation_token));
            }
            // It had gone on meanwhile.
            (409, Some("illegal-transition")) => return Ok(()),
            _ => {
                let shown: Ride = client.read(&request, &answer, 200)?;
                if let Some(detail) = differs(&shown, fee.as_ref()) {
                    client.promises.broken(Kind::CancelDiffers, Some(ride), detail);
                }
                if let Some(taken) = passenger.rides.last_mut() {
                    taken.cancelled = shown.cancellation;
                }
                return Ok(());
            }
        }
    }
    client.promises.broken(Kind::CancelDiffers, Some(ride), "a fee was asked for three times");
    Err(Stop::GaveUp)
}

/// What is wrong with the answer to a cancellation, when this fee was agreed to.
fn differs(shown: &Ride, agreed: Option<&Money>) -> Option<String> {
    let Some(Cancellation { by, reason, fee }) = &shown.cancellation else {
        return Some(format!("acknowledged, and the ride is {} without a cancellation", shown.status));
    };
    if shown.status != Status::Cancelled {
        return Some(format!("acknowledged, and the ride is {}", shown.status));
    }
    let fee = fee.as_ref().filter(|fee| fee.amount != 0);
    // Somebody else may have been faster; then it costs nothing.
    let agreed = agreed.filter(|_| by == "passenger");
    (fee != agreed || (by == "passenger" && reason != CHANGED_PLANS))
        .then(|| format!("by {by} for {reason:?}: fee {fee:?}, agreed to {agreed:?}"))
}

/// A cancellation that was acknowledged is how the ride ended.
pub(crate) fn check(client: &Client, taken: &Taken, end: &Ride) {
    if taken.cancelled.is_some() && (end.status != Status::Cancelled || taken.cancelled != end.cancellation) {
        let detail = format!("acknowledged {:?}, ended {}: {:?}", taken.cancelled, end.status, end.cancellation);
        client.promises.broken(Kind::CancelDiffers, Some(&end.id), detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sample::{cancelled, usd};

    #[test]
    fn a_cancellation_costs_what_was_agreed_to() {
        assert_eq!(differs(&cancelled("cancelled", "passenger", 0), None), None);
        assert_eq!(differs(&cancelled("cancelled", "passenger", 500), Some(&usd(500))), None);
        assert!(differs(&cancelled("cancelled", "passenger", 500), None).is_some(), "nobody agreed");
        assert!(differs(&cancelled("cancelled", "passenger", 500), Some(&usd(300))).is_some());
        assert_eq!(differs(&cancelled("cancelled", "driver", 0), Some(&usd(500))), None, "the driver was faster");
        assert!(differs(&cancelled("completed", "passenger", 0), None).is_some());
    }
}
