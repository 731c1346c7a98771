//! Random messages of a schema, encoded as no encoder would but every decoder must accept: fields in
//! any order and several times over, integers longer than need be, unknown fields and groups between.

use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::Strategy;
use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Messages by full name, with a dot in front.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) messages: BTreeMap<String, DescriptorProto>,
    /// Fields that are not written, as `Message.field`.
    left_out: BTreeSet<&'static str>,
    /// One field of so many is written wrong.
    flaws: Option<usize>,
}

impl Schema {
    pub(crate) fn ours() -> Self {
        Self::of(&FileDescriptorSet::decode(convoy_proto::FILE_DESCRIPTOR_SET).unwrap())
    }

    pub(crate) fn of(files: &FileDescriptorSet) -> Self {
        let mut schema = Self { messages: BTreeMap::new(), left_out: BTreeSet::new(), flaws: None };
        for file in &files.file {
            for message in &file.message_type {
                schema.add(&format!(".{}", file.package()), message);
            }
        }
        schema
    }

    fn add(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for nested in &message.nested_type {
            self.add(&name, nested);
        }
        self.messages.insert(name, message.clone());
    }

    pub(crate) fn without(mut self, fields: &[&'static str]) -> Self {
        self.left_out.extend(fields);
        self
    }

    /// Writes one field of about thirty wrong.
    pub(crate) fn flawed(self) -> Self {
        Self { flaws: Some(30), ..self }
    }

    /// Encodes a message as the tape says.
    pub(crate) fn encode(&self, name: &str, tape: &mut Tape<'_>) -> Vec<u8> {
        self.message(name, tape, 8)
    }

    fn message(&self, name: &str, tape: &mut Tape<'_>, depth: u32) -> Vec<u8> {
        let descriptor = &self.messages[name];
        let fields: Vec<&FieldDescriptorProto> = descriptor
            .field
            .iter()
            .filter(|field| {
                let path = format!("{}.{}", descriptor.name(), field.name());
                !self.left_out.contains(path.as_str())
            })
            .collect();
        let mut out = Vec::new();
        // Four of five times there is one more field, as long as the tape lasts.
        while !tape.is_empty() && tape.below(5) != 0 {
            let choice = tape.below(fields.len() + 1);
            if self.flaws.is_some_and(|one_of| tape.below(one_of) == 1) {
                flaw(fields.get(choice).map_or(1_000, |field| field.number()), tape, &mut out);
                continue;
            }
            match fields.get(choice) {
                Some(field) => self.field(field, tape, depth, &mut out),
                None => unknown_field(tape, 3, &mut out),
            }
        }
        out
    }

    fn field(
        &self,
        field: &FieldDescriptorProto,
        tape: &mut Tape<'_>,
        depth: u32,
        out: &mut Vec<u8>,
    ) {
        let number = u32::try_from(field.number()).unwrap();
        match field.r#type() {
            Type::Message if depth == 0 => delimited(number, &[], out),
            Type::Message => {
                let nested = self.message(field.type_name(), tape, depth - 1);
                delimited(number, &nested, out);
            }
            Type::String => delimited(number, tape.text().as_bytes(), out),
            Type::Bytes => {
                let length = tape.length();
                delimited(number, &tape.take(length), out);
            }
            Type::Double => {
                key(number, 1, out);
                let whole = i32::from_le_bytes(tape.array());
                out.extend_from_slice(&f64::from(whole).to_le_bytes());
            }
            Type::Bool | Type::Enum | Type::Int32 | Type::Int64 | Type::Uint32 => {
                key(number, 0, out);
                integer(tape, out);
            }
            unused @ (Type::Float
            | Type::Fixed32
            | Type::Fixed64
            | Type::Group
            | Type::Sfixed32
            | Type::Sfixed64
            | Type::Sint32
            | Type::Sint64
            | Type::Uint64) => panic!("{} is a {unused:?}, which is not generated", field.name()),
        }
    }
}

