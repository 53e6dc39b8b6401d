//! A disk without room. A limit on the size of files plays it: whatever would make a file larger fails.

use std::{collections::HashSet, process::Command};

use serde_json::{Value, json};

use crate::harness::{Answer, Gateway, Passenger, eventually, fresh_phone, on_one_file, text, trip};

/// One MiB: enough to start and for some rides.
const SMALL_DISK: &str = "ulimit -S -f 2048";
/// Writes refused in a row until the disk counts as full.
const FULL: usize = 12;

/// What was acknowledged while the disk filled up.
#[derive(Default)]
struct Acknowledged {
    passengers: Vec<Passenger>,
    /// The index of the passenger, and the ride as it was answered.
    rides: Vec<(usize, Value)>,
}

impl Acknowledged {
    /// All of it is there.
    async fn check(&self) {
        for passenger in &self.passengers {
            assert_eq!(passenger.api.get("/v1/me").send().await.expect(200)["id"], passenger.id);
        }
        for (passenger, ride) in &self.rides {
            let now = self.passengers[*passenger].ride(&text(&ride["id"])).await;
            assert_eq!((&now["quote_id"], &now["fare"]), (&ride["quote_id"], &ride["fare"]));
        }
        let ids: HashSet<&str> = self.passengers.iter().map(|passenger| passenger.id.as_str()).collect();
        assert_eq!(ids.len(), self.passengers.len(), "nobody's id was given twice");
    }
}

/// A refusal that a full disk may cause: a problem that says to try again, with nothing of the database in it.
#[track_caller]
fn apologised(answer: &Answer) {
    let (status, code) = (answer.status, text(&answer.json()["code"]));
    assert!(matches!((status, code.as_str()), (500, "internal") | (503, "unavailable")), "{answer:#?}");
    answer.problem(status, &code);
    for word in ["disk", "database", "sqlite", "I/O"] {
        assert!(!answer.body.contains(word), "the passenger need not know: {answer:#?}");
    }
}

/// Signs people in and requests rides until nothing can be written any more.
async fn fill(gateway: &Gateway) -> Acknowledged {
    let (mut done, mut refused) = (Acknowledged::default(), 0);
    for _ in 0..400 {
        match one_more(gateway, &mut done).await {
            None => refused = 0,
            Some(refusal) => {
                apologised(&refusal);
                refused += 1;
            }
        }
        if refused == FULL {
            assert!(!done.rides.is_empty(), "there was room for a ride");
            return done;
        }
    }
    panic!("the disk does not become full");
}

/// One passenger more and a ride; the first refusal on the way.
async fn one_more(gateway: &Gateway, done: &mut Acknowledged) -> Option<Answer> {
    let (public, phone) = (gateway.public(), fresh_phone());
    let challenge = public.post("/v1/auth/otp", &json!({ "phone": phone })).send().await;
    if challenge.status != 202 {
        return Some(challenge);
    }
    let code = Passenger::read_code(&public, &phone).await;
    let body = json!({ "challenge_id": challenge.json()["challenge_id"], "code": code, "device_id": "phone-1" });
    let tokens = public.post("/v1/auth/token", &body).send().await;
    if tokens.status != 200 {
        return Some(tokens);
    }
    let tokens = tokens.json();
    done.passengers.push(Passenger {
        api: public.with_token(&text(&tokens["access_token"])),
        id: text(&tokens["passenger"]["id"]),
        phone,
        refresh_token: text(&tokens["refresh_token"]),
    });
    let index = done.passengers.len() - 1;
    let passenger = &done.passengers[index];
    let quote = passenger.api.post("/v1/quotes", &trip()).send().await;
    if quote.status != 201 {
        return Some(quote);
    }
    let ride = passenger.try_request(&quote.json(), "k").await;
    if ride.status != 201 {
        return Some(ride);
    }
    done.rides.push((index, ride.json()));
    None
}

fn nothing_panicked(gateway: &Gateway) {
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("panicked"));
    assert_eq!(line, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_writes_are_refused_and_reads_go_on() {
    if !on_one_file() {
        return;
    }
    let mut gateway = Gateway::start_after(SMALL_DISK, &[]).await;
    let done = fill(&gateway).await;
    done.check().await;
    gateway.internal().get("/health/live").send().await.expect(200);
    nothing_panicked(&gateway);
    assert_eq!(gateway.stop().await, Some(0), "it still ends politely");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_the_disk_was_full_is_there_after_a_restart_and_rides_go_on() {
    if !on_one_file() {
        return;
    }
    let mut gateway = Gateway::start_after(SMALL_DISK, &[]).await;
    let done = fill(&gateway).await;
    gateway.crash_and_restart().await;
    done.check().await;
    let driver = gateway.driver("ana");
    let (passenger, ride) = &done.rides[0];
    driver.bring(&done.passengers[*passenger], &text(&ride["id"]), "completed").await;
    let refusal = one_more(&gateway, &mut Acknowledged::default()).await;
    assert!(refusal.is_none(), "{refusal:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_room_again_it_writes_again_without_a_restart() {
    if !on_one_file() {
        return;
    }
    let gateway = Gateway::start_after(SMALL_DISK, &[]).await;
    let done = fill(&gateway).await;
    let lifted = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &gateway.process_id()]).status();
    assert!(lifted.expect("prlimit (util-linux) runs").success());
    let mut later = Acknowledged::default();
    eventually("it writes again", async || one_more(&gateway, &mut later).await.is_none().then_some(())).await;
    done.check().await;
    later.check().await;
    for (passenger, ride) in done.rides.iter().chain(&later.rides) {
        let owner = if done.rides.iter().any(|(_, known)| known["id"] == ride["id"]) { &done } else { &later };
        owner.passengers[*passenger].ride_with(&text(&ride["id"]), "payment_status", "authorised").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_stops_nothing() {
    for broken in ["exec 2>/dev/full", "exec 2>&-", "exec 2>/dev/full >/dev/full"] {
        let mut gateway = Gateway::start_after(broken, &[]).await;
        gateway.passenger().await.request_authorised_ride().await;
        assert_eq!(gateway.stop().await, Some(0), "{broken}");
    }
}
