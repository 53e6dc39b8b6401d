//! After the last trip: everything that was acknowledged is still there, once, as it was.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::{
    api::Request,
    client::Client,
    follow::{Follower, difference, differences},
    listen::{Heard, Listener},
    money::Bill,
    outage::Stop,
    passenger::{End, Passenger, Taken},
    payment::{AT_REST_WITHIN, at_rest},
    promises::Kind,
    settle::expect_code,
    trip::{check_same_key, lost},
    wire::{Ride, RidePage, Status, Transitions},
};

/// Passengers looked at side by side.
const SIDE_BY_SIDE: usize = 16;
/// Rides a page: few, so that there are pages.
const PAGE: usize = 7;
/// So long the replay of an ended ride may take.
const REPLAY_WITHIN: Duration = Duration::from_secs(10);

/// Looks at every passenger's account and history, and at everything that was acknowledged about each ride, once its
/// payment is at rest. Returns what each ride came to, for every passenger who could be looked at.
pub(crate) async fn audit(client: &Client, transitions: &Transitions, passengers: Vec<Passenger>) -> Vec<Vec<Bill>> {
    let until = Instant::now() + AT_REST_WITHIN;
    let people = passengers.into_iter().filter(Passenger::signed_in);
    stream::iter(people)
        .map(|mut passenger| async move { look(client, transitions, &mut passenger, until).await.ok() })
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(std::future::ready)
        .collect()
        .await
}

async fn look(
    client: &Client,
    transitions: &Transitions,
    passenger: &mut Passenger,
    until: Instant,
) -> Result<Vec<Bill>, Stop> {
    passenger.look_at_account(client).await?;
    let (listed, mut bills) = (history(client, passenger).await?, Vec::new());
    let taken = std::mem::take(&mut passenger.rides);
    for (kind, ride, detail) in compare(&taken, &listed, passenger.unsure) {
        client.promises.broken(kind, Some(&ride), detail);
    }
    for ride in &taken {
        if !listed.iter().any(|(l, _)| l.id == ride.id) {
            let answer = passenger.send(client, &Request::show(&ride.id)).await?;
            if answer.status == 404 {
                lost(client, &ride.id, "a ride missing in the history");
            }
        }
        let again = passenger.send(client, &ride.request).await?;
        check_same_key(client, ride, &again);
        quote_again(client, passenger, ride).await?;
        let Some(end) = &ride.end else { continue };
        bills.push(pay(client, passenger, ride, end, until).await?);
        rate_again(client, passenger, ride, end).await?;
        events_again(client, transitions, passenger, ride, end).await?;
    }
    Ok(bills)
}

