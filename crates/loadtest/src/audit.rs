//! After the last trip: everything that was acknowledged is still there, once, as it was.

use std::time::Instant;

use futures_util::{StreamExt, stream};

use crate::{
    api::Request,
    client::Client,
    outage::Stop,
    passenger::{End, Passenger, Taken},
    payment::{AT_REST_WITHIN, Looked, at_rest},
    promises::Kind,
    settle::expect_code,
    trip::lost,
    wire::{Ride, RidePage, Status},
};

/// Passengers looked at side by side.
const SIDE_BY_SIDE: usize = 16;
/// Rides a page: few, so that there are pages.
const PAGE: usize = 7;

/// Looks at every passenger's history and, once its payment is at rest, at every ended ride's receipt; and again at the
/// ratings of the sampled rides and of all that ended before `killed`. Returns how many histories were read.
pub(crate) async fn audit(client: &Client, passengers: Vec<Passenger>, killed: Option<Instant>) -> usize {
    let until = Instant::now() + AT_REST_WITHIN;
    let people = passengers.into_iter().filter(Passenger::signed_in);
    stream::iter(people)
        .map(|mut passenger| async move { look(client, &mut passenger, killed, until).await.is_ok() })
        .buffer_unordered(SIDE_BY_SIDE)
        .filter(|read| std::future::ready(*read))
        .count()
        .await
}

async fn look(client: &Client, passenger: &mut Passenger, killed: Option<Instant>, until: Instant) -> Result<(), Stop> {
    let listed = history(client, passenger).await?;
    let taken = std::mem::take(&mut passenger.rides);
    for (kind, ride, detail) in compare(&taken, &listed, passenger.unsure) {
        client.promises.broken(kind, Some(&ride), detail);
    }
    for ride in &taken {
        if !listed.iter().any(|l| l.id == ride.id) {
            let answer = passenger.send(client, &Request::show(&ride.id)).await?;
            if answer.status == 404 {
                lost(client, &ride.id, "a ride missing in the history");
            }
        }
        let Some(end) = &ride.end else { continue };
        pay(client, passenger, ride, end, until).await?;
        if ride.sampled || killed.is_some_and(|killed| end.at < killed) {
            rate_again(client, passenger, ride, end).await?;
        }
    }
    Ok(())
}

async fn history(client: &Client, passenger: &mut Passenger) -> Result<Vec<Ride>, Stop> {
    let (mut listed, mut cursor) = (Vec::new(), None::<String>);
    let pages = passenger.rides.len() / PAGE + 3;
    for _ in 0..pages {
        let request = Request::history(PAGE, cursor.as_deref());
        let page: RidePage = client.read(&request, &passenger.send(client, &request).await?, 200)?;
        listed.extend(page.rides);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(listed);
        }
    }
    let detail = format!("no last page after {pages} pages of {PAGE}");
    client.promises.broken(Kind::HistoryDiffers, passenger.rides.last().map(|r| r.id.as_str()), detail);
    Err(Stop::GaveUp)
}

/// The history against what was acknowledged, oldest first.
fn compare(taken: &[Taken], listed: &[Ride], unsure: bool) -> Vec<(Kind, String, String)> {
    let mut breaches = Vec::new();
    let mut unknown = 0;
    for (place, ride) in listed.iter().enumerate() {
        if listed[..place].iter().any(|earlier| earlier.id == ride.id) {
            breaches.push((Kind::HistoryDiffers, ride.id.clone(), "listed twice".to_owned()));
            continue;
        }
        let Some(known) = taken.iter().find(|t| t.id == ride.id) else {
            unknown += 1;
            if unknown > usize::from(unsure) {
                breaches.push((Kind::TwoRides, ride.id.clone(), "in the history, never acknowledged".to_owned()));
            }
            continue;
        };
        if ride.fare != known.quoted {
            let detail = format!("quoted {}, history {}", known.quoted, ride.fare);
            breaches.push((Kind::FareDiffers, ride.id.clone(), detail));
        }
        if let Some(end) = known.end.as_ref().filter(|e| (e.status, e.version) != (ride.status, ride.version)) {
            let detail = format!("ended {} at {}, listed {} at {}", end.status, end.version, ride.status, ride.version);
            breaches.push((Kind::WentBack, ride.id.clone(), detail));
        }
    }
    let missing = taken.iter().filter(|t| !listed.iter().any(|l| l.id == t.id));
    breaches.extend(missing.map(|t| (Kind::HistoryDiffers, t.id.clone(), "acknowledged, not listed".to_owned())));
    let mut places = taken.iter().rev().filter_map(|t| listed.iter().position(|l| l.id == t.id));
    if !places.by_ref().is_sorted() {
        let newest = taken.last().map(|t| t.id.clone()).unwrap_or_default();
        breaches.push((Kind::HistoryDiffers, newest, "not listed newest first".to_owned()));
    }
    breaches
}

