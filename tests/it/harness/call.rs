//! One HTTP call and what came back.

use reqwest::{Client, Method, RequestBuilder, Response, header::HeaderMap};
use serde_json::Value;

use super::{EventStream, PATIENCE};

/// A listener of the gateway, seen by somebody with or without a token.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) base: String,
    pub(crate) client: Client,
    pub(crate) token: Option<String>,
}

impl Api {
    pub(crate) fn request(&self, method: Method, path: &str) -> Call {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        Call(request)
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call {
        self.request(Method::DELETE, path)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Call {
        self.request(Method::POST, path).json(body)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Call {
        self.request(Method::PUT, path).json(body)
    }

    /// JSON merge patch (RFC 7396).
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Call {
        self.request(Method::PATCH, path).header("content-type", "application/merge-patch+json").text(body.to_string())
    }

    /// The same listener with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }
}

/// A call that was not sent yet.
pub(crate) struct Call(RequestBuilder);

impl Call {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// A body as it is; set its content type with [`Call::header`].
    pub(crate) fn text(self, body: String) -> Self {
        Self(self.0.body(body))
    }

    /// As [`Call::text`], for what is no text.
    pub(crate) fn bytes(self, body: Vec<u8>) -> Self {
        Self(self.0.body(body))
    }

    /// Sends and reads the whole answer.
    pub(crate) async fn send(self) -> Answer {
        self.try_send().await.expect("the gateway answers")
    }

    /// As [`Call::send`], for a gateway that may be gone.
    pub(crate) async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let response = self.0.timeout(PATIENCE).send().await?;
        Answer::read(response).await
    }

    /// Sends and reads the head of the answer only.
    pub(crate) async fn head(self) -> Answer {
        let sending = tokio::time::timeout(PATIENCE, self.0.send()).await;
        let response = sending.expect("an answer in time").expect("the gateway answers");
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body: String::new() }
    }

    /// Sends and leaves the body flowing: an event stream when the status is 200, the whole answer otherwise.
    pub(crate) async fn open(self) -> Result<EventStream, Answer> {
        let sending = tokio::time::timeout(PATIENCE, self.0.header("accept", "text/event-stream").send()).await;
        let response = sending.expect("the stream answers in time").expect("the gateway answers");
        if response.status() != 200 {
            return Err(Answer::read(response).await.expect("the answer is complete"));
        }
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(content_type.starts_with("text/event-stream"), "{content_type}");
        Ok(EventStream::new(response))
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    async fn read(response: Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        Ok(Self { status, headers, body })
    }

    /// The body of an answer with this status; fails with the whole answer otherwise.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "unexpected answer: {self:#?}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:#?}"))
    }

    /// A header's text; `None` when absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers are readable"))
    }

    /// The problem document of an answer with this status and code; every member that the contract names is checked.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:#?}");
        assert_eq!(problem["code"], code, "{self:#?}");
        assert_eq!(problem["status"], status, "{self:#?}");
        for member in ["type", "title", "detail", "instance"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "no `{member}`: {self:#?}");
        }
        let retryable = matches!(status, 429 | 500 | 503) || code == "idempotency-in-progress";
        assert_eq!(problem["retryable"], retryable, "{self:#?}");
        problem
    }

    /// A 422 that blames this field and says what is allowed.
    #[track_caller]
    pub(crate) fn blames(&self, field: &str) {
        let problem = self.problem(422, "invalid-field");
        assert_eq!(problem["field"], field, "{self:#?}");
        assert!(!problem["allowed"].is_null() && problem["allowed"] != "", "no `allowed`: {self:#?}");
    }
}
