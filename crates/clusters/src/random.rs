//! Passwords, names and ports that nobody can foresee.

use std::{
    fs::File,
    io::Read as _,
    net::{Ipv4Addr, TcpListener},
};

use crate::Error;

const SOURCE: &str = "/dev/urandom";
/// Below the ports that operating systems give to outgoing connections: a server that was killed finds its own again.
const PORTS: std::ops::Range<u16> = 15_000..30_000;
const ATTEMPTS: usize = 100;

/// Twice as many hexadecimal digits.
///
/// # Errors
/// The system has no randomness.
pub(crate) fn hex<const BYTES: usize>() -> Result<String, Error> {
    Ok(bytes::<BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A port of the loopback device that nobody listens on.
///
/// # Errors
/// None was found.
pub(crate) fn free_port() -> Result<u16, Error> {
    for _ in 0..ATTEMPTS {
        let port = PORTS.start + u16::from_be_bytes(bytes()?) % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::program("the search for a port", format!("{ATTEMPTS} of the ports {PORTS:?} were taken")))
}

fn bytes<const BYTES: usize>() -> Result<[u8; BYTES], Error> {
    let mut bytes = [0; BYTES];
    File::open(SOURCE).and_then(|mut source| source.read_exact(&mut bytes)).map_err(Error::file(SOURCE))?;
    Ok(bytes)
}
