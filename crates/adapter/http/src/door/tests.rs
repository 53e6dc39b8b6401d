use std::{
    net::IpAddr,
    pin::Pin,
    sync::{Mutex, PoisonError, atomic::AtomicUsize},
    task::{Context, Wake},
};

use actix_web::{App, HttpRequest, HttpResponse, web};
use futures_util::{FutureExt as _, future::join};
use prometheus::Registry;
use tokio::{
    io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf},
    net::TcpListener,
};

use super::{
    register::{Place, beyond},
    slot::{HEAD_LIMIT, Pace, ROW, Rest, Turn},
    *,
};

const AT_MOST: usize = 3;

fn door(max_connections: usize) -> Arc<Door> {
    let rules = Rules {
        max_connections,
        max_per_address: AT_MOST,
        trusted: vec![],
        head: Duration::from_millis(5_000),
        keep_alive: Duration::from_millis(75_000),
        write: Duration::from_millis(30_000),
        body_limit: 1_000,
    };
    Door::new("public", rules, &Metrics::build(&Registry::new()).unwrap(), Clock::system())
}

fn enter(door: &Arc<Door>, address: &str) -> Result<Place, Refused> {
    door.register.enter(door, origin(address.parse::<IpAddr>().unwrap()), AT_MOST)
}

#[test]
fn an_address_gets_its_share_and_gives_it_back() {
    let door = door(100);
    let held: Vec<Place> = (0..AT_MOST).map(|_| enter(&door, "192.0.2.1").unwrap()).collect();
    assert_eq!(enter(&door, "192.0.2.1").err(), Some(Refused::Address));
    // The same client by another name.
    assert_eq!(enter(&door, "::ffff:192.0.2.1").err(), Some(Refused::Address));
    let _other = enter(&door, "192.0.2.2").unwrap();
    drop(held);
    assert_eq!(door.register.open(), 1);
    let _again = enter(&door, "192.0.2.1").unwrap();
}

#[test]
fn an_ipv6_network_of_64_bits_is_one_client() {
    let door = door(100);
    let _held: Vec<Place> = (0..AT_MOST).map(|i| enter(&door, &format!("2001:db8::{i}:1")).unwrap()).collect();
    assert_eq!(enter(&door, "2001:db8::ffff:ffff:ffff:ffff").err(), Some(Refused::Address));
    let _neighbour = enter(&door, "2001:db8:0:1::1").unwrap();
}

#[test]
fn who_has_waited_longest_for_its_client_makes_room() {
    let door = door(4);
    let places: Vec<Place> = (0..4).map(|i| enter(&door, &format!("192.0.2.{i}")).unwrap()).collect();
    // The first has a request under way, the third has waited longest.
    places[0].slot.begin(1);
    for (place, since) in places.iter().zip([0, 30, 10, 20]).skip(1) {
        place.slot.end(since);
    }
    let _newcomer = enter(&door, "192.0.2.9").unwrap();
    let verdicts: Vec<Verdict> = places.iter().map(|place| place.slot.verdict()).collect();
    assert_eq!(verdicts, [Verdict::Stay, Verdict::Stay, Verdict::MakeRoom, Verdict::Stay]);
}

#[test]
fn nobody_is_let_in_where_every_connection_has_a_request_under_way() {
    let door = door(4);
    let places: Vec<Place> = (0..4).map(|i| enter(&door, &format!("192.0.2.{i}")).unwrap()).collect();
    places.iter().for_each(|place| place.slot.begin(1));
    assert_eq!(enter(&door, "192.0.2.9").err(), Some(Refused::Full));
    assert_eq!(door.register.open(), 4);
}

#[test]
fn one_that_waits_is_found_among_many_that_do_not() {
    let door = door(1_000);
    let places: Vec<Place> =
        (0..1_000).map(|i| enter(&door, &format!("10.0.{}.{}", i / 250, i % 250)).unwrap()).collect();
    places.iter().for_each(|place| place.slot.begin(1));
    places[777].slot.end(1);
    let _newcomer = enter(&door, "192.0.2.9").unwrap();
    assert_eq!(places[777].slot.verdict(), Verdict::MakeRoom);
}

#[test]
fn newcomers_do_not_pile_up_over_those_who_have_not_left_yet() {
    let door = door(100);
    let all: Vec<_> = (0..1_000).map(|i| enter(&door, &format!("10.0.{}.{}", i / 250, i % 250))).collect();
    assert_eq!(all.iter().filter(|place| place.is_ok()).count(), beyond(100));
    assert!(door.register.open() <= beyond(100));
}

