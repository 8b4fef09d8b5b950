//! Connections that publish: apart from the subscribers', and in the same loop.
//!
//! A message is handed over at its time as long as the connection has room; what the kernel does not
//! take at once waits here, up to a bound. After that messages wait in the schedule, and are late.

mod http;
mod websocket;

use std::io::{self, Read as _, Write as _};

use mio::{Interest, Registry, Token};

use super::BenchError;
use super::connect::{self, Handshake};
use super::options::{Options, PublishBy};
use super::stream::Stream;
use super::tally::Tally;
use super::target::Target;

/// What waits for the kernel on one connection, at most, beside one message.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// Requests without an answer on one connection. A server answers them one after the other.
const UNANSWERED_MAX: usize = 64;

/// What an answer to a request said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// The status of the last refusal.
    pub(crate) refusal: Option<u16>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Publishers {
    links: Vec<Link>,
    options: Options,
    target: Target,
    handshake: Handshake,
    names: Vec<String>,
    first_token: usize,
    /// Links with something to write that was not tried.
    unflushed: Vec<usize>,
    pub(crate) answers: Answers,
}

#[derive(Debug)]
struct Link {
    stream: Stream,
    pending: Vec<u8>,
    written: usize,
    speaks: Speaks,
}

#[derive(Debug)]
enum Speaks {
    WebSocket(websocket::Echoes),
    Http(http::Requests),
}

impl Publishers {
    /// One connection; one for each channel if a WebSocket's URL names it.
    ///
    /// # Errors
    /// The URL is none, or it does not connect.
    pub(crate) fn open(
        options: &Options,
        handshake: Handshake,
        registry: &Registry,
        first_token: usize,
    ) -> Result<Self, BenchError> {
        let scheme = if options.publish_by == PublishBy::Http { "http" } else { "ws" };
        let url = options.publish_url.as_ref().unwrap_or(&options.url);
        let target = Target::new(url, "--publish-url", scheme, &options.tls)?;
        let is_each = options.publish_by == PublishBy::WebSocket && target.has_channel();
        let links = if is_each { options.channels } else { 1 };
        let names = (0..options.channels).map(|channel| options.channel_name(channel)).collect();
        let mut publishers = Self {
            links: Vec::with_capacity(links),
            options: options.clone(),
            target,
            handshake,
            names,
            first_token,
            unflushed: Vec::new(),
            answers: Answers::default(),
        };
        for at in 0..links {
            let link = publishers.link(at, registry)?;
            publishers.links.push(link);
        }
        Ok(publishers)
    }

    fn link(&self, at: usize, registry: &Registry) -> Result<Link, BenchError> {
        let timeout = self.options.connect_timeout;
        let failed = |text: String| BenchError::Publisher(format!("cannot connect: {text}"));
        let (mut stream, speaks) = match self.options.publish_by {
            PublishBy::Http => {
                let stream = connect::connect(&self.target, timeout)
                    .map_err(|error| failed(connect::error_text(&error)))?;
                (stream, Speaks::Http(http::Requests::default()))
            }
            PublishBy::WebSocket => {
                let path = self.target.path(&self.names[at..=at]);
                let headers = match self.options.publish_headers.as_slice() {
                    [] => &self.options.headers,
                    headers => headers,
                };
                let (stream, early) =
                    connect::open(&self.target, &self.handshake, &path, headers, timeout)
                        .map_err(failed)?;
                let mut echoes = websocket::Echoes::default();
                echoes.take(&early, &mut Vec::new()).map_err(BenchError::Publisher)?;
                (stream, Speaks::WebSocket(echoes))
            }
        };
        registry
            .register(
                stream.tcp(),
                Token(self.first_token + at),
                Interest::READABLE | Interest::WRITABLE,
            )
            .map_err(BenchError::io("watch a socket"))?;
        Ok(Link { stream, pending: Vec::new(), written: 0, speaks })
    }

    fn link_of(&self, channel: usize) -> usize {
        if self.links.len() == 1 { 0 } else { channel }
    }

