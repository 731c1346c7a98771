//! The decoder against the examples of RFC 7541, and against what nobody honest sends.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, HpackError> {
    let mut fields = Vec::new();
    decoder.decode(block, 10_000, |field| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.push((text(field.name()), text(field.value())));
    })?;
    Ok(fields)
}

/// A block in hex, its fields, and the size of the table after it.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], usize);

/// Decodes the blocks one after the other.
#[track_caller]
fn check(rows: &[Row]) {
    let mut decoder = Decoder::default();
    for (block, fields, table_bytes) in rows {
        let found = decode(&mut decoder, &hex(block)).unwrap();
        let found: Vec<(&str, &str)> =
            found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(&found, fields, "block {block}");
        assert_eq!(decoder.table_bytes, *table_bytes, "table after {block}");
    }
}

const FIRST: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

#[test]
fn literals_of_appendix_c_2() {
    check(&[(
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        &[("custom-key", "custom-header")],
        55,
    )]);
    check(&[("040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")], 0)]);
    check(&[("1008 7061 7373 776f 7264 0673 6563 7265 74", &[("password", "secret")], 0)]);
    check(&[("82", &[(":method", "GET")], 0)]);
}

#[test]
fn requests_of_appendix_c_3() {
    check(&[
        ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST, 57),
        ("8286 84be 5808 6e6f 2d63 6163 6865", SECOND, 110),
        ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", THIRD, 164),
    ]);
}

#[test]
fn huffman_coded_requests_of_appendix_c_4() {
    check(&[
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST, 57),
        ("8286 84be 5886 a8eb 1064 9cbf", SECOND, 110),
        ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", THIRD, 164),
    ]);
}

/// The responses of appendix C.5 and C.6, whose table holds 256 bytes, so that entries are evicted.
#[test]
fn responses_of_appendix_c_5_and_6_evict_the_oldest() {
    let date = "Mon, 21 Oct 2013 20:13:21 GMT";
    let later = "Mon, 21 Oct 2013 20:13:22 GMT";
    let cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let location = ("location", "https://www.example.com");
    let first = [(":status", "302"), ("cache-control", "private"), ("date", date), location];
    let second = [(":status", "307"), ("cache-control", "private"), ("date", date), location];
    let third = [
        (":status", "200"),
        ("cache-control", "private"),
        ("date", later),
        location,
        ("content-encoding", "gzip"),
        ("set-cookie", cookie),
    ];
    let plain = [
        "3fe1 01 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 \
         3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 \
         666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 \
         3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    let huffman = [
        "3fe1 01 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad \
         1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 \
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for [one, two, three] in [plain, huffman] {
        check(&[(one, &first, 222), (two, &second, 222), (three, &third, 215)]);
    }
}

#[test]
fn integers_of_appendix_c_1() {
    assert_eq!(integer(&mut &hex("0a")[..], 5), Ok(10));
    assert_eq!(integer(&mut &hex("1f9a0a")[..], 5), Ok(1337));
    assert_eq!(integer(&mut &hex("2a")[..], 8), Ok(42));
    assert_eq!(integer(&mut &hex("1fffffffff7f")[..], 5), Err(HpackError::IntegerTooLarge));
    assert_eq!(integer(&mut &hex("1fff")[..], 5), Err(HpackError::Truncated));
}

#[test]
fn malformed_blocks_are_refused() {
    let rows: &[(&str, HpackError)] = &[
        ("80", HpackError::NoSuchIndex(0)),
        ("be", HpackError::NoSuchIndex(62)),
        ("7e 01 61", HpackError::NoSuchIndex(62)),
        ("40 0a 6375", HpackError::Truncated),
        ("40", HpackError::Truncated),
        ("40 81 00 00", HpackError::Huffman),
        ("3f e2 1f", HpackError::TableTooLarge(4097)),
        ("82 20", HpackError::LateResize),
    ];
    for (block, error) in rows {
        assert_eq!(decode(&mut Decoder::default(), &hex(block)), Err(*error), "block {block}");
    }
}

#[test]
fn a_block_that_stands_for_too_much_is_refused() {
    let mut decoder = Decoder::default();
    let mut block = hex("40 01 61 7e");
    block.extend([b'x'; 126]);
    decode(&mut decoder, &block).unwrap();
    let fits = 10_000 / (1 + 126 + 32);
    assert_eq!(decode(&mut decoder, &vec![0xbe; fits]).unwrap().len(), fits);
    assert_eq!(decode(&mut decoder, &vec![0xbe; fits + 1]), Err(HpackError::TooLong(10_000)));
}

#[test]
fn a_table_of_no_size_keeps_nothing() {
    let mut decoder = Decoder::default();
    decode(&mut decoder, &hex("20 40 01 61 01 62")).unwrap();
    assert_eq!(decode(&mut decoder, &hex("be")), Err(HpackError::NoSuchIndex(62)));
}

#[test]
fn a_field_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::default();
    decode(&mut decoder, &hex("40 01 61 01 62")).unwrap();
    let mut block = hex("40 01 61 7f 81 1f");
    block.extend([b'x'; 0x7f + 0xf81]);
    assert_eq!(decode(&mut decoder, &block).unwrap().len(), 1);
    assert_eq!((decoder.table.len(), decoder.table_bytes), (0, 0));
}

#[test]
fn a_repeated_literal_is_remembered_unless_it_is_a_secret() {
    let mut decoder = Decoder::default();
    for _ in 0..2 {
        assert_eq!(
            decode(&mut decoder, &hex("04 02 2f78")).unwrap(),
            [(":path".into(), "/x".into())]
        );
        decode(&mut decoder, &hex("10 01 61 01 62")).unwrap();
    }
    assert_eq!(decoder.recent.len(), 1);
    for length in 1..20 {
        let mut block = hex("00 01 61");
        block.push(length);
        block.extend(vec![b'x'; usize::from(length)]);
        decode(&mut decoder, &block).unwrap();
    }
    assert_eq!(decoder.recent.len(), RECENT_MAX);
}