/// A field that is wrong in most messages: not of its type, not text, not closed, too long, cut.
fn flaw(number: i32, tape: &mut Tape<'_>, out: &mut Vec<u8>) {
    let number = u32::try_from(number).unwrap();
    match tape.below(7) {
        0 => {
            key(number, 0, out);
            integer(tape, out);
        }
        1 => {
            key(number, 1, out);
            out.extend_from_slice(&tape.array::<8>());
        }
        2 => delimited(number, &[b'a', 0xff], out),
        3 => {
            // The end's number is another's every second time.
            key(number, 3, out);
            key(number + u32::from(tape.byte() & 1), 4, out);
        }
        4 => {
            // The last of ten bytes may be 0 or 1.
            key(number, 0, out);
            out.extend_from_slice(&[0x80; 9]);
            out.push(tape.byte() & 3);
        }
        5 => {
            delimited(number, &[0x2a; 3], out);
            out.truncate(out.len() - 1);
        }
        _ => varint(u64::from_le_bytes(tape.array()), 0, out),
    }
}

/// A field of a number that no message knows, holding anything.
fn unknown_field(tape: &mut Tape<'_>, depth: u32, out: &mut Vec<u8>) {
    let number = 100 + u32::from(tape.byte()) * 1_000;
    match tape.below(if depth == 0 { 4 } else { 5 }) {
        0 => {
            key(number, 0, out);
            integer(tape, out);
        }
        1 => {
            key(number, 1, out);
            out.extend_from_slice(&tape.array::<8>());
        }
        2 => {
            let length = tape.length();
            delimited(number, &tape.take(length), out);
        }
        3 => {
            key(number, 5, out);
            out.extend_from_slice(&tape.array::<4>());
        }
        _ => {
            key(number, 3, out);
            for _ in 0..tape.below(3) {
                unknown_field(tape, depth - 1, out);
            }
            key(number, 4, out);
        }
    }
}

pub(crate) fn key(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | wire_type), 0, out);
}

pub(crate) fn delimited(number: u32, value: &[u8], out: &mut Vec<u8>) {
    key(number, 2, out);
    varint(value.len() as u64, 0, out);
    out.extend_from_slice(value);
}

fn integer(tape: &mut Tape<'_>, out: &mut Vec<u8>) {
    let value = match tape.below(4) {
        0 => u64::from(tape.byte() & 1),
        1 => u64::from(tape.byte()),
        2 => u64::from(u16::from_le_bytes(tape.array())),
        _ => u64::from_le_bytes(tape.array()),
    };
    varint(value, tape.below(3), out);
}

/// Writes an integer with up to `padding` bytes more than it needs, ten at most.
fn varint(mut value: u64, padding: usize, out: &mut Vec<u8>) {
    let start = out.len();
    while 0x80 <= value {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
    for _ in 0..padding.min(10 - (out.len() - start)) {
        *out.last_mut().unwrap() |= 0x80;
        out.push(0);
    }
}

/// Random bytes that decide what is generated, front to back. When they are used up, all that
/// follows is zero, so that a shorter tape gives a smaller message and failures shrink.
#[derive(Debug)]
pub(crate) struct Tape<'a>(pub(crate) &'a [u8]);

/// Tapes for messages of up to a few kilobytes.
pub(crate) fn tapes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::num::u8::ANY, 0..800)
}

impl Tape<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap()
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        let mut taken = taken.to_vec();
        taken.resize(count, 0);
        taken
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// Mostly short, sometimes longer than one byte of length can say.
    fn length(&mut self) -> usize {
        match self.below(8) {
            0 => 0,
            1 => 100 + self.below(100),
            _ => self.below(12),
        }
    }

    fn text(&mut self) -> String {
        const KNOWN: [&str; 9] = [
            "",
            "envoy.lb",
            "envoy.lb.subset_hint",
            "x-gateway-destination-endpoint",
            ":path",
            "X-Request-Id",
            "10.0.0.1:8000",
            "größer ≥ 3 🦀",
            "type.googleapis.com/envoy.Unknown",
        ];
        match KNOWN.get(self.below(12)) {
            Some(known) => (*known).to_owned(),
            None => (0..self.length()).map(|_| char::from(self.byte())).collect(),
        }
    }
}
