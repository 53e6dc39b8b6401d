//! Where answers take passengers.

use rand::{SeedableRng, rngs::StdRng};

use super::{answers::QUOTE_LIVES, *};

struct World {
    crowd: Crowd,
    rng: StdRng,
    now: Instant,
}

impl World {
    fn of(passengers: usize, hot: Option<f64>) -> Self {
        let trip = Trip {
            second_of_day: 0,
            pickup_lat: 40.7,
            pickup_lng: -74.0,
            dropoff_lat: 40.8,
            dropoff_lng: -73.9,
            duration_s: 600,
        };
        let mut crowd = Crowd::new(4, 100, hot, vec![trip].into(), 7);
        for _ in 0..passengers {
            let newcomer = crowd.newcomer();
            let errand = Crowd::token(newcomer, "c", "123456");
            let tokens =
                br#"{"access_token":"a","expires_in":600,"refresh_token":"r","passenger":{"id":"1","is_new":true}}"#;
            assert_eq!(crowd.settle(&errand, 200, tokens, Instant::now()), Fit::Expected);
        }
        Self { crowd, rng: StdRng::seed_from_u64(1), now: Instant::now() }
    }

    fn draw(&mut self, kind: Kind) -> Option<Errand> {
        self.crowd.draw(kind, &mut self.rng, self.now)
    }

    fn answer(&mut self, errand: &Errand, status: u16, body: &str) -> Fit {
        self.crowd.settle(errand, status, body.as_bytes(), self.now)
    }

    /// Sends a request of this kind, which must fit somebody, and takes this answer.
    fn step(&mut self, kind: Kind, status: u16, body: &str) -> Fit {
        let errand = self.draw(kind).unwrap_or_else(|| panic!("nobody for {kind:?}"));
        self.answer(&errand, status, body)
    }

    fn quoted(&mut self) {
        let quote = r#"{"quote_id":"q1","options":[{"product":"economy"}]}"#;
        assert_eq!(self.step(Kind::Quote, 201, quote), Fit::Expected);
    }

