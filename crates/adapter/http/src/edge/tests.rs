//! What a client sees when a handler panics, over a real connection.

use actix_web::{
    App, Error, HttpResponse, HttpServer,
    dev::{Service, ServiceRequest, ServiceResponse},
    web,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    around::{Entry, Passage},
    *,
};
use crate::routes::RouteRef;
use traffic::{Admission, Class, Policies};

/// Lets everybody in, and a limit speaks about each.
struct Counted;

impl Entry for Counted {
    fn route(&self, _: &ServiceRequest) -> Option<RouteRef> {
        None
    }

    async fn pass<S>(
        &self,
        request: ServiceRequest,
        service: &S,
        passage: &mut Passage,
    ) -> Result<ServiceResponse, Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
    {
        let (policies, registry) = (Policies::built_in(), prometheus::Registry::new());
        let admission = Admission::build(&traffic::Config::default(), policies, [1; 16], &registry).unwrap();
        let decision = admission.check_address([127, 0, 0, 1].into(), Class::Ride, passage.now);
        assert!(passage.spoken.admits(decision));
        service.call(request).await
    }
}

/// Serves a handler that panics and one that does not, and gives the answers to both, asked on one connection each.
async fn answers(paths: [&str; 2]) -> [String; 2] {
    let edge = web::Data::new(Edge {
        entropy: Entropy::seeded(1),
        metrics: Metrics::build(&prometheus::Registry::new()).unwrap(),
        access_log: false,
        ready: Readiness::default(),
        started: Stopwatch::start(),
    });
    let server = HttpServer::new(move || {
        App::new()
            .wrap(Around::new(edge.clone(), Counted))
            .route("/panics", web::get().to(|| async { panic!("on purpose: card 4111") as HttpResponse }))
            .route("/works", web::get().to(|| async { HttpResponse::Ok().body("fine") }))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let ask = async |path: &str| {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\nx-request-id: seven\r\nconnection: close\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let asking = async {
        let answers = [ask(paths[0]).await, ask(paths[1]).await];
        handle.stop(false).await;
        answers
    };
    let (served, answers) = futures_util::future::join(server, asking).await;
    served.unwrap();
    answers
}

#[actix_web::test]
async fn a_panic_in_a_handler_is_a_500_with_the_request_id_and_the_server_lives_on() {
    let [panicked, after] = answers(["/panics", "/works"]).await;
    assert!(panicked.starts_with("HTTP/1.1 500 "), "{panicked}");
    assert!(panicked.contains("x-request-id: seven"), "{panicked}");
    assert!(panicked.contains("content-type: application/problem+json"), "{panicked}");
    assert!(panicked.contains("ratelimit: \"address\";r=3999;t=1\r\n"), "{panicked}");
    assert!(panicked.contains("ratelimit-policy: \"address\";q=4000;w=2\r\n"), "{panicked}");
    for member in ["\"code\":\"internal\"", "\"request_id\":\"seven\"", "\"instance\":\"/panics\"", "\"status\":500"] {
        assert!(panicked.contains(member), "{member} is missing: {panicked}");
    }
    assert!(!panicked.contains("on purpose"), "the panic's text is for the log: {panicked}");
    assert!(after.starts_with("HTTP/1.1 200 ") && after.ends_with("fine"), "{after}");
}

#[actix_web::test]
async fn an_unknown_path_is_a_problem_even_where_no_route_says_so() {
    let [unknown, _] = answers(["/nothing", "/works"]).await;
    assert!(unknown.starts_with("HTTP/1.1 404 ") && unknown.contains("\"code\":\"not-found\""), "{unknown}");
}
