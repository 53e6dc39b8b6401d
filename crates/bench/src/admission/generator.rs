//! The client's side of a request row: raw keep-alive connections, one thread, two system calls a request.
//!
//! Every connection has one request under way. The connections are served in turn: read the answer, send the next request. That is
//! cheaper than any server can answer, needs no poller, and keeps the server's queue full, so that what is measured is the
//! server at work and not its waiting.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::clock;

/// An answer takes longer than this only if something is broken.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is understood, bytes.
const LONGEST: usize = 64 * 1024;

/// What is asked, and what must be answered.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The server.
    pub(crate) address: SocketAddr,
    /// A request in full for each connection.
    pub(crate) requests: Vec<String>,
    /// The status that every answer has.
    pub(crate) status: u16,
    /// Another status that one answer of a run may have.
    pub(crate) once: Option<u16>,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Answers by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Bytes of all answers.
    pub(crate) bytes: u64,
}

impl Tally {
    /// All answers.
    pub(crate) fn answers(&self) -> u64 {
        self.statuses.values().sum()
    }
}

/// Connections that stay open.
pub(crate) struct Connections<'a> {
    call: &'a Call,
    open: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
pub(crate) struct Answer<'a> {
    /// Its status.
    pub(crate) status: u16,
    /// Status line and headers, with the empty line.
    pub(crate) head: &'a [u8],
    /// The body.
    pub(crate) body: &'a [u8],
}

impl<'a> Connections<'a> {
    /// One connection for each of the call's requests.
    ///
    /// # Errors
    /// The server does not take them.
    pub(crate) fn open(call: &'a Call) -> Result<Self, String> {
        let open = call.requests.iter().map(|_| Connection::open(call.address)).collect::<Result<_, _>>()?;
        Ok(Self { call, open })
    }

    /// Asks and counts for so long, whatever is answered.
    ///
    /// # Errors
    /// A connection breaks, or an answer that is no HTTP.
    pub(crate) fn warm_up(&mut self, time: Duration) -> Result<Tally, String> {
        self.run(time, false)
    }

    /// Asks and counts for so long; when it returns nothing is under way any more.
    ///
    /// # Errors
    /// A connection breaks, or an answer with another status than promised.
    pub(crate) fn measure(&mut self, time: Duration) -> Result<Tally, String> {
        self.run(time, true)
    }

    fn run(&mut self, time: Duration, strictly: bool) -> Result<Tally, String> {
        let (mut tally, start) = (Tally::default(), clock::now());
        for (connection, request) in self.open.iter_mut().zip(&self.call.requests) {
            connection.send(request)?;
        }
        loop {
            // The last round reads what is under way and sends nothing more.
            let is_last = start.elapsed() >= time;
            for (connection, request) in self.open.iter_mut().zip(&self.call.requests) {
                let answer = connection.receive()?;
                let seen = tally.statuses.entry(answer.status).or_default();
                *seen += 1;
                if strictly && !self.call.promises(answer.status, *seen) {
                    return Err(format!("an answer other than {}: {}", self.call.status, answer.text()));
                }
                tally.bytes += (answer.head.len() + answer.body.len()) as u64;
                if !is_last {
                    connection.send(request)?;
                }
            }
            if is_last {
                return Ok(tally);
            }
        }
    }
}

impl Call {
    /// Asks once, on a connection of its own.
    ///
    /// # Errors
    /// As when measuring.
    pub(crate) fn once<T>(&self, look: impl FnOnce(Answer<'_>) -> T) -> Result<T, String> {
        let mut connection = Connection::open(self.address)?;
        connection.send(self.requests.first().ok_or("no request")?)?;
        connection.receive().map(look)
    }

    fn promises(&self, status: u16, seen: u64) -> bool {
        status == self.status || (self.once == Some(status) && seen == 1)
    }
}

impl Answer<'_> {
    /// Its headers, names in small letters.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let head = String::from_utf8_lossy(self.head);
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.head).into_owned() + &String::from_utf8_lossy(self.body)
    }
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|e| format!("{address}: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
        Ok(Self { stream, buffer: vec![0; LONGEST] })
    }

    fn send(&mut self, request: &str) -> Result<(), String> {
        self.stream.write_all(request.as_bytes()).map_err(|e| format!("a request could not be sent: {e}"))
    }

    fn receive(&mut self) -> Result<Answer<'_>, String> {
        let mut filled = 0;
        let (head, whole) = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).map_err(|e| format!("no answer came: {e}"))?;
            if read == 0 {
                return Err(if filled == LONGEST { "an answer is too long" } else { "the server hung up" }.to_owned());
            }
            filled += read;
            if let Some((head, whole)) = ends(&self.buffer[..filled])?
                && filled >= whole
            {
                break (head, whole);
            }
        };
        if filled > whole {
            return Err("more than one answer came to one request".to_owned());
        }
        let status = status(&self.buffer[..head]).ok_or("an answer has no status")?;
        Ok(Answer { status, head: &self.buffer[..head], body: &self.buffer[head..whole] })
    }
}

