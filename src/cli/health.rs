//! `fanfare check --url`: whether a gateway that runs says that it serves. For health checks where there
//! is no other program, as in a container.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::exit::Failure;

/// For each of connecting, asking and reading.
const TIMEOUT: Duration = Duration::from_secs(3);

/// More than the head and the body of an answer have.
const ANSWER_BYTES_MAX: u64 = 4_096;

pub(crate) fn run(url: &str) -> Result<(), Failure> {
    let host = host(url).ok_or_else(|| {
        Failure::Usage("--url takes the gateway's address: http://127.0.0.1:8000".into())
    })?;
    let answer = ask(&host).map_err(|error| Failure::Other(format!("{host}: {error}")))?;
    match answer.split(' ').nth(1) {
        Some("200") => super::print(&format!("ok: {host} serves\n")),
        Some("503") => Err(Failure::Other(format!("{host} drains, or takes no more connections"))),
        _ => Err(Failure::Other(format!("{host} does not answer as a gateway does"))),
    }
}

/// The host and the port; any path but that of the health check is a mistake.
fn host(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://")?;
    let host = rest.strip_suffix("/health").or(rest.strip_suffix('/')).unwrap_or(rest);
    let is_plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    (is_plain && !host.is_empty()).then(|| match has_port {
        true => host.to_owned(),
        false => format!("{host}:80"),
    })
}

fn ask(host: &str) -> io::Result<String> {
    let address = host.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_the_gateway_listens_on() {
        for (url, expected) in [
            ("http://127.0.0.1:8000", Some("127.0.0.1:8000")),
            ("http://127.0.0.1:8000/", Some("127.0.0.1:8000")),
            ("http://localhost/health", Some("localhost:80")),
            ("http://[::1]:8000", Some("[::1]:8000")),
            ("http://[::1]", Some("[::1]:80")),
            ("https://localhost", None),
            ("localhost:8000", None),
            ("http://", None),
            ("http://a/ws", None),
            ("http://a\r\nb", None),
        ] {
            assert_eq!(host(url).as_deref(), expected, "{url}");
        }
    }
}