    /// Whether a message for this channel can be handed over now.
    pub(crate) fn has_room(&self, channel: usize) -> bool {
        let link = &self.links[self.link_of(channel)];
        let is_answered = match &link.speaks {
            Speaks::Http(requests) => requests.unanswered() < UNANSWERED_MAX,
            Speaks::WebSocket(_) => true,
        };
        is_answered && link.pending.len() - link.written < PENDING_BYTES_MAX
    }

    /// Hands a message over. It is sent with [`Publishers::flush`].
    pub(crate) fn publish(&mut self, channel: usize, number: u32, message: &[u8]) {
        let at = self.link_of(channel);
        let name = &self.names[channel];
        let body = render(&self.options.publish_body, name, message);
        if self.unflushed.last() != Some(&at) {
            self.unflushed.push(at);
        }
        let link = &mut self.links[at];
        match &mut link.speaks {
            Speaks::WebSocket(echoes) => {
                echoes.frame(&mut link.pending, &body, self.options.is_binary);
            }
            Speaks::Http(requests) => {
                let path = self.target.path(std::slice::from_ref(name));
                let request = http::request(&self.options, &self.target.host, &path, &body);
                link.pending.extend_from_slice(&request);
                requests.sent(request, channel, number);
            }
        }
    }

    /// Writes what the kernel takes of what was handed over since the last time.
    ///
    /// # Errors
    /// A connection broke.
    pub(crate) fn flush(&mut self) -> Result<(), BenchError> {
        while let Some(at) = self.unflushed.pop() {
            self.links[at].flush()?;
        }
        Ok(())
    }

    /// Does what a connection is ready for.
    ///
    /// # Errors
    /// The server ended it, or sent what is not understood.
    pub(crate) fn handle(
        &mut self,
        at: usize,
        tally: &mut Tally,
        buffer: &mut [u8],
        registry: &Registry,
    ) -> Result<(), BenchError> {
        let Some(link) = self.links.get_mut(at) else { return Ok(()) };
        let mut is_over = false;
        loop {
            let read = match link.stream.read(buffer) {
                Ok(0) => {
                    is_over = true;
                    break;
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Many end HTTP over TLS without a word; what is not answered is asked again.
                Err(error) if link.is_cut(&error) => {
                    is_over = true;
                    break;
                }
                Err(error) => return Err(BenchError::Publisher(connect::error_text(&error))),
            };
            match &mut link.speaks {
                Speaks::WebSocket(echoes) => {
                    echoes
                        .take(&buffer[..read], &mut link.pending)
                        .map_err(BenchError::Publisher)?;
                }
                Speaks::Http(requests) => {
                    is_over |= requests
                        .take(&buffer[..read], &mut self.answers, tally)
                        .map_err(BenchError::Publisher)?;
                }
            }
        }
        if is_over { self.reconnect(at, registry) } else { self.links[at].flush() }
    }

    /// A server may end an HTTP connection after some requests (nginx: `keepalive_requests`). What
    /// it left unanswered is asked again.
    fn reconnect(&mut self, at: usize, registry: &Registry) -> Result<(), BenchError> {
        let Speaks::Http(before) = &mut self.links[at].speaks else {
            let text = "the server closed its connection".to_owned();
            return Err(BenchError::Publisher(text));
        };
        let again = before.restart()?;
        let mut link = self.link(at, registry)?;
        link.pending = again.concat_bytes();
        link.speaks = Speaks::Http(again);
        self.links[at] = link;
        self.links[at].flush()
    }
}

impl Link {
    fn is_cut(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::UnexpectedEof && matches!(self.speaks, Speaks::Http(_))
    }

    fn flush(&mut self) -> Result<(), BenchError> {
        while self.written < self.pending.len() {
            match self.stream.write(&self.pending[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // What the server did not read is asked again when its end is seen.
                Err(_) if matches!(self.speaks, Speaks::Http(_)) => return Ok(()),
                Err(error) => return Err(BenchError::Publisher(connect::error_text(&error))),
            }
        }
        self.pending.clear();
        self.written = 0;
        Ok(())
    }
}

/// Fills in a template.
fn render(template: &str, channel: &str, message: &[u8]) -> Vec<u8> {
    if template == "{message}" {
        return message.to_vec();
    }
    let message = std::str::from_utf8(message).unwrap_or_default();
    template.replace("{channel}", channel).replace("{message}", message).into_bytes()
}
