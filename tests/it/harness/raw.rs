//! A connection below HTTP, for clients that do not behave.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{Gateway, PATIENCE};

/// More than the kernel holds for two sockets of this machine, and than the gateway may read in vain.
const FLOOD: usize = 64 * 1024 * 1024;

/// A connection from one of this machine's own addresses.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn from(address: &str, gateway: &Gateway) -> Self {
        Self::with(TcpSocket::new_v4().unwrap(), address, gateway).await
    }

    /// One that takes in little.
    pub(crate) async fn narrow(gateway: &Gateway) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::with(socket, "127.0.0.1", gateway).await
    }

    async fn with(socket: TcpSocket, address: &str, gateway: &Gateway) -> Self {
        socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
        Self(socket.connect(([127, 0, 0, 1], gateway.public_port()).into()).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// One whole answer with a length; `None` when the connection ended before.
    pub(crate) async fn answer(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, self.0.read_u8()).await.expect("an answer in time").ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        timeout(PATIENCE, self.0.read_exact(&mut body)).await.expect("the body in time").ok()?;
        Some(head + &String::from_utf8(body).unwrap())
    }

    /// Everything until the connection ends, be it by a reset.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("the connection is ended");
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// The connection ends, without a reset and without another byte.
    pub(crate) async fn ends_without_a_word(&mut self) {
        let mut more = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut more)).await.expect("the connection is ended");
        assert_eq!((read.expect("no reset"), String::from_utf8_lossy(&more).as_ref()), (0, ""));
    }

    /// Sends the same again and again until nobody takes it any more, reading along; gives what was answered.
    pub(crate) async fn flood(&mut self, piece: &str) -> String {
        let (mut reading, mut writing) = self.0.split();
        let sending = async {
            for _ in 0..FLOOD / piece.len() {
                if writing.write_all(piece.as_bytes()).await.is_err() {
                    return;
                }
            }
            panic!("{FLOOD} bytes were taken");
        };
        let mut answered = Vec::new();
        let receiving = async {
            let _ = reading.read_to_end(&mut answered).await;
        };
        timeout(PATIENCE, async { tokio::join!(sending, receiving) }).await.expect("the connection is ended");
        String::from_utf8_lossy(&answered).into_owned()
    }
}
