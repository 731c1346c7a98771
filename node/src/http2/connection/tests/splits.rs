//! However the bytes are cut, the same is heard and said; and whatever the bytes are, nothing
//! panics or grows.

use proptest::prelude::*;

use super::*;

/// One thing that an honest client does, or nearly honest.
#[derive(Clone, Debug)]
enum Step {
    Open {
        end: bool,
    },
    Message {
        stream: usize,
        text: Vec<u8>,
        padding: Option<u8>,
    },
    /// A message over several frames.
    Parts {
        stream: usize,
        text: Vec<u8>,
        at: usize,
    },
    End {
        stream: usize,
    },
    Trailers {
        stream: usize,
    },
    Reset {
        stream: usize,
    },
    Ping,
    Unknown {
        size: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let stream = 0..8usize;
    let text = || prop::collection::vec(any::<u8>(), 0..300);
    let step = prop_oneof![
        3 => any::<bool>().prop_map(|end| Step::Open { end }),
        6 => (stream.clone(), text(), any::<Option<u8>>())
            .prop_map(|(stream, text, padding)| Step::Message { stream, text, padding }),
        3 => (stream.clone(), text(), 0..300usize)
            .prop_map(|(stream, text, at)| Step::Parts { stream, text, at }),
        1 => stream.clone().prop_map(|stream| Step::End { stream }),
        1 => stream.clone().prop_map(|stream| Step::Trailers { stream }),
        1 => stream.prop_map(|stream| Step::Reset { stream }),
        1 => Just(Step::Ping),
        1 => (0..100usize).prop_map(|size| Step::Unknown { size }),
    ];
    prop::collection::vec(step, 0..40)
}

/// The bytes of a client that takes `steps`.
fn conversation(steps: &[Step]) -> Vec<u8> {
    let mut bytes = [&PREFACE[..], &settings(&[]), &frame::settings_ack()].concat();
    let mut opened = 0u32;
    for step in steps {
        let of = |nth: usize| u32::try_from(nth).unwrap() % opened.max(1) * 2 + 1;
        let frames = match step {
            Step::Open { end } => {
                opened += 1;
                request(opened * 2 - 1, *end)
            }
            _ if opened == 0 => continue,
            Step::Message { stream, text, padding: None } => {
                data(of(*stream), false, &message(text))
            }
            Step::Message { stream, text, padding: Some(padding) } => {
                let padded =
                    [&[*padding][..], &message(text), &vec![0; usize::from(*padding)]].concat();
                whole(kind::DATA, flag::PADDED, of(*stream), &padded)
            }
            Step::Parts { stream, text, at } => {
                let message = message(text);
                let (first, second) = message.split_at((*at).min(message.len()));
                [data(of(*stream), false, first), data(of(*stream), false, second)].concat()
            }
            Step::End { stream } => data(of(*stream), true, b""),
            Step::Trailers { stream } => headers(of(*stream), true, &[("x", "y")]),
            Step::Reset { stream } => rst_stream(of(*stream), ErrorCode::CANCEL),
            Step::Ping => ping(0, *b"how long"),
            Step::Unknown { size } => whole(0xbe, 0xff, 0, &vec![1; *size]),
        };
        bytes.extend(frames);
    }
    bytes
}

/// What is heard and said when `bytes` come cut at `cuts`.
fn outcome(bytes: &[u8], cuts: &[usize]) -> (Vec<String>, Vec<String>, Option<ConnectionError>) {
    let limits = Limits { stream_window_bytes: 1000, ..Limits::default() };
    let mut pair = Pair::raw(limits);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut events = Vec::new();
    for pair_of_cuts in cuts.windows(2) {
        pair.send(&[bytes[pair_of_cuts[0]..pair_of_cuts[1]].to_vec()]);
        events.extend(pair.events());
    }
    (events, pair.frames(), pair.error.take())
}

proptest! {
    #[test]
    fn any_cut_of_a_conversation_is_the_same_conversation(
        steps in steps(),
        cuts in prop::collection::vec(any::<usize>(), 0..60),
    ) {
        let bytes = conversation(&steps);
        prop_assert_eq!(outcome(&bytes, &cuts), outcome(&bytes, &[]));
    }

    #[test]
    fn a_conversation_byte_by_byte_is_the_same_conversation(steps in steps()) {
        let bytes = conversation(&steps);
        let every: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(outcome(&bytes, &every), outcome(&bytes, &[]));
    }

    /// Damaged in a few places, a conversation ends in an error or goes on; it never panics, and
    /// what it leaves is bounded by what came.
    #[test]
    fn a_damaged_conversation_is_survived(
        steps in steps(),
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 0..20),
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let mut bytes = conversation(&steps);
        let length = bytes.len();
        for (place, value) in damage {
            bytes[place % length] = value;
        }
        prop_assert_eq!(outcome(&bytes, &cuts), outcome(&bytes, &[]));
    }

