//! What one connection may make the process hold.

/// Bounds of one connection. A value outside of what the protocol allows is moved to the nearest
/// inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams open at once. Further ones are refused in the way that lets the client try
    /// elsewhere. Envoy opens a second connection at its own limit (1,024), so this one is not met
    /// in honest use.
    pub streams_max: u32,
    /// How much a client may send on one stream ahead of what was received here, in bytes.
    pub stream_window_bytes: u32,
    /// The same for all streams together.
    pub connection_window_bytes: u32,
    /// Longest frame accepted, in bytes of payload: 16,384 to 16,777,215.
    pub frame_bytes_max: u32,
    /// Longest list of request headers, counted as RFC 9113 section 6.5.2 does: 32 bytes a field
    /// beside its text. A longer one is refused; one four times as long ends the connection.
    pub header_list_bytes_max: u32,
    /// Longest gRPC message, in bytes. A longer one ends its stream with `RESOURCE_EXHAUSTED`.
    pub message_bytes_max: u32,
    /// Sum of the announced lengths of all messages of which only a part has arrived. A message
    /// that would exceed it ends its stream with `RESOURCE_EXHAUSTED`.
    pub assembling_bytes_max: usize,
    /// What may wait for the client's flow control on one stream. A stream that needs more is
    /// reset.
    pub stream_pending_bytes_max: usize,
    /// The same for all streams together.
    pub pending_bytes_max: usize,
    /// Data stays with its stream while this much is waiting for the socket.
    pub output_bytes_max: usize,
    /// Streams that the client may make end unanswered in one second, by resetting them or by
    /// breaking a rule. What a proxy does when its own clients go away is honest and was measured
    /// at 90,000 a second, so the bound is only there for the machine.
    pub resets_per_second_max: u32,
    /// Frames in one second that move nothing: PING, PRIORITY, empty DATA, unknown ones. A header
    /// list beyond its limit counts for a hundred, and SETTINGS for a thousand, since they can
    /// touch every stream.
    pub idle_frames_per_second_max: u32,
}

/// Largest window of the protocol.
pub(crate) const WINDOW_MAX: u32 = i32::MAX as u32;
pub(crate) const FRAME_BYTES_MAX: std::ops::RangeInclusive<u32> = 16_384..=16_777_215;

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 100_000,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 16 << 20,
            frame_bytes_max: 16_384,
            header_list_bytes_max: 64 << 10,
            message_bytes_max: 16 << 20,
            assembling_bytes_max: 256 << 20,
            stream_pending_bytes_max: 64 << 20,
            pending_bytes_max: 256 << 20,
            output_bytes_max: 4 << 20,
            resets_per_second_max: 200_000,
            idle_frames_per_second_max: 50_000,
        }
    }
}

impl Limits {
    /// Beyond this a header block, encoded or decoded, ends the connection: it has to be decoded to
    /// its end or not at all, as the next block depends on it.
    pub(crate) fn header_block_bytes_max(&self) -> u32 {
        self.header_list_bytes_max.saturating_mul(4)
    }

    pub(crate) fn legal(mut self) -> Self {
        self.stream_window_bytes = self.stream_window_bytes.min(WINDOW_MAX);
        self.connection_window_bytes = self.connection_window_bytes.clamp(65_535, WINDOW_MAX);
        self.frame_bytes_max =
            self.frame_bytes_max.clamp(*FRAME_BYTES_MAX.start(), *FRAME_BYTES_MAX.end());
        self
    }
}
