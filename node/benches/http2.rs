//! What the HTTP/2 connection costs by itself: a token's message echoed on one of many streams,
//! eight to a read, and a whole call.

use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;
use convoy_node::budget::Budget;
use convoy_node::clock;
use convoy_node::http2::{Connection, Event, Limits, Status};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const STREAMS: u32 = 64;
const MESSAGES: u32 = 8;
/// About one event of a streamed completion.
const MESSAGE_BYTES: usize = 250;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small frames");
    let [_, length @ ..] = length.to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn message() -> Vec<u8> {
    let length = u32::try_from(MESSAGE_BYTES).expect("small messages");
    [&[0][..], &length.to_be_bytes(), &[b'x'; MESSAGE_BYTES]].concat()
}

/// A header block as Envoy sends it: all but the path by index, once the table knows the fields.
fn block(first: bool) -> Vec<u8> {
    let path = b"/envoy.service.ext_proc.v3.ExternalProcessor/Process";
    let mut block = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).expect("short")];
    block.extend(path);
    if !first {
        block.extend([0xc0, 0xbf, 0xbe]);
        return block;
    }
    for (name, value) in
        [(":authority", "epp"), ("te", "trailers"), ("content-type", "application/grpc")]
    {
        block.push(0x40);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend(text.bytes());
        }
    }
    block
}

struct Pair {
    server: Connection,
    now: Instant,
    data_bytes: u32,
}

impl Pair {
    fn new() -> Self {
        let now = clock::now();
        let mut pair = Self {
            server: Connection::new(Limits::default(), &Budget::default()),
            now,
            data_bytes: 0,
        };
        let window = [&[0, 4][..], &(1u32 << 30).to_be_bytes()].concat();
        pair.turn(
            [
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
                frame(SETTINGS, 0, 0, &window),
                frame(SETTINGS, 1, 0, &[]),
                frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes()),
            ]
            .concat()
            .into(),
        );
        pair
    }

    /// Receives, echoes every message, and takes the output.
    fn turn(&mut self, input: Bytes) {
        self.server.receive(input, self.now).expect("an honest client");
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::Message { stream, message } => {
                    self.data_bytes += 15 + u32::try_from(message.len()).expect("small messages");
                    let sent = self.server.send_message(stream, &[7; 10], &[message], &[]);
                    sent.expect("the stream is open");
                }
                Event::HalfClosed { stream } => self.server.finish(stream, Status::Ok, ""),
                Event::Opened { .. }
                | Event::Refused { .. }
                | Event::Ended { .. }
                | Event::GoAway { .. } => {}
            }
        }
        while 0 < self.server.output_bytes() {
            let mut slices = [IoSlice::new(&[]); 64];
            let filled = self.server.output_slices(&mut slices);
            let count = slices.iter().take(filled).map(|slice| slice.len()).sum();
            self.server.wrote(count);
        }
    }

    /// Gives back the window of what was sent, now and then.
    fn grant(&mut self, streams: u32) {
        if self.data_bytes < 1 << 20 {
            return;
        }
        let per_stream = (self.data_bytes / streams).to_be_bytes();
        let mut grants = frame(WINDOW_UPDATE, 0, 0, &self.data_bytes.to_be_bytes());
        for nth in 0..streams {
            grants.extend(frame(WINDOW_UPDATE, 0, nth * 2 + 1, &per_stream));
        }
        self.data_bytes = 0;
        self.turn(grants.into());
    }
}

fn tokens(criterion: &mut Criterion) {
    let mut pair = Pair::new();
    for nth in 0..STREAMS {
        pair.turn(frame(HEADERS, END_HEADERS, nth * 2 + 1, &block(nth == 0)).into());
    }
    let reads: Vec<Bytes> = (0..STREAMS / MESSAGES)
        .map(|read| {
            let numbers = (0..MESSAGES).map(|nth| (read * MESSAGES + nth) * 2 + 1);
            numbers.flat_map(|number| frame(DATA, 0, number, &message())).collect()
        })
        .collect();
    let mut reads = reads.into_iter().cycle();
    let mut group = criterion.benchmark_group("tokens");
    group.throughput(Throughput::Elements(MESSAGES.into()));
    group.bench_function("echo of eight", |bencher| {
        bencher.iter(|| {
            pair.turn(reads.next().expect("endless"));
            pair.grant(STREAMS);
        });
    });
    group.finish();
}

fn calls(criterion: &mut Criterion) {
    let mut pair = Pair::new();
    let mut number = 1;
    criterion.bench_function("call of one message", |bencher| {
        bencher.iter(|| {
            let mut call = frame(HEADERS, END_HEADERS, number, &block(number == 1));
            call.extend(frame(DATA, END_STREAM, number, &message()));
            pair.turn(call.into());
            pair.grant(1);
            number += 2;
        });
    });
}

criterion_group!(benches, tokens, calls);
criterion_main!(benches);