/// The whole history, each ride with its JSON.
async fn history(client: &Client, passenger: &mut Passenger) -> Result<Vec<(Ride, Value)>, Stop> {
    let (mut listed, mut cursor) = (Vec::new(), None::<String>);
    let pages = passenger.rides.len() / PAGE + 3;
    for _ in 0..pages {
        let request = Request::history(PAGE, cursor.as_deref());
        let page: RidePage = client.read(&request, &passenger.send(client, &request).await?, 200)?;
        for value in page.rides {
            match serde_json::from_value(value.clone()) {
                Ok(ride) => listed.push((ride, value)),
                Err(e) => {
                    client.promises.broken(
                        Kind::UnexpectedAnswer,
                        None,
                        format!("a ride in the history: {e}: {value}"),
                    );
                }
            }
        }
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
fn compare(taken: &[Taken], listed: &[(Ride, Value)], unsure: bool) -> Vec<(Kind, String, String)> {
    let mut breaches = Vec::new();
    let mut unknown = 0;
    for (place, (ride, value)) in listed.iter().enumerate() {
        if listed[..place].iter().any(|(earlier, _)| earlier.id == ride.id) {
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
        let last = known.end.as_ref().and_then(|end| end.events.last());
        if let Some(detail) = last.and_then(|(_, event)| difference(event, value)) {
            breaches.push((Kind::WentBack, ride.id.clone(), format!("its last event and the history: {detail}")));
        }
    }
    let place = |t: &Taken| listed.iter().position(|(l, _)| l.id == t.id);
    let missing = taken.iter().filter(|t| place(t).is_none());
    breaches.extend(missing.map(|t| (Kind::HistoryDiffers, t.id.clone(), "acknowledged, not listed".to_owned())));
    if !taken.iter().rev().filter_map(place).is_sorted() {
        let newest = taken.last().map(|t| t.id.clone()).unwrap_or_default();
        breaches.push((Kind::HistoryDiffers, newest, "not listed newest first".to_owned()));
    }
    breaches
}

/// The quote says what it said.
async fn quote_again(client: &Client, passenger: &mut Passenger, ride: &Taken) -> Result<(), Stop> {
    let Some(id) = ride.quote.get("quote_id").and_then(Value::as_str) else { return Ok(()) };
    let answer = passenger.send(client, &Request::quote_again(id)).await?;
    let same = answer.status == 200 && serde_json::from_slice::<Value>(&answer.body).is_ok_and(|q| q == ride.quote);
    if !same {
        let detail = format!("quote {id}: {} {}", answer.status, answer.excerpt());
        client.promises.broken(Kind::QuoteDiffers, Some(&ride.id), detail);
    }
    Ok(())
}

/// The money is where it belongs, and the receipt says what it said first.
async fn pay(
    client: &Client,
    passenger: &mut Passenger,
    ride: &Taken,
    end: &End,
    until: Instant,
) -> Result<Bill, Stop> {
    let request = Request::receipt(&ride.id);
    let ask = async || client.read(&request, &passenger.send(client, &request).await?, 200);
    let (again, breach) = at_rest(&client.halt, end.ride.status, until, ask).await?;
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
    let completed = end.ride.status == Status::Completed;
    let payments = if completed { &mut counts.payments } else { &mut counts.payments_undriven };
    *payments.entry(again.payment_status.clone()).or_default() += 1;
    let captured = again.payment_status == "captured";
    Ok(Bill { ride: ride.id.clone(), due: end.ride.due(&ride.quoted), captured: captured.then_some(again.total) })
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

/// Every event is there, without a gap, as it was seen; for some rides also the end of the stream and the unchanged ride.
async fn events_again(
    client: &Client,
    transitions: &Transitions,
    passenger: &mut Passenger,
    ride: &Taken,
    end: &End,
) -> Result<(), Stop> {
    let broken = |kind, detail: String| client.promises.broken(kind, Some(&ride.id), detail);
    let mut follower = Follower::new(transitions, &ride.id, &ride.quoted, true).after(0, Status::Requested);
    let answer = passenger.send(client, &Request::replay(&ride.id, 0)).await?;
    match answer.stream {
        None => broken(Kind::ReplayDiffers, format!("{} {}", answer.status, answer.excerpt())),
        Some(response) => {
            match Listener::new(client, &ride.id).listen(response, &mut follower, REPLAY_WITHIN).await? {
                Heard::Ended => {}
                Heard::Broke(detail) | Heard::Hung(detail) => broken(Kind::StreamEnd, format!("a replay: {detail}")),
                Heard::Reached | Heard::TimeUp => broken(Kind::StreamEnd, "no end of a replay".to_owned()),
            }
            for detail in differences(&end.events, &follower.kept, end.ride.version) {
                broken(Kind::ReplayDiffers, detail);
            }
        }
    }
    if !ride.sampled {
        return Ok(());
    }
    for last in [end.ride.version, end.ride.version + 1] {
        let answer = passenger.send(client, &Request::replay(&ride.id, last)).await?;
        if answer.status != 204 {
            broken(Kind::ReplayDiffers, format!("after event {last}: {} instead of 204", answer.status));
        }
    }
    let unchanged = Request::show(&ride.id).with("if-none-match", format!("\"{}\"", end.ride.version));
    let answer = passenger.send(client, &unchanged).await?;
    if answer.status != 304 {
        broken(Kind::EtagDiffers, format!("If-None-Match of version {}: {}", end.ride.version, answer.status));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sample;

    fn ride(id: &str, version: u64) -> Value {
        sample::ride(id, "completed", version, 9)
    }

    fn listed(ids: &[&str]) -> Vec<(Ride, Value)> {
        ids.iter().map(|id| (serde_json::from_value(ride(id, 6)).unwrap(), ride(id, 6))).collect()
    }

    fn taken(ids: &[&str]) -> Vec<Taken> {
        ids.iter().map(|id| Taken::ended(id, ride(id, 6))).collect()
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
        rides[0].end.as_mut().unwrap().events = vec![(7, ride("1", 7))];
        assert_eq!(compare(&rides, &history, false)[0].0, Kind::WentBack);
    }
}
