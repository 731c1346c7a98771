//! Messages cut from data at every place, and the small texts of gRPC.

use super::*;
use crate::budget::Budget;

const LIMITS: MessageLimits = MessageLimits { message_bytes_max: 100, assembling_bytes_max: 100 };

fn framed(messages: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend(prefix(u32::try_from(message.len()).unwrap()));
        bytes.extend_from_slice(message);
    }
    bytes
}

/// Feeds `parts` and returns every message that came out.
fn cut(deframer: &mut Deframer, parts: &[&[u8]]) -> Result<Vec<Bytes>, StreamFault> {
    let mut messages = Vec::new();
    let mut assembling = Budget::default().share();
    assembling.grow(deframer.assembling_bytes()).unwrap();
    for part in parts {
        let mut input = Bytes::copy_from_slice(part);
        let mut available = input.len();
        while 0 < available {
            let next = deframer.next(&mut input, &mut available, LIMITS, &mut assembling);
            messages.extend(next?);
            assert_eq!(assembling.bytes(), deframer.assembling_bytes());
        }
        assert!(input.is_empty(), "all that is available is taken");
    }
    Ok(messages)
}

#[test]
fn messages_are_the_same_wherever_the_data_is_cut_in_three() {
    let messages: [&[u8]; 4] = [b"one", b"", b"twenty-two", b"3"];
    let bytes = framed(&messages);
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let mut deframer = Deframer::default();
            let parts = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            assert_eq!(cut(&mut deframer, &parts).unwrap(), messages);
            assert!(deframer.is_between());
            assert_eq!(deframer.assembling_bytes(), 0);
        }
    }
}

#[test]
fn a_message_that_came_whole_is_not_copied() {
    let input = Bytes::from(framed(&[b"whole", b"also"]));
    let (mut rest, mut available) = (input.clone(), input.len());
    let mut deframer = Deframer::default();
    let mut none = Budget::new(0).share();
    for start in [5, 15] {
        let message = deframer.next(&mut rest, &mut available, LIMITS, &mut none);
        let message = message.unwrap().unwrap();
        assert_eq!(message.as_ptr(), input[start..].as_ptr());
    }
}

#[test]
fn a_message_in_parts_is_copied_into_its_exact_length() {
    let bytes = framed(&[&[7; 40]]);
    let mut deframer = Deframer::default();
    assert!(cut(&mut deframer, &[&bytes[..20]]).unwrap().is_empty());
    assert_eq!(deframer.assembling_bytes(), 40);
    let Deframer::Body { message, .. } = &deframer else { panic!("within a message") };
    assert_eq!(message.capacity(), 40);
    assert_eq!(cut(&mut deframer, &[&bytes[20..]]).unwrap(), [&[7; 40][..]]);
}

#[test]
fn no_more_than_the_data_frame_is_read() {
    let mut input = Bytes::from(framed(&[b"whole"]));
    let mut available = 7;
    let mut deframer = Deframer::default();
    let mut assembling = Budget::default().share();
    assert_eq!(deframer.next(&mut input, &mut available, LIMITS, &mut assembling), Ok(None));
    assert_eq!((input.len(), available), (3, 0));
}

#[test]
fn compressed_and_long_messages_are_refused() {
    let fault = |bytes: &[u8]| cut(&mut Deframer::default(), &[bytes]).unwrap_err();
    assert_eq!(fault(&[1, 0, 0, 0, 1, 9]), StreamFault::Compressed { flag: 1 });
    assert_eq!(
        fault(&[0, 0, 0, 0, 101]),
        StreamFault::MessageTooLong { bytes: 101, bytes_max: 100 }
    );
    let part = Bytes::from(framed(&[&[7; 40]])).slice(..10);
    let first = |assembling: &mut Share| {
        let outcome = Deframer::default().next(&mut part.clone(), &mut 10, LIMITS, assembling);
        outcome.unwrap_err()
    };
    let mut others = Budget::default().share();
    others.grow(61).unwrap();
    assert_eq!(first(&mut others), StreamFault::Assembling { bytes: 101, bytes_max: 100 });
    let mut scarce = Budget::new(39).share();
    assert_eq!(first(&mut scarce), StreamFault::NoRoom { bytes: 40 });
}

#[test]
fn texts_of_statuses_are_percent_encoded_and_bounded() {
    assert_eq!(percent_encoded("100% of a\nb"), "100%25 of a%0Ab");
    assert_eq!(percent_encoded(" é~ "), "%C3%A9~");
    assert_eq!(percent_encoded(&"é".repeat(5000)).len(), STATUS_TEXT_BYTES_MAX * 3);
}

#[test]
fn timeouts_have_at_most_eight_digits_and_a_unit() {
    let rows: &[(&str, Option<Duration>)] = &[
        ("1H", Some(Duration::from_hours(1))),
        ("2M", Some(Duration::from_mins(2))),
        ("10S", Some(Duration::from_secs(10))),
        ("99999999m", Some(Duration::from_millis(99_999_999))),
        ("5u", Some(Duration::from_micros(5))),
        ("7n", Some(Duration::from_nanos(7))),
        ("100000000S", None),
        ("S", None),
        ("", None),
        ("1s", None),
        ("-1S", None),
        ("+1S", None),
    ];
    for (text, timeout_read) in rows {
        assert_eq!(timeout(text.as_bytes()), *timeout_read, "{text:?}");
    }
}

#[test]
fn long_strings_have_long_lengths() {
    for length in [0usize, 126, 127, 128, 254, 255, 300, 3072] {
        let mut block = Vec::new();
        push_literal(&mut block, b"grpc-message", &vec![b'x'; length]);
        let mut found = None;
        let mut decoder = crate::http2::hpack::Decoder::default();
        decoder.decode(&block, 10_000, |field| found = Some(field.value().len())).unwrap();
        assert_eq!(found, Some(length));
    }
}
