use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use tokio::io::ReadBuf;

use super::*;

/// Hands out so many bytes a read, and then the end.
struct Pieces<'a> {
    bytes: &'a [u8],
    each: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let count = self.each.min(self.bytes.len()).min(buf.remaining());
        let (now, later) = self.bytes.split_at(count);
        buf.put_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(()))
    }
}

/// What is read, and what is left; the same however it is cut.
async fn outcome(bytes: &[u8]) -> (Result<Option<String>, String>, usize) {
    let mut outcomes = Vec::new();
    for each in [1, 2, 3, 7, 16, 4_096] {
        let mut stream = Pieces { bytes, each };
        let read = read(&mut stream).await;
        let read = match read {
            Ok(address) => Ok(address.map(|address| address.to_string())),
            Err(Fault::Missing) => Err("missing".to_owned()),
            Err(Fault::Malformed(_)) => Err("malformed".to_owned()),
            Err(Fault::Ended) => Err("ended".to_owned()),
        };
        let left = if read.is_ok() { stream.bytes.len() } else { 0 };
        outcomes.push((read, left));
    }
    assert!(outcomes.windows(2).all(|two| two[0] == two[1]), "{outcomes:?}");
    outcomes.pop().unwrap()
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = (rest.len() as u16).to_be_bytes();
    [&V2_SIGNATURE[..], &[command, family], &len, rest].concat()
}

#[tokio::test]
async fn headers_of_both_versions_name_the_client_and_leave_what_follows() {
    let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0, 80];
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0x12, 0x67, 0, 80]].concat();
    let mapped = [&[0; 10][..], &[255, 255, 192, 0, 2, 1], &[0; 16], &[0x12, 0x67, 0, 80]].concat();
    let with_more = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
    let most = [&v4[..], &[0; V2_BYTES_MAX - 12]].concat();
    for (header, address) in [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n".to_vec(), Some("192.0.2.1:4711")),
        (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(), Some("[2001:db8::1]:4711")),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 0 80\r\n".to_vec(), Some("192.0.2.1:0")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff::1 whatever 1 2\r\n".to_vec(), None),
        (v2(0x21, 0x11, &v4), Some("192.0.2.1:4711")),
        (v2(0x21, 0x11, &with_more), Some("192.0.2.1:4711")),
        (v2(0x21, 0x11, &most), Some("192.0.2.1:4711")),
        (v2(0x21, 0x21, &v6), Some("[2001:db8::1]:4711")),
        (v2(0x21, 0x21, &mapped), Some("192.0.2.1:4711")),
        (v2(0x21, 0x00, &[]), None),
        (v2(0x21, 0x31, &[0; 216]), None),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x11, &v4), None),
    ] {
        let follows = b"GET / HTTP/1.1\r\n";
        let (read, left) = outcome(&[&header[..], follows].concat()).await;
        assert_eq!(read, Ok(address.map(str::to_owned)), "{header:?}");
        assert_eq!(left, follows.len(), "{header:?}");
        for end in 1..header.len() {
            let (read, _) = outcome(&header[..end]).await;
            assert!(read.is_err(), "{:?}", &header[..end]);
        }
    }
}

#[tokio::test]
async fn what_is_none_is_refused() {
    for other in
        [&b""[..], b"GET / HTTP/1.1\r\nHost: a\r\n", b"\x16\x03\x01\x02\x00\x01", b"proxy "]
    {
        assert_eq!(outcome(other).await.0, Err("missing".into()), "{other:?}");
    }
    for line in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80 \r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 4711 80\r\n",
        "PROXY TCP4 192.0.2.1 ::1 4711 80\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 4711 80\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.2 4711 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +711 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 0711 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 4711 -1\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 4711 80\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\nGET / HTTP/1.1\r\n",
        "PROXY TCP4 192.0.2.1\r192.0.2.2 4711 80\r\n",
    ] {
        assert_eq!(outcome(line.as_bytes()).await.0, Err("malformed".into()), "{line:?}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(5_000));
    assert_eq!(outcome(endless.as_bytes()).await.0, Err("malformed".into()));
    for (command, family, rest) in [
        (0x11, 0x11, &[0; 12][..]),
        (0x31, 0x11, &[0; 12]),
        (0x22, 0x11, &[0; 12]),
        (0x21, 0x11, &[0; 11]),
        (0x21, 0x12, &[0; 12]),
        (0x21, 0x21, &[0; 35]),
        (0x21, 0x31, &[0; 215]),
        (0x21, 0x41, &[0; 216]),
        (0x21, 0x11, &[0; V2_BYTES_MAX + 1]),
    ] {
        let header = v2(command, family, rest);
        assert_eq!(outcome(&header).await.0, Err("malformed".into()), "{command} {family}");
    }
}

proptest! {
    /// Whatever comes, it is read the same however it is cut, and never beyond the bound.
    #[test]
    fn anything_is_read_the_same_however_it_is_cut(
        start in prop::sample::select(vec![
            &b""[..], b"PROXY ", b"PROXY TCP4 192.0.2.1 ", b"PROXY UNKNOWN", V2_SIGNATURE,
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0", b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x08",
        ]),
        rest in prop::collection::vec(prop_oneof![any::<u8>(), Just(b' '), Just(b'\r'), Just(b'\n')], 0..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(outcome(&[start, &rest].concat()));
    }
}
