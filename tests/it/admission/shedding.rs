//! Places among the work in progress: what matters less is shed first, and every place comes back.

use super::*;

/// Room for `limit` requests in progress, all of it for priority 0 and half of it for the others.
fn room_for(limit: u32) -> String {
    format!(
        "[overload]\nmin_limit = {limit}\nmax_limit = {limit}\ninitial = {limit}\nshares = [1.0, 0.5, 0.5, 0.5, 0.5]\n"
    )
}

/// Holds a place among the work in progress while `act` runs: a quote whose routing is slow.
async fn while_a_quote_is_under_way<T>(gateway: &Gateway, passenger: &Passenger, act: impl Future<Output = T>) -> T {
    let before = in_progress_quotes(gateway).await;
    gateway.script("routing", &slow(450)).await;
    let call = passenger.api.post("/v1/quotes", &trip()).send();
    let act = async {
        eventually("the quote is under way", async || (in_progress_quotes(gateway).await > before).then_some(())).await;
        act.await
    };
    let (quote, acted) = tokio::join!(call, act);
    quote.expect(201);
    acted
}

#[tokio::test(flavor = "multi_thread")]
async fn what_matters_less_is_shed_and_what_matters_most_is_served() {
    let policies = room_for(2) + &policy("address", "address", &["catalogue"], 100);
    let gateway = Gateway::start_under(&policies, &[]).await;
    let (waiting, riding) = (gateway.passenger().await, gateway.passenger().await);
    let ride = riding.request_ride().await;
    while_a_quote_is_under_way(&gateway, &waiting, async {
        for path in ["/v1/ride-states", "/v1/nothing", "/docs/", "/v1/me", "/v1/rides", "/v1/quotes/1"] {
            let answer = gateway.public().get(path).send().await;
            let problem = answer.problem(503, "temporary-reduced-capacity");
            assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity");
            waits(&answer);
        }
        // No token is looked at: a bad one hears the same.
        gateway.public().with_token("nobody").get("/v1/me").send().await.problem(503, "temporary-reduced-capacity");
        // The address was asked before, and has spoken.
        let answer = gateway.public().get("/v1/ride-states").send().await;
        answer.problem(503, "temporary-reduced-capacity");
        assert!(left(&answer, "address") < 99, "{answer:#?}");
        // What plays a partner takes no place and needs none.
        Passenger::read_code(&gateway.public(), &waiting.phone).await;
        riding.api.get("/v1/rides/current").send().await.expect(200);
        riding.api.get(&format!("/v1/rides/{}", text(&ride["id"]))).send().await.expect(200);
        waiting.api.get("/v1/rides/current").send().await.expect(204);
    })
    .await;
    gateway.public().get("/v1/ride-states").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_opens_the_app_at_once_is_served_and_again_when_they_do_it_again() {
    let gateway = Gateway::start().await;
    for _ in 0..3 {
        let everybody = join_all((0..100).map(|_| gateway.passenger())).await;
        for path in ["/v1/me", "/v1/rides", "/v1/ride-states"] {
            for answer in join_all(everybody.iter().map(|passenger| passenger.api.get(path).send())).await {
                answer.expect(200);
            }
        }
        for quote in join_all(everybody.iter().map(|passenger| passenger.api.post("/v1/quotes", &trip()).send())).await
        {
            quote.expect(201);
        }
    }
    let gate = &gateway.internal().get("/internal/v1/traffic").send().await.expect(200)["gate"];
    assert!(gate["limit"].as_u64().unwrap() >= 400, "{gate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_given_back_by_every_kind_of_answer() {
    let policies = room_for(1) + &policy("passenger", "passenger", &["profile"], 1);
    let gateway = Gateway::start_under(&policies, &[]).await;
    let passenger = gateway.passenger().await;
    let public = gateway.public();
    for _ in 0..3 {
        public.get("/v1/ride-states").send().await.expect(200);
        public.get("/v1/nothing").send().await.problem(404, "not-found");
        public.request(Method::PUT, "/v1/me").send().await.problem(405, "method-not-allowed");
        public.get("/v1/me").send().await.problem(401, "token-missing");
        public.get("/v1/me?surprise=1").send().await.blames("surprise");
        let answer = passenger.api.get("/v1/me").send().await;
        assert!(matches!(answer.status, 200 | 429), "{answer:#?}");
        passenger.api.post("/v1/quotes", &json!({})).send().await.blames("pickup");
        passenger.api.get("/v1/rides/current").send().await.expect(204);
    }
    // Whoever hangs up gives it back too.
    gateway.script("routing", &slow(400)).await;
    let hasty = passenger.api.client.post(format!("{}/v1/quotes", passenger.api.base)).json(&trip());
    let hasty = hasty.bearer_auth(passenger.api.token.as_deref().unwrap());
    assert!(hasty.timeout(std::time::Duration::from_millis(100)).send().await.is_err());
    eventually("the place is free again", async || {
        (public.get("/v1/ride-states").send().await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_event_stream_holds_no_place() {
    let policies = room_for(2) + &policy("address", "address", &["history"], 100);
    let gateway = Gateway::start_under(&policies, &[]).await;
    let mut streams = Vec::new();
    for _ in 0..6 {
        let passenger = gateway.passenger().await;
        let ride = passenger.request_ride().await;
        let call = passenger.api.get(&format!("/v1/rides/{}/events", text(&ride["id"])));
        streams.push((call.open().await.expect("a stream"), passenger));
    }
    for _ in 0..3 {
        gateway.public().get("/v1/ride-states").send().await.expect(200);
    }
    for (stream, passenger) in &mut streams {
        assert!(stream.next().await.is_some(), "it is open");
        passenger.api.get("/v1/rides/current").send().await.expect(200);
    }
}