    #[test]
    fn random_frames_are_survived(
        frames in prop::collection::vec(
            (0..12u8, any::<u8>(), 0..10u32, prop::collection::vec(any::<u8>(), 0..64)),
            0..60,
        ),
    ) {
        let mut pair = Pair::new(Limits::default());
        for (kind, flags, stream, payload) in frames {
            pair.send(&[whole(kind, flags, stream, &payload)]);
            pair.events();
            if pair.error.is_some() {
                break;
            }
        }
        prop_assert!(pair.server.events.is_empty());
        prop_assert!(pair.server.output_bytes() < 1 << 20);
    }
}

/// An echo under windows of every size: what comes back is what was sent, and all of it.
mod echo {
    use super::*;

    /// Echoes every message, then answers OK.
    fn serve(server: &mut Connection) {
        while let Some(event) = server.poll_event() {
            match event {
                Event::Message { stream, message } => {
                    let _ = server.send_message(stream, b"", &[message], b"");
                }
                Event::HalfClosed { stream } => server.finish(stream, Status::Ok, ""),
                Event::Opened { .. }
                | Event::Refused { .. }
                | Event::Ended { .. }
                | Event::GoAway { .. } => {}
            }
        }
    }

    fn written(server: &mut Connection, count: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = server.output_slices(&mut slices);
        let mut bytes =
            slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>();
        bytes.truncate(count);
        server.wrote(bytes.len());
        bytes
    }

    proptest! {
        #[test]
        fn what_was_sent_comes_back_through_any_windows(
            texts in prop::collection::vec((0..3u32, prop::collection::vec(any::<u8>(), 0..9000)), 1..12),
            initial in 0..20_000u32,
            grants in prop::collection::vec((0..3u32, 1..9000u32), 0..30),
            writes in prop::collection::vec(1..5000usize, 1..20),
        ) {
            let limits = Limits { output_bytes_max: 6000, ..Limits::default() };
            let mut server = Connection::new(limits, &Budget::default());
            let now = crate::clock::now();
            let mut opening = [&PREFACE[..], &settings(&[(4, initial)]), &frame::settings_ack()].concat();
            let mut expected = [vec![], vec![], vec![]];
            for number in [1, 3, 5] {
                opening.extend(request(number, false));
            }
            for (stream, text) in &texts {
                opening.extend(data(stream * 2 + 1, false, &message(text)));
                expected[*stream as usize].extend(message(text));
            }
            for number in [1, 3, 5] {
                opening.extend(data(number, true, b""));
            }
            server.receive(opening.into(), now).unwrap();
            serve(&mut server);
            let mut bytes = Vec::new();
            for (nth, (stream, grant)) in grants.iter().enumerate() {
                bytes.extend(written(&mut server, writes[nth % writes.len()]));
                let grant = frame::window_update(stream * 2 + 1, *grant);
                server.receive(grant.into(), now).unwrap();
            }
            prop_assert!(server.output_bytes() < 6000 + 2000);
            for number in [0, 1, 3, 5] {
                let grant = frame::window_update(number, 1 << 30);
                server.receive(grant.into(), now).unwrap();
            }
            while 0 < server.output_bytes() {
                bytes.extend(written(&mut server, 5000));
            }
            prop_assert_eq!(server.active_streams(), 0);
            prop_assert_eq!(server.all_pending_bytes(), 0);
            let mut found = [vec![], vec![], vec![]];
            let mut rest = &bytes[..];
            while let Some((head, after)) = rest.split_first_chunk::<HEAD_BYTES>() {
                let head = FrameHead::parse(*head);
                let (payload, after) = after.split_at(head.length as usize);
                rest = after;
                if head.kind == kind::DATA {
                    found[head.stream as usize / 2].extend_from_slice(payload);
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