#[test]
fn each_wait_has_its_own_time() {
    let door = door(10);
    let place = enter(&door, "192.0.2.1").unwrap();
    let slot = &place.slot;
    let judged = |now_ms| slot.judge(&door.rules, now_ms);
    let (_, connected) = slot.turn();
    assert_eq!(judged(connected + 4_999), Verdict::Stay);
    assert_eq!(judged(connected + 5_000), Verdict::SlowHead, "the first head");
    slot.begin(100);
    assert_eq!(judged(1_000_000), Verdict::Stay, "a request may take its time");
    slot.end(200_000);
    assert_eq!((judged(274_999), judged(275_000)), (Verdict::Stay, Verdict::Idle));
    slot.received(1, || 270_000);
    assert_eq!(slot.turn(), (Turn::Head, 270_000));
    slot.received(1, || 274_000);
    assert_eq!(
        (judged(274_999), judged(275_000)),
        (Verdict::Stay, Verdict::SlowHead),
        "a later head, from its first byte"
    );
    slot.begin(276_000);
    slot.blocked(|| 280_000);
    slot.blocked(|| 300_000);
    assert_eq!((judged(309_999), judged(310_000)), (Verdict::Stay, Verdict::Stalled), "a reader who takes nothing");
    slot.moved();
    assert_eq!(judged(1_000_000), Verdict::Stay);
}

#[test]
fn what_comes_without_a_request_has_an_end() {
    let door = door(10);
    let place = enter(&door, "192.0.2.1").unwrap();
    let (slot, body_limit) = (&place.slot, door.rules.body_limit);
    slot.received(HEAD_LIMIT - 1, || 1);
    assert!(!slot.is_endless());
    slot.received(1, || 1);
    assert!(slot.is_endless(), "a head");
    let asked = |rest| {
        slot.asked(HEAD_LIMIT, rest, body_limit);
        slot.begin(2);
    };
    asked(Rest::None);
    slot.received(HEAD_LIMIT, || 2);
    assert!(slot.is_ahead() && !slot.is_endless(), "requests behind a request wait");
    slot.end(2);
    assert!(!slot.is_ahead());
    asked(Rest::Chunks);
    slot.received(64 * 1024 - 1, || 2);
    assert!(!slot.is_endless());
    slot.received(1, || 2);
    assert!(slot.is_endless(), "a body");
    // As "3E8" with the ends of the lines.
    slot.took(1000);
    slot.received(1006, || 2);
    assert!(!slot.is_endless(), "a piece of it was read");
    slot.received(1, || 2);
    assert!(slot.is_endless());
    slot.asked(1, Rest::Length(1), body_limit);
    slot.begin(3);
    slot.end(3);
    let skipped = (4 * body_limit).max(HEAD_LIMIT + 1);
    slot.received(skipped - 1, || 3);
    assert!(!slot.is_endless());
    slot.received(1, || 3);
    assert!(slot.is_endless(), "the rest of a body that nobody wanted");
}

#[test]
fn what_was_read_ahead_is_used_up_before_more_is_read() {
    let door = door(10);
    let place = enter(&door, "192.0.2.1").unwrap();
    let slot = &place.slot;
    let asked = |rest| {
        let pace = slot.asked(10, rest, 1_000_000);
        slot.begin(1);
        pace
    };
    slot.received(HEAD_LIMIT + 30, || 1);
    for _ in 0..3 {
        assert!(!slot.must_be_looked_at() || !slot.has_request());
        asked(Rest::None);
        assert!(slot.is_ahead(), "more requests of ten bytes are in it");
        slot.end(1);
        assert!(slot.must_be_looked_at(), "there may be one more in it");
    }
    asked(Rest::Length(100));
    slot.received(89, || 1);
    assert!(!slot.is_ahead(), "its body may not be here");
    slot.received(21, || 1);
    assert!(slot.is_ahead(), "all of it is here, and as much as is held of others");
    slot.end(1);
    slot.looked_at();
    assert!(!slot.must_be_looked_at(), "nothing in it became a request");
    slot.received(HEAD_LIMIT + 10, || 1);
    slot.asked(10, Rest::None, 1);
    assert_eq!(slot.asked(0, Rest::Chunks, 1), Pace::AfterOthers);
    assert!(slot.is_ahead(), "nobody takes of a body before its request begins");
    slot.begin(1);
    assert!(!slot.is_ahead());
    // Two were asked for since it last waited for an answer.
    for _ in 2..=ROW {
        assert!(!slot.is_endless());
        slot.asked(0, Rest::Chunks, 1);
    }
    assert!(slot.is_endless(), "bodies of unknown length, one behind the other");
}

#[test]
fn a_request_that_is_held_back_is_no_silence_of_its_client() {
    let door = door(10);
    let place = enter(&door, "192.0.2.1").unwrap();
    let slot = &place.slot;
    slot.asked(10, Rest::None, 1);
    slot.end(1);
    assert!(slot.waiting_since().is_some());
    assert_eq!(slot.asked(10, Rest::None, 1), Pace::AfterOthers);
    assert_eq!((slot.waiting_since(), slot.judge(&door.rules, 1_000_000)), (None, Verdict::Stay));
}

