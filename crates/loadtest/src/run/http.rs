//! A small HTTP/1.1 client: one connection from one source address, requests that are bytes already, answers as far as
//! the tool needs them. The generator shares a small machine with the server it measures, so it must cost little.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// Longest answer.
const LONGEST: usize = 1 << 20;

/// A connection that is kept.
pub(crate) struct Conn {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// How much of the buffer is filled.
    filled: usize,
    /// Where the next answer begins.
    at: usize,
    /// It has answered before: it may have been closed since.
    pub(crate) used: bool,
}

/// An answer; its body lies in its connection's buffer until the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
    /// The server closes the connection after it.
    pub(crate) closes: bool,
    body: Range<usize>,
}

impl Conn {
    /// Connects from this address (any port), which is one of 127.0.0.0/8 like the server's.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn open(source: Ipv4Addr, server: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 4096], filled: 0, at: 0, used: false })
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// The connection failed, or what came is no answer. The connection is of no use then.
    pub(crate) async fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        self.answer().await
    }

    /// Sends requests, as many as these bytes hold.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) async fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        self.stream.write_all(requests).await
    }

    /// Reads the next answer.
    ///
    /// # Errors
    /// As [`Conn::call`].
    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(answer) = parse(&self.buffer[..self.filled], self.at)? {
                self.at = answer.body.end;
                self.used = true;
                return Ok(answer);
            }
            if self.filled == self.buffer.len() {
                if self.filled >= LONGEST {
                    return Err(io::Error::other("the answer is longer than 1 MiB"));
                }
                self.buffer.resize(self.filled * 2, 0);
            }
            let read = self.stream.read(&mut self.buffer[self.filled..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.filled += read;
        }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self, answer: &Answer) -> &[u8] {
        &self.buffer[answer.body.clone()]
    }
}

/// The bytes of a request.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Access token.
    pub(crate) token: Option<&'a str>,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) body: Option<&'a str>,
}

impl Request<'_> {
    /// Writes it for the server at `host`.
    pub(crate) fn write(&self, host: SocketAddr) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", self.method, self.path);
        if let Some(token) = self.token {
            text.push_str("authorization: Bearer ");
            text.push_str(token);
            text.push_str("\r\n");
        }
        if let Some(key) = self.idempotency_key {
            text.push_str("idempotency-key: \"");
            text.push_str(key);
            text.push_str("\"\r\n");
        }
        match self.body {
            Some(body) => {
                text.push_str("content-type: application/json\r\ncontent-length: ");
                text.push_str(&body.len().to_string());
                text.push_str("\r\n\r\n");
                text.push_str(body);
            }
            None => text.push_str("\r\n"),
        }
        text.into_bytes()
    }
}

/// The whole answer at `at`, once it is there.
fn parse(bytes: &[u8], at: usize) -> io::Result<Option<Answer>> {
    let rest = &bytes[at..];
    let Some(head_len) = rest.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4) else {
        return Ok(None);
    };
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut lines = rest[..head_len].split(|byte| *byte == b'\n');
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(number);
    let status = status.and_then(|status| u16::try_from(status).ok()).ok_or_else(|| bad("no HTTP/1 answer"))?;
    let (mut length, mut retry_after, mut closes) = (None, None, false);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(number(value).ok_or_else(|| bad("a content-length that is no number"))?);
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            retry_after = number(value);
        } else if name.eq_ignore_ascii_case(b"connection") {
            closes = value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(bad("an answer in chunks: this tool reads answers of a known length only"));
        }
    }
    let is_empty = status < 200 || status == 204 || status == 304;
    let length = match length {
        _ if is_empty => 0,
        Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
        None => return Err(bad("an answer without content-length")),
    };
    if length > LONGEST {
        return Err(bad("the answer is longer than 1 MiB"));
    }
    let begin = at + head_len;
    let answer = Answer { status, retry_after, closes, body: begin..begin + length };
    Ok((answer.body.end <= bytes.len()).then_some(answer))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// One request on a connection of its own, for what is no load: its answer's status and body.
///
/// # Errors
/// In words.
pub(crate) async fn once(
    server: SocketAddr,
    request: &Request<'_>,
    within: Duration,
) -> Result<(u16, Vec<u8>), String> {
    let asking = async {
        let mut conn = Conn::open(Ipv4Addr::LOCALHOST, server).await?;
        let answer = conn.call(&request.write(server)).await?;
        Ok::<_, io::Error>((answer.status, conn.body(&answer).to_vec()))
    };
    let what = || format!("{} {} at {server}", request.method, request.path);
    match tokio::time::timeout(within, asking).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{}: {error}", what())),
        Err(_) => Err(format!("{}: no answer within {} s", what(), within.as_secs())),
    }
}

/// As [`once`], a JSON body of a 200.
///
/// # Errors
/// In words.
pub(crate) async fn json(server: SocketAddr, request: &Request<'_>, within: Duration) -> Result<Value, String> {
    let (status, body) = once(server, request, within).await?;
    if status != 200 {
        return Err(format!("{} {} at {server}: {status}", request.method, request.path));
    }
    serde_json::from_slice(&body).map_err(|e| format!("{} {} at {server}: {e}", request.method, request.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nretry-after: 7\r\n\r\nhello";

    #[test]
    fn an_answer_is_there_when_its_last_byte_is() {
        for end in 0..OK.len() {
            assert_eq!(parse(&OK[..end], 0).unwrap(), None, "{end}");
        }
        let answer = parse(OK, 0).unwrap().unwrap();
        assert_eq!((answer.status, answer.retry_after, answer.closes), (200, Some(7), false));
        assert_eq!(&OK[answer.body], b"hello");
    }

    #[test]
    fn answers_in_a_row_are_told_apart() {
        let two = [OK, b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"].concat();
        let first = parse(&two, 0).unwrap().unwrap();
        let second = parse(&two, first.body.end).unwrap().unwrap();
        assert_eq!((second.status, second.closes, second.body.len()), (204, true, 0));
        assert_eq!(second.body.end, two.len());
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for text in [
            &b"hello\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            assert!(parse(text, 0).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_request_is_written_with_what_it_has() {
        let host = "127.0.0.1:80".parse().unwrap();
        let request =
            Request { method: "POST", path: "/a", token: Some("t"), idempotency_key: Some("k"), body: Some("{}") };
        let text = String::from_utf8(request.write(host)).unwrap();
        assert_eq!(
            text,
            "POST /a HTTP/1.1\r\nhost: 127.0.0.1:80\r\nauthorization: Bearer t\r\nidempotency-key: \"k\"\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        );
    }
}
