//! A gateway that lets nobody in.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    super::{book::Book, kinds::Routes},
    *,
};

/// Signs two in at a server that answers every request with this; the error and the lines of progress.
async fn refused_by(answer: &'static str) -> (String, Vec<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::task::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::task::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let (crowd, book) = (Crowd::new(1, 4, None, Arc::new([]), 1), Book::new(Instant::now(), 1, None));
    let engine = Engine::new(server, ANSWER_WITHIN, 100, Routes::built_in(), Vec::new(), None, 1, (crowd, book, 1));
    let lines = Mutex::default();
    let say = |line: &str| {
        let mut lines: std::sync::MutexGuard<'_, Vec<String>> = lines.lock().unwrap();
        lines.push(line.to_owned());
    };
    let ended = tokio::time::timeout(PATIENCE * 2, sign_in(&Arc::new(engine), 2, Duration::from_secs(1), say)).await;
    let error = ended.expect("it ends by itself").unwrap_err();
    (error, lines.into_inner().unwrap())
}

#[tokio::test]
async fn who_refuses_every_sign_in_is_named_and_the_rest_is_not_waited_for() {
    let (error, lines) = refused_by(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 10\r\ncontent-length: 38\r\n\r\n{\"violated-policies\":[\"address-open\"]}",
    )
    .await;
    let expected = "for 1 s nobody could sign in, 0 of 2 have. Refused: POST /v1/auth/otp: 429, violated-policies \
                    address-open (";
    assert!(error.starts_with(expected), "{error}");
    assert!(lines[0].starts_with("0 of 2 have signed in"), "{lines:?}");
}

#[tokio::test]
async fn a_gateway_of_reduced_capacity_is_named_too() {
    let (error, _) = refused_by(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\ncontent-length: 37\r\n\r\n{\"code\":\"temporary-reduced-capacity\"}",
    )
    .await;
    assert!(error.contains("Refused: POST /v1/auth/otp: 503 temporary-reduced-capacity ("), "{error}");
}
