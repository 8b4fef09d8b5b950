//! Any bytes as the head of a request: what our check accepts is exactly what a second, plain
//! reading of RFC 6455 section 4.2.1 and of our own additions accepts; and a head that is read without
//! hyper is one that hyper would have read in just that way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare::base::fields::{Field, Fields as _};
use fanfare::connection::{First, Head};
use http::request::Parts;
use sha1::{Digest as _, Sha1};

const HEADERS_MAX: usize = 64;

pub fn run(data: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let first = match First::of(data, HEADERS_MAX) {
        First::Upgrade(head) => Some(head),
        First::Other(bytes) => {
            assert_eq!(bytes, data);
            None
        }
    };
    let Ok(httparse::Status::Complete(head_len)) = request.parse(data) else {
        assert!(first.is_none(), "read without hyper: {data:?}");
        return;
    };
    let parts = parts(&request);
    if let Some(first) = first {
        assert_read_alike(first, parts.as_ref(), data, &data[..head_len]);
    }
    let Some(parts) = parts else { return };
    let checked = fanfare::frame::check(&parts);
    let expected = expected(&request);
    match checked {
        Ok(handshake) => {
            let Some((key, protocols)) = expected else { panic!("accepted: {parts:?}") };
            let digest =
                Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            assert_eq!(handshake.accept, *STANDARD.encode(digest.finalize()).as_bytes());
            assert_eq!(handshake.protocols, protocols);
        }
        Err(error) => {
            assert_eq!(expected, None, "refused ({error}): {parts:?}");
            let status = error.status().as_u16();
            assert!(status == 400 || status == 426);
            assert!(!error.to_string().contains('\n'));
        }
    }
}

/// The same request, of the same bytes; and nothing in it that two parsers could read in two ways.
fn assert_read_alike(first: Head, parts: Option<&Parts>, data: &[u8], head: &[u8]) {
    let parts = parts.expect("hyper would refuse it");
    assert_eq!((&parts.method, parts.version), (&http::Method::GET, http::Version::HTTP_11));
    assert_eq!((first.path(), first.query()), (parts.uri.path(), parts.uri.query()));
    assert_eq!(first.to_map(), parts.headers);
    for field in Field::ALL {
        assert!(first.all(field).eq(parts.headers.all(field)), "{field:?}");
    }
    assert_eq!(first.rest(), &data[head.len()..]);
    let ends = head.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    assert!(ends.into_iter().all(|(at, _)| at > 0 && head[at - 1] == b'\r'), "a bare LF");
    let has = |name: &str| parts.headers.contains_key(name);
    assert!(!has("content-length") && !has("transfer-encoding"), "a body");
}

/// As hyper makes them of the same bytes; `None` where `http` takes less than httparse.
fn parts(request: &httparse::Request<'_, '_>) -> Option<Parts> {
    let mut builder = http::Request::builder().method(request.method?).uri(request.path?).version(
        if request.version? == 1 { http::Version::HTTP_11 } else { http::Version::HTTP_10 },
    );
    for header in &*request.headers {
        builder = builder.header(header.name, header.value);
    }
    Some(builder.body(()).ok()?.into_parts().0)
}

/// The key and the subprotocols, if everything is in order.
fn expected(request: &httparse::Request<'_, '_>) -> Option<(Vec<u8>, Vec<String>)> {
    let all = |name: &str| -> Vec<&[u8]> {
        let found = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value).collect()
    };
    let list = |name: &str| -> Vec<Vec<u8>> {
        let joined = all(name).join(&b","[..]);
        let elements = joined.split(|byte| *byte == b',');
        elements.map(|element| element.trim_ascii().to_vec()).filter(|e| !e.is_empty()).collect()
    };
    let has = |name: &str, token: &str| {
        list(name).iter().any(|element| element.to_ascii_lowercase() == token.as_bytes())
    };
    let is_token = |byte: &u8| byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?={}"#.contains(byte);
    let (hosts, keys) = (all("host"), all("sec-websocket-key"));
    let key = keys.first().copied().unwrap_or_default();
    let lengths = all("content-length");
    let fine = request.method == Some("GET")
        && request.version == Some(1)
        && hosts.len() == 1
        && !hosts[0].is_empty()
        && all("transfer-encoding").is_empty()
        && (lengths.is_empty() || lengths == [b"0"])
        && has("upgrade", "websocket")
        && has("connection", "upgrade")
        && all("sec-websocket-version") == [b"13"]
        && keys.len() == 1
        // Encoded again it must be the same: padded, and no bits left over.
        && STANDARD.decode(key).is_ok_and(|raw| raw.len() == 16 && STANDARD.encode(raw).as_bytes() == key);
    let protocols = list("sec-websocket-protocol");
    if !fine || !protocols.iter().flatten().all(is_token) {
        return None;
    }
    let protocols = protocols.into_iter().map(|token| String::from_utf8(token).unwrap()).collect();
    Some((key.to_vec(), protocols))
}