    fn riding(&mut self) {
        self.quoted();
        assert_eq!(self.step(Kind::Request, 201, r#"{"id":"r1","status":"requested"}"#), Fit::Expected);
    }

    fn place(&self) -> Place {
        self.crowd.groups.place(0)
    }
}

#[test]
fn a_passenger_goes_from_quote_to_ride_to_its_end_and_again() {
    let mut world = World::of(1, None);
    assert!(world.draw(Kind::Request).is_none() && world.draw(Kind::Cancel).is_none());
    assert!(world.draw(Kind::Receipt).is_none() && world.draw(Kind::Ride).is_none());
    for _ in 0..2 {
        world.riding();
        assert_eq!(world.place(), Place::Riding);
        assert!(world.draw(Kind::Quote).is_none(), "who rides asks for no quote");
        assert_eq!(world.step(Kind::Cancel, 200, "{}"), Fit::Expected);
        assert_eq!(world.place(), Place::Idle);
        let receipt = world.draw(Kind::Receipt).unwrap();
        assert_eq!(receipt.path, "/v1/rides/r1/receipt");
    }
    assert_eq!((world.crowd.known.len(), world.crowd.ended.len()), (1, 1));
}

#[test]
fn who_waits_for_an_answer_that_moves_them_on_is_asked_for_nothing_else_of_the_kind() {
    let mut world = World::of(1, None);
    world.quoted();
    let request = world.draw(Kind::Request).unwrap();
    assert!(world.draw(Kind::Request).is_none() && world.draw(Kind::Quote).is_none());
    assert!(world.draw(Kind::Current).is_some(), "a look is always possible");
    world.crowd.give_back(&request, false);
    let again = world.draw(Kind::Request).unwrap();
    assert_eq!(again.idempotency_key, request.idempotency_key, "the same key after a refusal");
}

#[test]
fn a_quote_that_is_too_old_is_not_used() {
    let mut world = World::of(1, None);
    world.quoted();
    world.now += QUOTE_LIVES;
    assert!(world.draw(Kind::Request).is_none());
    assert_eq!(world.place(), Place::Idle);
}

#[test]
fn a_fee_is_agreed_to_with_the_token_that_came_with_it() {
    let mut world = World::of(1, None);
    world.riding();
    let fee = r#"{"code":"cancellation-fee","confirmation_token":"agreed"}"#;
    assert_eq!(world.step(Kind::Cancel, 409, fee), Fit::Expected);
    assert!(world.draw(Kind::Cancel).unwrap().body.unwrap().contains("agreed"));
}

#[test]
fn a_ride_on_its_way_is_not_called_off_until_it_is_seen_to_be_over() {
    let mut world = World::of(1, None);
    world.riding();
    let on_its_way = r#"{"code":"illegal-transition","from":"in_progress"}"#;
    assert_eq!(world.step(Kind::Cancel, 409, on_its_way), Fit::Expected);
    assert!(world.draw(Kind::Cancel).is_none());
    assert_eq!(world.step(Kind::Ride, 200, r#"{"id":"r1","status":"completed"}"#), Fit::Expected);
    assert_eq!(world.place(), Place::Idle);
}

#[test]
fn a_ride_that_ended_by_itself_is_noticed_at_the_next_look() {
    let mut world = World::of(1, None);
    world.riding();
    assert_eq!(world.step(Kind::Current, 204, ""), Fit::Expected);
    assert_eq!((world.place(), world.crowd.ended.len()), (Place::Idle, 1));
}

#[test]
fn an_answer_to_an_older_question_moves_nobody() {
    let mut world = World::of(1, None);
    let before = world.draw(Kind::Current).unwrap();
    world.riding();
    assert_eq!(world.answer(&before, 204, ""), Fit::Expected);
    assert_eq!(world.place(), Place::Riding);
}

#[test]
fn a_ride_whose_answer_got_lost_is_found_again() {
    let mut world = World::of(1, None);
    world.quoted();
    let lost = world.draw(Kind::Request).unwrap();
    world.crowd.give_back(&lost, true);
    assert_eq!(world.step(Kind::Request, 409, r#"{"code":"already-riding","ride_id":"r9"}"#), Fit::Expected);
    assert_eq!(world.draw(Kind::Ride).unwrap().path, "/v1/rides/r9");
}

#[test]
fn a_refresh_whose_answer_got_lost_is_not_tried_again() {
    let mut world = World::of(1, None);
    let lost = world.draw(Kind::Refresh).unwrap();
    world.crowd.give_back(&lost, true);
    assert!(world.draw(Kind::Refresh).is_none());
}

#[test]
fn what_the_contract_does_not_have_is_unexpected() {
    let mut world = World::of(1, None);
    for (kind, status, body) in
        [(Kind::Profile, 401, "{}"), (Kind::Quote, 201, "{}"), (Kind::History, 404, "{}"), (Kind::Quote, 500, "")]
    {
        assert_eq!(world.step(kind, status, body), Fit::Unexpected, "{kind:?} {status}");
    }
    world.quoted();
    assert_eq!(world.step(Kind::Request, 409, r#"{"code":"already-accepted"}"#), Fit::Unexpected);
}

#[test]
fn a_hot_passenger_sends_its_share() {
    let mut world = World::of(51, Some(100.0));
    let hot = (0..3000).filter(|_| world.draw(Kind::Current).unwrap().who == Some(0)).count();
    // Two in three, standard deviation 26.
    assert!((1900..2100).contains(&hot), "{hot}");
}

#[test]
fn phones_differ_and_are_e164() {
    let mut crowd = World::of(0, None).crowd;
    let (one, two) = (crowd.newcomer(), crowd.newcomer());
    assert_ne!(one.phone, two.phone);
    assert!(one.phone.starts_with('+') && one.phone.len() <= 16);
    assert_ne!(one.source, two.source);
}

#[test]
fn sources_are_addresses_of_this_machine_and_differ() {
    assert_eq!(address(0), Ipv4Addr::new(127, 0, 1, 1));
    assert_eq!(address(250), Ipv4Addr::new(127, 0, 2, 1));
    let all: std::collections::HashSet<_> = (0..4000).map(address).collect();
    assert_eq!(all.len(), 4000);
}
