//! The index answers as the model does, always.

use convoy_prefix_index::{CHAIN_BLOCKS_MAX, Command, Digest, Index, IndexReader, Outcome};

use crate::{
    history::{History, Names, Shape},
    model::Model,
    replay::for_seeds,
};

const SMALL: Shape = Shape {
    names: Names::Spread,
    endpoints: 5,
    blocks_max: 12,
    branches: 2,
    capacity_max: 40,
    memberships_max: 120,
    alike: false,
    stamp_step: 3,
    lies: false,
};

/// Both, side by side.
struct Pair {
    model: Model,
    index: Index,
    reader: IndexReader,
}

impl Pair {
    fn new(history: &History) -> Self {
        let index = Index::new(history.parameters());
        let reader = index.reader();
        Self { model: Model::new(history.parameters()), index, reader }
    }

    fn apply(&mut self, command: &Command) {
        let expected = self.model.apply(command);
        let answer = self.index.apply(command);
        assert_eq!(without_slot(answer), without_slot(expected), "answers to {command:?}");
        assert_eq!(self.index.digest(), Digest(self.model.digest()), "digests after {command:?}");
        let statistics = self.reader.statistics();
        assert_eq!(statistics.memberships, self.model.memberships());
    }

    fn ask(&self, history: &mut History) {
        let chain = history.chain();
        let (mut expected, mut depths) =
            (vec![0; self.model.slots()], vec![7; self.reader.slots()]);
        self.model.depths(&chain, &mut expected);
        self.reader.depths(&chain, &mut depths);
        for (endpoint, slot, _) in self.index.endpoints() {
            let known = self.model.slot(&endpoint).expect("the model has it too");
            assert_eq!(
                depths[slot.0 as usize],
                expected[known.0 as usize],
                "depth of {endpoint:?} for {} blocks that end with {:?}",
                chain.len(),
                chain.last()
            );
        }
        let (all, found) = (expected.iter().sum::<u32>(), depths.iter().sum::<u32>());
        assert_eq!(found, all, "nobody else holds any of {} blocks", chain.len());
        assert_eq!(self.reader.known_depth(&chain) as usize, self.model.known_depth(&chain));
    }
}

fn without_slot(outcome: Outcome) -> Option<Outcome> {
    (!matches!(outcome, Outcome::Joined { .. })).then_some(outcome)
}

fn check(shape: Shape, commands: usize, seed: u64) {
    let mut history = History::new(shape, seed);
    let mut pair = Pair::new(&history);
    for number in 0..commands {
        let command = history.command(&pair.model);
        pair.apply(&command);
        // What lies left behind has no depth: two chains share a block and not what is before it.
        if !shape.lies {
            pair.ask(&mut history);
        }
        if number % 16 == 0 {
            assert_eq!(pair.index.audit_digest(), pair.index.digest());
        }
    }
}

#[test]
fn in_small_worlds() {
    for_seeds("in_small_worlds", 300, |seed| check(SMALL, 400, seed));
}

#[test]
fn when_commands_lie() {
    let shape = Shape { lies: true, ..SMALL };
    for_seeds("when_commands_lie", 100, |seed| check(shape, 400, seed));
}

#[test]
fn in_bushy_worlds() {
    let shape = Shape { branches: 8, blocks_max: 5, ..SMALL };
    for_seeds("in_bushy_worlds", 100, |seed| check(shape, 400, seed));
}

#[test]
fn with_chains_of_one_block() {
    let shape = Shape { branches: 200, blocks_max: 1, ..SMALL };
    for_seeds("with_chains_of_one_block", 50, |seed| check(shape, 400, seed));
}

#[test]
fn with_chains_that_share_all_but_the_last_block() {
    let shape = Shape { alike: true, branches: 60, blocks_max: 20, ..SMALL };
    for_seeds("with_chains_that_share_all_but_the_last_block", 100, |seed| check(shape, 400, seed));
}

#[test]
fn with_equal_stamps() {
    let shape = Shape { stamp_step: 1, ..SMALL };
    for_seeds("with_equal_stamps", 100, |seed| check(shape, 400, seed));
}

#[test]
fn with_long_chains() {
    let shape = Shape {
        blocks_max: 9000,
        branches: 2,
        capacity_max: 20_000,
        memberships_max: 40_000,
        ..SMALL
    };
    for_seeds("with_long_chains", 4, |seed| check(shape, 60, seed));
}

#[test]
fn with_chains_as_long_as_may_be() {
    let shape = Shape {
        blocks_max: CHAIN_BLOCKS_MAX,
        capacity_max: 3 * CHAIN_BLOCKS_MAX as u32,
        memberships_max: 5 * CHAIN_BLOCKS_MAX as u64,
        ..SMALL
    };
    for_seeds("with_chains_as_long_as_may_be", 2, |seed| check(shape, 30, seed));
}

/// Many chains at several endpoints, of which most leave one after the other: what stays is moved
/// together while it is asked for, and while more comes.
#[test]
fn while_a_shrunken_index_is_packed() {
    let shape = Shape { blocks_max: 9, branches: 6, capacity_max: 5000, ..SMALL };
    let shape = Shape { memberships_max: 20_000, ..shape };
    for_seeds("while_a_shrunken_index_is_packed", 8, |seed| {
        let mut history = History::new(shape, seed);
        let mut pair = Pair::new(&history);
        for round in 0..4 {
            for endpoint in history.everybody() {
                let capacity_blocks = shape.capacity_max;
                pair.apply(&Command::Joined { endpoint, replaces: None, capacity_blocks });
            }
            for _ in 0..400 {
                let command = history.held(&pair.model);
                pair.apply(&command);
            }
            for endpoint in history.everybody().skip(1) {
                pair.apply(&Command::Left { endpoint });
                for _ in 0..20 {
                    let command = history.command(&pair.model);
                    pair.apply(&command);
                    pair.ask(&mut history);
                }
            }
            assert_eq!(pair.index.audit_digest(), pair.index.digest(), "in round {round}");
        }
    });
}

#[test]
fn when_names_collide_in_the_table() {
    for names in [Names::OneLine, Names::OneSegment] {
        let shape = Shape {
            names,
            blocks_max: 700,
            branches: 4,
            capacity_max: 3000,
            memberships_max: 9000,
            ..SMALL
        };
        for_seeds("when_names_collide_in_the_table", 6, |seed| check(shape, 200, seed));
    }
}
