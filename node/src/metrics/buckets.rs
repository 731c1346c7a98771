//! Upper bounds of histogram buckets, as dashboards expect them.

use super::histogram::Histogram;

/// Makes a histogram with one of the lists below.
pub(super) type New = fn() -> Histogram;

const DURATION_SECONDS: [f64; 35] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0,
    1200.0, 1800.0, 2700.0, 3600.0,
];

const TTFT_SECONDS: [f64; 24] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0,
];

const TPOT_SECONDS: [f64; 19] = [
    0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4, 0.5,
    0.6, 0.8, 1.0, 2.0,
];

const ITL_SECONDS: [f64; 15] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0];

const NTPOT_SECONDS: [f64; 13] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

const REQUEST_BYTES: [f64; 25] = [
    64.0,
    128.0,
    256.0,
    512.0,
    1024.0,
    2048.0,
    4096.0,
    8192.0,
    16384.0,
    32768.0,
    65536.0,
    131_072.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
    8_388_608.0,
    16_777_216.0,
    33_554_432.0,
    67_108_864.0,
    134_217_728.0,
    268_435_456.0,
    536_870_912.0,
    1_073_741_824.0,
];

/// 32,778 is what the picker that Convoy replaces writes; recorded queries name it.
const RESPONSE_BYTES: [f64; 15] = [
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
    32778.0, 65536.0,
];

const INPUT_TOKENS: [f64; 19] = [
    1.0,
    8.0,
    16.0,
    32.0,
    64.0,
    128.0,
    256.0,
    512.0,
    1024.0,
    2048.0,
    4096.0,
    8192.0,
    16384.0,
    32778.0,
    65536.0,
    131_072.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
];

const OUTPUT_TOKENS: [f64; 12] =
    [1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];

const PICK_SECONDS: [f64; 10] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];

const STREAM_SECONDS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

const REQUEST_PROCESSING_SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];

const RATIO: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

const HIT_BYTES: [f64; 14] = [
    0.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0,
    65536.0,
];

pub(super) fn duration() -> Histogram {
    Histogram::new(&DURATION_SECONDS)
}

pub(super) fn ttft() -> Histogram {
    Histogram::new(&TTFT_SECONDS)
}

pub(super) fn tpot() -> Histogram {
    Histogram::new(&TPOT_SECONDS)
}

pub(super) fn itl() -> Histogram {
    Histogram::new(&ITL_SECONDS)
}

pub(super) fn ntpot() -> Histogram {
    Histogram::new(&NTPOT_SECONDS)
}

pub(super) fn request_bytes() -> Histogram {
    Histogram::new(&REQUEST_BYTES)
}

pub(super) fn response_bytes() -> Histogram {
    Histogram::new(&RESPONSE_BYTES)
}

pub(super) fn input_tokens() -> Histogram {
    Histogram::new(&INPUT_TOKENS)
}

pub(super) fn output_tokens() -> Histogram {
    Histogram::new(&OUTPUT_TOKENS)
}

pub(super) fn pick() -> Histogram {
    Histogram::new(&PICK_SECONDS)
}

pub(super) fn stream() -> Histogram {
    Histogram::new(&STREAM_SECONDS)
}

pub(super) fn request_processing() -> Histogram {
    Histogram::new(&REQUEST_PROCESSING_SECONDS)
}

pub(super) fn ratio() -> Histogram {
    Histogram::new(&RATIO)
}

pub(super) fn hit_bytes() -> Histogram {
    Histogram::new(&HIT_BYTES)
}