/// Where the head of the answer in `bytes` ends, and where its body; nothing before the whole head is there.
fn ends(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else { return Ok(None) };
    const NAME: &[u8] = b"content-length:";
    let mut lines = bytes[..head].split(|&byte| byte == b'\n');
    let length = lines.find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME));
    let length = length.and_then(|line| std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse::<usize>().ok());
    match length {
        Some(length) => Ok(Some((head, head + length))),
        None => Err(format!("an answer without a length: {}", String::from_utf8_lossy(&bytes[..head]))),
    }
}

/// `429` of `HTTP/1.1 429 …`.
fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{io::BufRead, net::TcpListener};

    use super::*;

    /// A server that gives each connection's requests these answers in turn, the last one for ever.
    #[allow(clippy::disallowed_methods, reason = "it serves until the test's process ends")]
    fn server(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
                    let mut answers = answers.iter().chain(std::iter::repeat(&answers[answers.len() - 1]));
                    let mut line = String::new();
                    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                        if line == "\r\n" && stream.write_all(answers.next().unwrap().as_bytes()).is_err() {
                            return;
                        }
                        line.clear();
                    }
                });
            }
        });
        address
    }

    fn call(address: SocketAddr, status: u16, once: Option<u16>) -> Call {
        Call { address, requests: vec!["GET / HTTP/1.1\r\nHost: bench\r\n\r\n".to_owned(); 3], status, once }
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const NO: &str = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";

    #[test]
    fn every_answer_is_counted_and_none_is_left_under_way() {
        let call = call(server(&[OK]), 200, None);
        let mut connections = Connections::open(&call).unwrap();
        for _ in 0..2 {
            let tally = connections.measure(Duration::from_millis(5)).unwrap();
            let answers = tally.statuses[&200];
            assert!(answers >= 3 && answers == tally.answers());
            assert_eq!(tally.bytes, answers * OK.len() as u64);
        }
    }

    #[test]
    fn a_wrong_answer_ends_the_measurement_unless_one_of_it_is_allowed() {
        let strict = call(server(&[NO, OK]), 200, None);
        let error = Connections::open(&strict).unwrap().measure(Duration::ZERO).unwrap_err();
        assert!(error.contains("429 Too Many Requests"), "{error}");
        let mut one = call(server(&[NO, OK]), 200, Some(429));
        one.requests.truncate(1);
        let tally = Connections::open(&one).unwrap().measure(Duration::from_millis(5)).unwrap();
        assert_eq!(tally.statuses[&429], 1);
        let warm = Connections::open(&strict).unwrap().warm_up(Duration::ZERO).unwrap();
        assert_eq!(warm.statuses, [(429, 3)].into());
    }

    #[test]
    fn an_answer_is_read_to_the_end_of_its_body_and_needs_a_length() {
        assert_eq!(ends(b"HTTP/1.1 200 OK\r\nContent-Le"), Ok(None));
        assert_eq!(ends(b"HTTP/1.1 200 OK\r\nX: 1\r\nCONTENT-LENGTH: 7\r\n\r\nab"), Ok(Some((44, 51))));
        assert!(ends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert_eq!((status(b"HTTP/1.1 429 Too"), status(b"FTP 200 OK")), (Some(429), None));
    }

    #[test]
    fn headers_are_told_in_small_letters() {
        let look = |answer: Answer<'_>| (answer.status, answer.headers(), answer.body.to_vec());
        let seen = call(server(&[OK]), 200, None).once(look).unwrap();
        assert_eq!(seen, (200, vec![("content-length".to_owned(), "2".to_owned())], b"ok".to_vec()));
    }
}
