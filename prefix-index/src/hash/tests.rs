//! What names of blocks depend on.

use super::*;

const KEY: [u8; 16] = *b"0123456789abcdef";

fn params(block_bytes: u32) -> HashParams {
    HashParams::new(KEY, block_bytes, HashVersion::V1).unwrap()
}

fn text(bytes: usize) -> Vec<u8> {
    (0u32..).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).take(bytes).collect()
}

fn chain(params: &HashParams, model: &str, salt: Option<&str>, text: &[u8]) -> Vec<BlockHash> {
    let mut builder = ChainBuilder::new(params, model, salt);
    builder.update(text);
    builder.finish()
}

fn values(chain: &[BlockHash]) -> Vec<u64> {
    chain.iter().map(|block| block.get()).collect()
}

#[test]
fn version_one_gives_these_names_for_ever() {
    let default = params(BLOCK_BYTES_DEFAULT);
    let text = text(800);
    let names = [
        values(&chain(&default, "llama", None, &text)),
        values(&chain(&default, "llama", Some("salt"), &text[..256])),
        values(&chain(&params(16), "", Some(""), &text[..40])),
        vec![default.key_id()],
    ]
    .concat();
    let golden: [u64; 7] = [
        0xa507_013f_f720_47d0,
        0x3f4e_41fa_521f_65af,
        0x5add_5d3d_1607_02cb,
        0xa94d_0afd_b407_0999,
        0x8c18_d0cf_bf8c_fdfc,
        0x7c02_fbb5_2e3b_2624,
        0xf79a_0e6b_ebee_80b9,
    ];
    assert_eq!(names, golden);
}

#[test]
fn pieces_do_not_matter() {
    let params = params(64);
    let text = text(1000);
    let whole = chain(&params, "m", None, &text);
    for piece_bytes in [1, 7, 63, 64, 65, 200, 999] {
        let mut builder = ChainBuilder::new(&params, "m", None);
        text.chunks(piece_bytes).for_each(|piece| builder.update(piece));
        assert_eq!(builder.finish(), whole, "pieces of {piece_bytes} bytes");
    }
}

#[test]
fn the_tail_below_a_block_is_not_hashed() {
    let params = params(64);
    let text = text(191);
    assert_eq!(chain(&params, "m", None, &text), chain(&params, "m", None, &text[..128]));
}

#[test]
fn model_salt_key_and_block_size_all_change_the_first_block() {
    let text = text(256);
    let base = params(64);
    let other_key = HashParams::new([7; 16], 64, HashVersion::V1).unwrap();
    let firsts = [
        chain(&base, "m", None, &text),
        chain(&base, "n", None, &text),
        chain(&base, "m", Some(""), &text),
        chain(&base, "m", Some("s"), &text),
        chain(&base, "ms", None, &text),
        chain(&other_key, "m", None, &text),
        chain(&params(128), "m", None, &text),
    ]
    .map(|chain| chain[0]);
    let distinct: std::collections::BTreeSet<_> = firsts.into_iter().collect();
    assert_eq!(distinct.len(), firsts.len());
}

#[test]
fn a_block_names_all_text_before_it() {
    let params = params(64);
    let mut text = text(256);
    let before = chain(&params, "m", None, &text);
    text[100] ^= 1;
    let after = chain(&params, "m", None, &text);
    assert_eq!(before[0], after[0]);
    assert!(before[1..].iter().zip(&after[1..]).all(|(old, new)| old != new));
}

#[test]
fn a_chain_stops_at_its_longest_length() {
    let params = params(16);
    let text = text(16 * (CHAIN_BLOCKS_MAX + 5));
    assert_eq!(chain(&params, "m", None, &text).len(), CHAIN_BLOCKS_MAX);
    let mut builder = ChainBuilder::new(&params, "m", None);
    text.chunks(1000).for_each(|piece| builder.update(piece));
    assert_eq!(builder.finish().len(), CHAIN_BLOCKS_MAX);
}

#[test]
fn debug_output_does_not_tell_the_key() {
    let shown = format!("{:?}", params(64));
    assert!(!shown.contains("48, 49") && !shown.contains("0123"), "{shown}");
}

#[test]
fn block_sizes_outside_the_range_are_refused() {
    for block_bytes in [0, 15, (1 << 20) + 1] {
        let refused = HashParams::new(KEY, block_bytes, HashVersion::V1);
        assert_eq!(refused, Err(HashParamsError::BlockBytes { block_bytes }));
    }
}
