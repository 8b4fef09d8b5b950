//! Listeners and what stands before HTTP: TLS, the PROXY protocol, Unix sockets, sockets of a parent.
//! The real program, real sockets, real TLS, as OpenSSL's and rustls's clients speak it.
//!
//! * `openssl`: versions, ALPN, client certificates.
//! * `sessions`: WebSockets and event streams over TLS, to their end.
//! * `reload`: certificates that change under traffic.
//! * `listeners`: several at once, and what each serves.
//! * `inherited`: a socket that a parent holds, over a restart.
//! * `behind`: nginx and HAProxy in front; ignored, as they have to be installed.
//! * `testssl`: what testssl.sh finds; ignored, as it has to be installed.
//! * `soak`: everything at once for a minute; ignored, because it takes that long.
//! * `proxied`: the PROXY protocol and `X-Forwarded-For`, also from those who lie.
//!
//! Needs `bash`, and `openssl` for the checks that are ignored without being asked for.

mod behind;
mod certificates;
mod client;
mod inherited;
mod listeners;
mod openssl;
mod proxied;
mod reload;
mod sessions;
mod soak;
#[path = "../attacks/steady.rs"]
#[allow(dead_code)]
mod steady;
#[path = "../e2e/support.rs"]
#[allow(dead_code)]
mod support;
mod testssl;
