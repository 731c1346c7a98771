//! What an overlay holds, and when it lets go.

use super::*;

fn chain(name: u64, blocks: u64) -> Vec<BlockHash> {
    (1..=blocks).filter_map(|depth| BlockHash::new(name << 32 | depth)).collect()
}

fn key(sequence: u64) -> SightingKey {
    (Origin { replica: 1, start: 2 }, Sequence(sequence))
}

fn start() -> Instant {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "any instant will do; time is added to it")]
    *START.get_or_init(Instant::now)
}

fn overlay(bytes_max: usize) -> Overlay {
    Overlay::new(OverlayLimits { bytes_max, age_max: Duration::from_mins(1) })
}

const A: EndpointSlot = EndpointSlot(0);
const B: EndpointSlot = EndpointSlot(1);

#[track_caller]
fn check(overlay: &Overlay, chain: &[BlockHash], expected: [u32; 2]) {
    let mut depths = [0; 2];
    overlay.raise(chain, &mut depths);
    assert_eq!(depths, expected);
}

#[test]
fn a_sighting_counts_at_once() {
    let mut overlay = overlay(1 << 20);
    assert!(overlay.insert(key(1), A, &chain(1, 8), start()));
    check(&overlay, &chain(1, 12), [8, 0]);
    check(&overlay, &chain(2, 12), [0, 0]);
}

#[test]
fn the_larger_of_index_and_overlay_counts() {
    let mut overlay = overlay(1 << 20);
    overlay.insert(key(1), A, &chain(1, 8), start());
    let mut depths = [9, 3];
    assert_eq!(overlay.raise(&chain(1, 12), &mut depths), 8);
    assert_eq!(depths, [9, 3]);
}

#[test]
fn a_returned_sighting_takes_only_its_own_away() {
    let mut overlay = overlay(1 << 20);
    overlay.insert(key(1), A, &chain(1, 8), start());
    overlay.insert(key(2), A, &chain(1, 4), start());
    overlay.insert(key(3), B, &chain(1, 6), start());
    assert!(overlay.remove(key(1)));
    check(&overlay, &chain(1, 12), [4, 6]);
    assert!(!overlay.remove(key(1)));
}

#[test]
fn a_key_counts_once() {
    let mut overlay = overlay(1 << 20);
    assert!(overlay.insert(key(1), A, &chain(1, 8), start()));
    assert!(!overlay.insert(key(1), B, &chain(1, 8), start()));
    check(&overlay, &chain(1, 12), [8, 0]);
}

#[test]
fn old_sightings_expire() {
    let mut overlay = overlay(1 << 20);
    overlay.insert(key(1), A, &chain(1, 8), start());
    overlay.insert(key(2), B, &chain(1, 8), start() + Duration::from_secs(30));
    overlay.expire(start() + Duration::from_secs(61));
    check(&overlay, &chain(1, 12), [0, 8]);
}

#[test]
fn the_oldest_are_shed_when_room_is_short() {
    let mut overlay = overlay(2 * charge(8));
    for sequence in 1..=3 {
        let at = start() + Duration::from_secs(sequence);
        overlay.insert(key(sequence), A, &chain(sequence, 8), at);
        assert!(overlay.bytes() <= 2 * charge(8));
    }
    check(&overlay, &chain(1, 8), [0, 0]);
    check(&overlay, &chain(2, 8), [8, 0]);
    assert_eq!(overlay.shed(), 1);
}

#[test]
fn a_chain_larger_than_the_bound_is_not_taken() {
    let mut overlay = overlay(charge(8));
    overlay.insert(key(1), A, &chain(1, 8), start());
    assert!(!overlay.insert(key(2), A, &chain(2, 9), start()));
    check(&overlay, &chain(1, 8), [8, 0]);
}

#[test]
fn a_forgotten_endpoint_leaves_no_byte() {
    let mut overlay = overlay(1 << 20);
    overlay.insert(key(1), A, &chain(1, 8), start());
    overlay.insert(key(2), A, &chain(2, 8), start());
    overlay.forget(A);
    assert_eq!((overlay.len(), overlay.bytes(), overlay.blocks.len()), (0, 0, 0));
}

#[test]
fn answers_as_a_walk_block_by_block_does() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut overlay = overlay(1 << 20);
        let mut sightings = Vec::new();
        for sequence in 0..12 {
            let slot = EndpointSlot(random.u32(..4));
            let mut sighted = chain(1, random.u64(1..20));
            // A branch: names are of the past, so they differ from there on.
            let at = random.usize(..20);
            let branch = random.u64(1..3);
            sighted.iter_mut().skip(at).zip(chain(branch, 40).iter().skip(at + 20)).for_each(
                |(name, other)| *name = BlockHash::new(other.get() + 64 * at as u64).unwrap(),
            );
            overlay.insert(key(sequence), slot, &sighted, start());
            sightings.push((key(sequence), slot, sighted));
            if random.bool() {
                let (key, ..) = sightings.swap_remove(random.usize(..sightings.len()));
                overlay.remove(key);
            }
            for (_, _, asked) in &sightings {
                let mut depths = [0; 4];
                overlay.raise(asked, &mut depths);
                let mut expected = [0; 4];
                for (_, slot, sighted) in &sightings {
                    let both = asked.iter().zip(sighted).take_while(|(a, b)| a == b).count();
                    let depth = &mut expected[slot.0 as usize];
                    *depth = (*depth).max(u32::try_from(both).unwrap());
                }
                assert_eq!(depths, expected, "seed {seed}");
            }
        }
    }
}