/// The money is where it belongs, and the receipt says what it said first.
async fn pay(client: &Client, passenger: &mut Passenger, ride: &Taken, end: &End, until: Instant) -> Result<(), Stop> {
    let request = Request::receipt(&ride.id);
    let ask = async || client.read(&request, &passenger.send(client, &request).await?, 200);
    let Looked { receipt: again, breach } = at_rest(&client.halt, end.status, until, ask).await?;
    if let Some((kind, detail)) = breach {
        client.promises.broken(kind, Some(&ride.id), detail);
    }
    if let Some(first) = &end.receipt
        && (&again.lines, &again.total) != (&first.lines, &first.total)
    {
        let detail = format!("first {}, at the end of the replay {}", first.total, again.total);
        client.promises.broken(Kind::ReceiptDiffers, Some(&ride.id), detail);
    }
    let mut counts = client.tally.counts();
    let payments = if end.status == Status::Completed { &mut counts.payments } else { &mut counts.payments_undriven };
    *payments.entry(again.payment_status).or_default() += 1;
    Ok(())
}

/// The rating is there.
async fn rate_again(client: &Client, passenger: &mut Passenger, ride: &Taken, end: &End) -> Result<(), Stop> {
    if let Some(stars) = end.rated {
        let answer = passenger.send(client, &Request::rate(&ride.id, stars)).await?;
        if answer.status == 201 {
            client.promises.broken(Kind::RatingLost, Some(&ride.id), "it could be rated again");
        } else {
            expect_code(client, &ride.id, "rating a second time", &answer, "already-rated");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::Money;

    fn listed(ids: &[&str]) -> Vec<Ride> {
        let ride = |id: &&str| {
            serde_json::from_value(json!({ "id": id, "status": "completed", "quote_id": "q", "product": "xl",
                "version": 6, "fare": { "amount": 9, "currency": "USD" }, "cancellation": null }))
        };
        ids.iter().map(|id| ride(id).unwrap()).collect()
    }

    fn taken(ids: &[&str]) -> Vec<Taken> {
        let end = || End { status: Status::Completed, version: 6, at: Instant::now(), receipt: None, rated: None };
        let fare = Money { amount: 9, currency: "USD".into() };
        ids.iter()
            .map(|id| Taken { id: (*id).to_owned(), quoted: fare.clone(), sampled: false, end: Some(end()) })
            .collect()
    }

    fn broken(acknowledged: &[&str], history: &[&str], unsure: bool) -> Vec<Kind> {
        compare(&taken(acknowledged), &listed(history), unsure).into_iter().map(|b| b.0).collect()
    }

    #[test]
    fn a_history_lists_every_acknowledged_ride_once_newest_first() {
        assert_eq!(broken(&["1", "2", "3"], &["3", "2", "1"], false), []);
        assert_eq!(broken(&["1", "2", "3"], &["3", "1", "2"], false), [Kind::HistoryDiffers], "order");
        assert_eq!(broken(&["1", "2", "3"], &["3", "1"], false), [Kind::HistoryDiffers], "missing");
        assert_eq!(broken(&["1", "2"], &["2", "2", "1"], false), [Kind::HistoryDiffers], "twice");
    }

    #[test]
    fn a_ride_that_nobody_acknowledged_is_a_second_ride_unless_an_answer_got_lost_for_good() {
        assert_eq!(broken(&["1"], &["2", "1"], false), [Kind::TwoRides]);
        assert_eq!(broken(&["1"], &["2", "1"], true), []);
        assert_eq!(broken(&["1"], &["3", "2", "1"], true), [Kind::TwoRides]);
    }

    #[test]
    fn an_ended_ride_stays_as_it_ended() {
        let (mut rides, history) = (taken(&["1"]), listed(&["1"]));
        rides[0].end.as_mut().unwrap().version = 7;
        assert_eq!(compare(&rides, &history, false)[0].0, Kind::WentBack);
    }
}