#[actix_web::test]
async fn the_rest_of_a_body_that_nobody_wanted_is_not_read_at_a_run() {
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let place = enter(&door(10), "192.0.2.1").unwrap();
    let slot = place.slot.clone();
    let mut guarded = Guarded::new(listener.accept().await.unwrap().0, place);
    // How often it wants to be looked at again at once, after it brought a little and was looked at twice.
    let mut woken_after_a_piece = async || {
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let (waker, mut bytes) = (woken.clone().into(), [0; 8 * 1024]);
        client.write_all(&bytes).await.unwrap();
        let mut left = bytes.len();
        while left > 0 {
            let mut buffer = ReadBuf::new(&mut bytes[..left]);
            futures_util::future::poll_fn(|cx| Pin::new(&mut guarded).poll_read(cx, &mut buffer)).await.unwrap();
            left -= buffer.filled().len();
        }
        let mut buffer = ReadBuf::new(&mut bytes);
        assert!(Pin::new(&mut guarded).poll_read(&mut Context::from_waker(&waker), &mut buffer).is_pending());
        woken.0.load(Ordering::Relaxed)
    };
    slot.asked(0, Rest::Chunks, 4 * HEAD_LIMIT);
    slot.begin(1);
    assert_eq!(woken_after_a_piece().await, 1, "a body that is wanted");
    slot.end(1);
    assert_eq!(woken_after_a_piece().await, 0, "its rest, when it was answered");
}

#[actix_web::test]
async fn a_connection_that_was_cut_off_is_not_read_from_again() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let place = enter(&door(10), "192.0.2.1").unwrap();
    let slot = place.slot.clone();
    let mut guarded = Guarded::new(listener.accept().await.unwrap().0, place);
    slot.asked(0, Rest::Chunks, 1);
    slot.begin(1);
    slot.received(64 * 1024, || 1);
    let mut bytes = [0; 10];
    let mut buffer = ReadBuf::new(&mut bytes);
    let mut read = async || futures_util::future::poll_fn(|cx| Pin::new(&mut guarded).poll_read(cx, &mut buffer)).await;
    assert!(read().now_or_never().is_none(), "it is held");
    // The request is over, and what comes is in the middle of something.
    slot.end(2);
    client.write_all(b"GET / HTTP").await.unwrap();
    read().await.unwrap();
    assert!(buffer.filled().is_empty());
}

#[test]
fn whoever_does_not_wait_for_answers_takes_turns_and_is_slowed_down() {
    let door = door(10);
    let slot = &enter(&door, "192.0.2.1").unwrap().slot;
    let ask = || {
        let pace = slot.asked(0, Rest::None, 1);
        slot.begin(1);
        slot.end(1);
        pace
    };
    slot.visited();
    assert_eq!([ask(), ask()], [Pace::Now, Pace::AfterOthers]);
    for _ in 2..ROW {
        slot.visited();
        assert_eq!(ask(), Pace::Now);
    }
    slot.visited();
    assert_eq!(slot.asked(0, Rest::None, 1), Pace::Later);
    slot.received(1, || 1);
    assert_eq!(slot.asked(0, Rest::None, 1), Pace::Later, "more of the same while it is held back");
    slot.begin(1);
    slot.end(1);
    slot.received(1, || 1);
    assert_eq!(ask(), Pace::Now, "it had waited for its answer");
}

#[actix_web::test]
async fn whoever_sends_many_at_once_lets_the_others_of_the_thread_in_between() {
    const MANY: usize = 10;
    let (door, order) = (door(100), Arc::new(Mutex::new(Vec::new())));
    let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    // All is sent before anything is served.
    let [many, one] = [("/many", MANY), ("/one", 1)].map(async |(path, times)| {
        let client = TcpStream::connect(address).await.unwrap();
        let requests = format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").repeat(times);
        client.writable().await.unwrap();
        assert_eq!(client.try_write(requests.as_bytes()).unwrap(), requests.len());
        client
    });
    let (many, one) = (many.await, one.await);
    let seen = (door.clone(), order.clone());
    let app = move || {
        let seen = seen.clone();
        App::new().default_service(web::to(move |request: HttpRequest| {
            let (door, order) = seen.clone();
            async move {
                while door.register.open() < 2 {
                    tokio::task::yield_now().await;
                }
                order.lock().unwrap_or_else(PoisonError::into_inner).push(request.path().to_owned());
                HttpResponse::Ok().finish()
            }
        }))
    };
    let server = serve(listener, &door, 1, 1, app).unwrap();
    let handle = server.handle();
    let answered = async |client: &TcpStream, times| {
        let mut answers = Vec::new();
        while answers.windows(4).filter(|end| *end == b"\r\n\r\n").count() < times {
            client.readable().await.unwrap();
            let mut some = [0; 4096];
            match client.try_read(&mut some) {
                Ok(0) => panic!("the connection has ended"),
                Ok(bytes) => answers.extend_from_slice(&some[..bytes]),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    };
    let asked = async {
        let all = join(answered(&many, MANY), answered(&one, 1));
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("all are answered");
        handle.stop(false).await;
    };
    join(server, asked).await.0.unwrap();
    let order = order.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(order.len(), MANY + 1);
    assert_ne!(order.last().map(String::as_str), Some("/one"), "{order:?}");
}
