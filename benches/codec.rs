//! The codec alone: decoding, encoding and unmasking by size, beside fastwebsockets and tungstenite
//! in the same run, and unmasking beside a copy of as many bytes.
//!
//! Each decoder gets one masked binary frame that is whole in memory, as after a read, and hands on
//! the payload. fastwebsockets and tungstenite read from a stream, so theirs is a slice in memory,
//! and their reader is made once, outside of what is timed. All of them unmask in place in a copy
//! of the frame that is made anew each time; the cost of that copy alone stands in the table too.
//!
//! Run it with: cargo bench --bench codec -- --warm-up-time 0.5 --measurement-time 1
//!
//! The best of three to six runs on two shared virtual cores (x86-64, SSE2 only) that others were
//! building on: the same row was off by a factor of two between runs, so read ratios.
//!
//! | decode, bytes | copy only | fanfare | fastwebsockets | tungstenite | ours a second |
//! |---|---|---|---|---|---|
//! | 0 | 2.7 ns | **44 ns** | 85 ns | 1.23 µs | 23 M, – |
//! | 16 | 3.4 ns | **24 ns** | 69 ns | 0.72 µs | 42 M, 0.7 GB |
//! | 125 | 7.3 ns | **33 ns** | 85 ns | 0.75 µs | 30 M, 3.8 GB |
//! | 126 | 4.8 ns | **42 ns** | 86 ns | 0.73 µs | 24 M, 3.0 GB |
//! | 1 KiB | 14 ns | **71 ns** | 152 ns | 0.74 µs | 14 M, 14.5 GB |
//! | 16 KiB | 0.56 µs | **1.01 µs** | 1.40 µs | 2.42 µs | 986 k, 16.2 GB |
//! | 64 KiB | 2.00 µs | **3.20 µs** | 2.93 µs | 4.87 µs | 312 k, 20.5 GB |
//! | 1 MiB | 23 µs | **64 µs** | 70 µs | 159 µs | 16 k, 16.4 GB |
//!
//! tungstenite clears its read buffer for each frame of a stream, which is most of its cost here: a
//! socket with several frames in one read would show it in a better light.
//!
//! | unmask, bytes | memcpy | fanfare, header included | fastwebsockets, without |
//! |---|---|---|---|
//! | 16 | 3.6 ns | 29 ns | 4.1 ns |
//! | 125 | 4.9 ns | 36 ns | 8.9 ns |
//! | 126 | 3.0 ns | 35 ns | 8.8 ns |
//! | 1 KiB | 13 ns | 41 ns | 21 ns |
//! | 16 KiB | 0.34 µs | 0.37 µs | 0.34 µs |
//! | 64 KiB | 1.47 µs | 1.57 µs | 1.18 µs |
//! | 1 MiB | 26 µs | 28 µs | 20 µs |
//!
//! Encoding compares like with like: the whole frame side by side in memory, first in a fresh buffer (an
//! allocation and its end included), then in one that is reused. From 16 KiB on all of them copy at the
//! speed of memory, and which is first changes from run to run.
//!
//! | encode, bytes | fanfare | fastwebsockets | tungstenite | fanfare, reused | fastwebsockets | tungstenite | ours a second, reused |
//! |---|---|---|---|---|---|---|---|
//! | 0 | **13 ns** | 31 ns | 26 ns | **3.3 ns** | 17 ns | 19 ns | 300 M, – |
//! | 16 | **20 ns** | 37 ns | 40 ns | **4.6 ns** | 11 ns | 16 ns | 217 M, 3.5 GB |
//! | 125 | **15 ns** | 37 ns | 35 ns | **4.8 ns** | 13 ns | 19 ns | 209 M, 26.1 GB |
//! | 126 | **17 ns** | 37 ns | 31 ns | **6.1 ns** | 17 ns | 23 ns | 165 M, 20.8 GB |
//! | 1 KiB | **37 ns** | 103 ns | 79 ns | **23 ns** | 31 ns | 42 ns | 44 M, 45.2 GB |
//! | 16 KiB | **0.35 µs** | 0.48 µs | 0.43 µs | **0.22 µs** | 0.26 µs | 0.27 µs | 4.6 M, 75.4 GB |
//! | 64 KiB | **1.78 µs** | 2.41 µs | 2.38 µs | **2.54 µs** | 1.99 µs | 1.87 µs | 394 k, 25.8 GB |
//! | 1 MiB | **33 µs** | 41 µs | 27 µs | **25 µs** | 28 µs | 27 µs | 40 k, 42.3 GB |

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use fanfare::frame::{
    Decoder, DecoderLimits, Event, Opcode, WindowBits, encode, encode_deflated, encode_header,
};
use fastwebsockets::{Frame, WebSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{Role, WebSocketConfig};

const SIZES: [usize; 8] = [0, 16, 125, 126, 1 << 10, 16 << 10, 64 << 10, 1 << 20];
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The same frame over and over, without an end, and nowhere for what is written.
struct Loop {
    frame: Vec<u8>,
    at: usize,
}

impl Loop {
    fn new(frame: &[u8]) -> Self {
        Self { frame: frame.to_vec(), at: 0 }
    }

    /// The rest of the frame, as far as there is room: a read ends where a frame does.
    fn next(&mut self, room: usize) -> &[u8] {
        let end = self.frame.len().min(self.at + room);
        let bytes = &self.frame[self.at..end];
        self.at = if end == self.frame.len() { 0 } else { end };
        bytes
    }
}

impl Read for Loop {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(buf.len());
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Write for Loop {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(black_box(buf).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Loop {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = self.next(buf.remaining());
        buf.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Loop {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(buf).len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(pieces).iter().map(|piece| piece.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A future that never has to wait.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("memory is always ready"),
    }
}

/// A client's binary frame.
fn masked_frame(size: usize) -> Vec<u8> {
    let frame = encode(Opcode::Binary, &vec![0xA5; size]);
    let (header, payload) = frame.split_at(frame.len() - size);
    let mut bytes = header.to_vec();
    bytes[1] |= 0x80;
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default().write_buffer_size(0).max_message_size(Some(2 << 20))
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for size in SIZES {
        let frame = masked_frame(size);
        group.throughput(throughput(size));
        let mut scratch = frame.clone();
        group.bench_function(BenchmarkId::new("copy only", size), |b| {
            b.iter(|| {
                scratch.copy_from_slice(black_box(&frame));
                black_box(&scratch);
            });
        });
        let limits = DecoderLimits { message_bytes_max: 2 << 20, fragments_max: 64 };
        let mut decoder = Decoder::new(limits);
        group.bench_function(BenchmarkId::new("fanfare", size), |b| {
            b.iter(|| {
                scratch.copy_from_slice(black_box(&frame));
                let decoded = decoder.decode(&mut scratch).unwrap();
                let Some(Event::Message { payload, .. }) = &decoded.event else { unreachable!() };
                black_box(payload.len())
            });
        });
        let mut socket =
            WebSocket::after_handshake(Loop::new(&frame), fastwebsockets::Role::Server);
        group.bench_function(BenchmarkId::new("fastwebsockets", size), |b| {
            b.iter(|| black_box(at_once(socket.read_frame()).unwrap().payload.len()));
        });
        let mut socket = tungstenite::WebSocket::from_raw_socket(
            Loop::new(&frame),
            Role::Server,
            Some(config()),
        );
        group.bench_function(BenchmarkId::new("tungstenite", size), |b| {
            b.iter(|| black_box(socket.read().unwrap().len()));
        });
    }
    group.finish();
}

/// From a payload to the bytes of its frame, side by side in memory. "fresh": in a buffer of its own,
/// which is made and dropped; ours is a `Bytes`, made once for all subscribers, theirs a `Vec`.
/// "reused": in a buffer that is used again, as when several frames are joined for one write.
fn encode_frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for size in SIZES {
        let payload = vec![0xA5; size];
        let shared = Bytes::from(payload.clone());
        group.throughput(throughput(size));
        group.bench_function(BenchmarkId::new("fresh fanfare", size), |b| {
            b.iter(|| encode(Opcode::Binary, black_box(&payload)));
        });
        group.bench_function(BenchmarkId::new("fresh fastwebsockets", size), |b| {
            b.iter(|| write_fastwebsockets(black_box(&payload), &mut Vec::new()));
        });
        group.bench_function(BenchmarkId::new("fresh tungstenite", size), |b| {
            b.iter(|| write_tungstenite(black_box(&shared), &mut Vec::with_capacity(size + 14)));
        });
        let mut buffer = Vec::new();
        group.bench_function(BenchmarkId::new("reused fanfare", size), |b| {
            b.iter(|| {
                buffer.clear();
                encode_header(&mut buffer, Opcode::Binary, size);
                buffer.extend_from_slice(black_box(&payload));
                black_box(&buffer);
            });
        });
        let mut buffer = Vec::new();
        group.bench_function(BenchmarkId::new("reused fastwebsockets", size), |b| {
            b.iter(|| write_fastwebsockets(black_box(&payload), &mut buffer));
        });
        let mut buffer = Vec::new();
        group.bench_function(BenchmarkId::new("reused tungstenite", size), |b| {
            b.iter(|| {
                buffer.clear();
                write_tungstenite(black_box(&shared), &mut buffer);
            });
        });
    }
    group.finish();
}

fn write_fastwebsockets(payload: &[u8], buffer: &mut Vec<u8>) {
    black_box(Frame::binary(payload.into()).write(buffer));
}

fn write_tungstenite(payload: &Bytes, buffer: &mut Vec<u8>) {
    let frame = tungstenite::protocol::frame::Frame::message(
        payload.clone(),
        OpCode::Data(Data::Binary),
        true,
    );
    frame.format(buffer).unwrap();
    black_box(buffer);
}

/// A message of JSON as a lane deflates it, level 1 and 9.
fn deflate(c: &mut Criterion) {
    let mut group = c.benchmark_group("deflate");
    for size in [1 << 10, 64 << 10, 1 << 20] {
        let json: String = (0..)
            .map(|n: u64| format!("{{\"id\":{n},\"price\":{}}},", n * n % 9_973))
            .take(size / 16)
            .collect();
        let payload = &json.as_bytes()[..size];
        group.throughput(throughput(size));
        for level in [1, 9] {
            group.bench_function(BenchmarkId::new(format!("level {level}"), size), |b| {
                b.iter(|| {
                    encode_deflated(Opcode::Text, black_box(payload), WindowBits::Fifteen, level)
                });
            });
        }
    }
    group.finish();
}

/// Ours is not public; what `decode` costs beyond the copy is that and the header.
fn unmask(c: &mut Criterion) {
    let mut group = c.benchmark_group("unmask");
    for size in SIZES.into_iter().filter(|size| *size > 0) {
        let frame = masked_frame(size);
        let mut bytes = vec![0xA5; size];
        let mut target = vec![0; size];
        group.throughput(throughput(size));
        group.bench_function(BenchmarkId::new("memcpy", size), |b| {
            b.iter(|| {
                target.copy_from_slice(black_box(&bytes));
                black_box(&target);
            });
        });
        group.bench_function(BenchmarkId::new("fastwebsockets", size), |b| {
            b.iter(|| fastwebsockets::unmask(black_box(&mut bytes), KEY));
        });
        fanfare_in_place(&mut group, frame, size);
    }
    group.finish();
}

/// Decoding the same bytes over and over: unmasking an unmasked payload masks it, which costs as
/// much, and the header is not touched. So this is our unmask and a header, without a copy.
fn fanfare_in_place(group: &mut BenchmarkGroup<'_, WallTime>, mut frame: Vec<u8>, size: usize) {
    let limits = DecoderLimits { message_bytes_max: 2 << 20, fragments_max: 64 };
    let mut decoder = Decoder::new(limits);
    group.bench_function(BenchmarkId::new("fanfare with header", size), |b| {
        b.iter(|| {
            let decoded = decoder.decode(black_box(&mut frame)).unwrap();
            black_box(decoded.event.is_some())
        });
    });
}

fn throughput(size: usize) -> Throughput {
    Throughput::ElementsAndBytes { elements: 1, bytes: size as u64 }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
        .configure_from_args();
    decode(&mut criterion);
    encode_frames(&mut criterion);
    unmask(&mut criterion);
    deflate(&mut criterion);
    criterion.final_summary();
}
