//! Bytes of a snapshot: numbers, and the frame around a chunk.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A frame: payload length (4), chunk number (4), checksum (8), all little-endian, then payload.
pub(super) const FRAME_HEAD_BYTES: usize = 16;

/// The payload with its frame.
pub(super) fn frame(number: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a chunk is short");
    let mut framed = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
    framed.extend(length.to_le_bytes());
    framed.extend(number.to_le_bytes());
    framed.extend(checksum(number, payload).to_le_bytes());
    framed.extend(payload);
    framed
}

/// Covers the number too, so that no chunk passes for another.
pub(super) fn checksum(number: u32, payload: &[u8]) -> u64 {
    xxh3_64_with_seed(payload, number.into())
}

/// Appends a number in as many bytes as it needs, seven bits each, the low ones first (LEB128).
pub(super) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while 0x80 <= number {
        #[expect(clippy::cast_possible_truncation, reason = "takes the low bits")]
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
    bytes.push(number as u8);
}

/// Reads a payload from the front.
#[derive(Debug)]
pub(super) struct Reader<'payload> {
    payload: &'payload [u8],
    at: usize,
}

/// What is wrong with a payload, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

impl<'payload> Reader<'payload> {
    pub(super) fn new(payload: &'payload [u8]) -> Self {
        Self { payload, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.payload.len()
    }

    pub(super) fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }

    pub(super) fn bytes<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], Fault> {
        let rest = self.payload.get(self.at..).unwrap_or_default();
        let bytes = *rest.first_chunk().ok_or(self.fault("the record ends too early"))?;
        self.at += COUNT;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        let [byte] = self.bytes()?;
        Ok(byte)
    }

    pub(super) fn word(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// A number as [`put_number`] writes it: of the shortest form only.
    pub(super) fn number(&mut self) -> Result<u64, Fault> {
        let start = self.at;
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && 1 < bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift != 0 {
                    break;
                }
                return Ok(number);
            }
        }
        Err(Fault { at: start, what: "a number is not in its shortest form" })
    }

    /// A number of at most `most`.
    pub(super) fn number_up_to(&mut self, most: u64, what: &'static str) -> Result<u64, Fault> {
        let at = self.at;
        let number = self.number()?;
        if most < number { Err(Fault { at, what }) } else { Ok(number) }
    }

    pub(super) fn length(&mut self, most: usize, what: &'static str) -> Result<usize, Fault> {
        let number = self.number_up_to(most as u64, what)?;
        Ok(usize::try_from(number).unwrap_or(most))
    }
}
