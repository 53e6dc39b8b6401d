//! Many passengers who request a ride at the same time, while something happens to the gateway.

use futures_util::future::join_all;
use serde_json::Value;

use super::{Answer, Gateway, Passenger};

/// The key of each request.
const KEY: &str = "k";

/// Passengers with a quote each.
pub(crate) struct Burst {
    passengers: Vec<Passenger>,
    quotes: Vec<Value>,
}

impl Burst {
    pub(crate) async fn new(gateway: &Gateway) -> Self {
        let passengers = join_all((0..12).map(|_| gateway.passenger())).await;
        let quotes = join_all(passengers.iter().map(Passenger::quote)).await;
        Self { passengers, quotes }
    }

    /// Sends every request at once and acts when so many were answered and others are under way; the answers, `None`
    /// for whoever got none, and what the act gave.
    pub(crate) async fn send<T>(&self, answered: usize, act: impl AsyncFnOnce() -> T) -> (Vec<Option<Answer>>, T) {
        let (sent, mut done) = tokio::sync::mpsc::unbounded_channel();
        let requests = self.passengers.iter().zip(&self.quotes).map(|(passenger, quote)| {
            let sent = sent.clone();
            async move {
                let answer = passenger.ride_call(quote, KEY).try_send().await;
                let _ = sent.send(());
                answer.ok()
            }
        });
        let acting = async {
            for _ in 0..answered {
                done.recv().await;
            }
            act().await
        };
        tokio::join!(join_all(requests), acting)
    }

    /// Every answer was a ride, and still is: whoever asks again gets the stored answer if there was one, a new ride
    /// otherwise, and never a second one.
    pub(crate) async fn has_one_ride_each(&self, answers: Vec<Option<Answer>>) {
        for ((passenger, quote), answer) in self.passengers.iter().zip(&self.quotes).zip(answers) {
            let again = passenger.try_request(quote, KEY).await;
            again.expect(201);
            if let Some(answer) = answer {
                answer.expect(201);
                assert_eq!((&again.body, again.header("idempotency-replayed")), (&answer.body, Some("true")));
            }
            let history = passenger.api.get("/v1/rides").send().await.expect(200);
            assert_eq!(history["rides"].as_array().unwrap().len(), 1);
        }
    }
}
