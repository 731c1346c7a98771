//! The state machine: equal after equal entries, whatever it went through.

use std::collections::BTreeMap;

use convoy_prefix_index::{
    Command, EndpointSlot, Held, Index, Origin, Outcome, Parameters, Refusal, Sequence, Stamp,
    Touched,
};
use convoy_raft::{
    batch::{Batch, ClusterChange, EndpointChange, Item, Seen, Sighted},
    identity::DiskId,
    machine::{
        Applied, ClusterOutcome, ClusterRefusal, ItemOutcome, Machine, Membership, Semantics,
        StopCause,
    },
};

use crate::{
    batches::{HEAD_BYTES, sealed},
    history::{History, endpoint, formed, hash, name, position},
    machine_snapshots::{bytes, restore},
    replay::for_seeds,
};

/// Slots are each machine's own.
fn without_slots(applied: Applied) -> Applied {
    let outcomes = applied.outcomes.into_iter().map(|mut told| {
        if let ItemOutcome::Endpoint { outcome, .. } = &mut told
            && let Outcome::Joined { slot } = outcome
        {
            *slot = EndpointSlot(0);
        }
        told
    });
    Applied { outcomes: outcomes.collect(), ..applied }
}

pub(crate) fn join(number: u16) -> Item {
    let endpoint = endpoint(number, 0);
    Item::Endpoint(EndpointChange::Joined { endpoint, replaces: None, capacity_blocks: 100 })
}

pub(crate) fn form(key: u8) -> Item {
    Item::Cluster(ClusterChange::Formed(Box::new(formed(key))))
}

fn admit(number: u64, disk: u128) -> Item {
    Item::Cluster(ClusterChange::ReplicaAdmitted { name: name(number), disk: DiskId(disk) })
}

fn touch(sequence: u64, age_ms: u32) -> Item {
    sighted(sequence, age_ms, Seen::Touched { block: hash(1) })
}

pub(crate) fn hold(sequence: u64, age_ms: u32) -> Item {
    sighted(sequence, age_ms, Seen::Held { base: None, hashes: vec![hash(1), hash(2)] })
}

fn sighted(sequence: u64, age_ms: u32, seen: Seen) -> Item {
    Item::Sighted(Sighted {
        origin: Origin { replica: 1, start: 1 },
        sequence: Sequence(sequence),
        endpoint: endpoint(0, 0),
        age_ms,
        seen,
    })
}

/// A machine that applied these batches, one entry each.
pub(crate) fn after(batches: &[(u64, &[Item])]) -> (Machine, Vec<Vec<ItemOutcome>>) {
    let mut machine = Machine::new();
    let outcomes = (0..).zip(batches).map(|(index, &(stamp, items))| {
        let batch = Batch { stamp: Stamp(stamp), items: items.to_vec() };
        machine.apply(position(index), &batch).unwrap().outcomes
    });
    let outcomes = outcomes.collect();
    (machine, outcomes)
}

#[test]
fn machines_that_applied_the_same_are_equal_restored_or_not() {
    for_seeds("machines_that_applied_the_same_are_equal_restored_or_not", 150, |seed| {
        let mut history = History::new(seed);
        let (mut one, mut other) = (Machine::new(), Machine::new());
        let midway = history.random.u32(1..60);
        for entry in 0..80 {
            if entry == midway {
                let taken = bytes(&one);
                other = restore(&taken).unwrap();
                assert_eq!(bytes(&other), taken, "a snapshot is canonical");
            }
            let (position, batch) = (history.position(), history.batch());
            let encoded = batch.encode().unwrap();
            let first = one.apply(position, &batch).unwrap();
            let second = other.apply_bytes(position, &encoded).unwrap();
            assert_eq!(without_slots(first), without_slots(second));
            assert_eq!(one.digest(), other.digest());
            assert_eq!(one.facts(), other.facts());
        }
        assert_eq!(bytes(&one), bytes(&other));
    });
}

/// What the index is told, written as plainly as possible.
#[derive(Debug)]
struct Plain {
    index: Index,
    time: u64,
    joined: BTreeMap<std::net::SocketAddr, u64>,
    formed: bool,
}

impl Plain {
    fn apply(&mut self, batch: &Batch) {
        self.time = self.time.max(batch.stamp.0);
        for item in &batch.items {
            match item.clone() {
                Item::Sighted(sighted) => self.sighted(sighted),
                Item::Endpoint(EndpointChange::Joined { endpoint, replaces, capacity_blocks }) => {
                    let command = Command::Joined { endpoint, replaces, capacity_blocks };
                    if !matches!(self.index.apply(&command), Outcome::Refused(_)) {
                        self.joined.insert(endpoint.address(), self.time);
                    }
                }
                Item::Endpoint(EndpointChange::Left { endpoint }) => {
                    self.index.apply(&Command::Left { endpoint });
                }
                Item::Endpoint(EndpointChange::CapacityChanged { endpoint, capacity_blocks }) => {
                    self.index.apply(&Command::CapacityChanged { endpoint, capacity_blocks });
                }
                Item::Cluster(ClusterChange::Formed(formed)) if !self.formed => {
                    self.formed = true;
                    let (hash, memberships_max) = (formed.hash, formed.memberships_max);
                    self.parameters(Parameters { hash, memberships_max });
                }
                Item::Cluster(ClusterChange::BoundChanged { memberships_max }) => {
                    let hash = self.index.parameters().hash.clone();
                    self.parameters(Parameters { hash, memberships_max });
                }
                Item::Cluster(ClusterChange::OriginRetired { origin }) => {
                    self.index.apply(&Command::OriginRetired { origin });
                }
                Item::Cluster(_) => {}
            }
        }
    }

    fn parameters(&mut self, parameters: Parameters) {
        self.index.apply(&Command::ParametersChanged(parameters));
    }

    fn sighted(&mut self, sighted: Sighted) {
        let Sighted { origin, sequence, endpoint, age_ms, seen } = sighted;
        let youngest = self.time.saturating_sub(age_ms.into());
        let joined = self.joined.get(&endpoint.address()).copied().unwrap_or(0);
        let stamp = Stamp(if youngest < joined { joined } else { youngest });
        self.index.apply(&match seen {
            Seen::Held { base, hashes } => {
                Command::Held(Held { endpoint, base, hashes, stamp, origin, sequence })
            }
            Seen::Touched { block } => {
                Command::Touched(Touched { endpoint, block, stamp, origin, sequence })
            }
        });
    }
}

#[test]
fn the_index_is_told_what_batches_say() {
    for_seeds("the_index_is_told_what_batches_say", 150, |seed| {
        let mut history = History::new(seed);
        let mut machine = Machine::new();
        let parameters = machine.index().parameters().clone();
        let (joined, index) = (BTreeMap::new(), Index::new(parameters));
        let mut plain = Plain { index, time: 0, joined, formed: false };
        for _ in 0..60 {
            let (position, batch) = (history.position(), history.batch());
            machine.apply(position, &batch).unwrap();
            plain.apply(&batch);
            assert_eq!(machine.index().digest(), plain.index.digest());
            assert_eq!(machine.time().0, plain.time);
        }
    });
}

#[test]
fn a_sighting_is_applied_once_whatever_is_sent_again() {
    for_seeds("a_sighting_is_applied_once_whatever_is_sent_again", 150, |seed| {
        let mut history = History::new(seed);
        let mut machine = Machine::new();
        machine
            .apply(history.position(), &Batch { stamp: Stamp(1), items: vec![form(1), join(0)] })
            .unwrap();
        let mut applied: BTreeMap<(Origin, Sequence), u32> = BTreeMap::new();
        let mut sent: Vec<Sighted> = Vec::new();
        for _ in 0..40 {
            let mut items: Vec<Sighted> = (0..4).map(|_| history.sighted()).collect();
            // What may have been lost with a leader comes again, in any order.
            let again = sent.len().saturating_sub(history.random.usize(..20));
            items.extend_from_slice(&sent[again..]);
            if history.random.u32(..4) == 0 {
                history.random.shuffle(&mut items);
            }
            sent.extend_from_slice(&items);
            let items = items.into_iter().map(Item::Sighted).collect();
            let batch = Batch { stamp: Stamp(2), items };
            for outcome in machine.apply(history.position(), &batch).unwrap().outcomes {
                if let ItemOutcome::Sighted { origin, sequence, outcome, .. } = outcome
                    && !matches!(outcome, Outcome::Refused(Refusal::RepeatedSequence { .. }))
                {
                    *applied.entry((origin, sequence)).or_default() += 1;
                }
            }
        }
        assert!(applied.values().all(|&times| times == 1));
    });
}

/// A mistaken or lying leader: what can be read is applied or refused, whatever numbers are in it.
#[test]
fn applying_is_total_whatever_a_batch_says() {
    for_seeds("applying_is_total_whatever_a_batch_says", 300, |seed| {
        let mut history = History::new(seed);
        let mut machine = Machine::new();
        for _ in 0..30 {
            let position = history.position();
            let whole = history.batch().encode().unwrap();
            let mut body = whole[HEAD_BYTES..].to_vec();
            for _ in 0..history.random.usize(..8) {
                let at = history.random.usize(..body.len());
                body[at] = if history.random.bool() { 0xff } else { history.random.u8(..) };
            }
            let bytes = sealed(&body);
            if Batch::decode(&bytes).is_err() || machine.apply_bytes(position, &bytes).is_err() {
                machine.apply_bytes(position, &whole).unwrap();
            }
        }
        let restored = restore(&bytes(&machine)).unwrap();
        assert_eq!(restored.digest(), machine.digest());
        assert_eq!(restored.index().audit_digest(), machine.index().digest());
    });
}

#[test]
fn a_sighting_is_no_older_than_its_endpoint() {
    let founding: &[Item] = &[form(1), join(0)];
    let (aged, _) = after(&[(1000, founding), (1500, &[hold(1, 900)])]);
    let (joined, _) = after(&[(1000, founding), (1500, &[hold(1, 500)])]);
    let (young, _) = after(&[(1000, founding), (1500, &[hold(1, 499)])]);
    assert_eq!(aged.digest(), joined.digest());
    assert_ne!(aged.digest(), young.digest());
}

#[test]
fn logical_time_never_goes_back() {
    let (machine, _) = after(&[(1000, &[]), (900, &[join(0)])]);
    assert_eq!(machine.time(), Stamp(1000));
    assert_eq!(machine.joined_at(endpoint(0, 0).address()), Some(Stamp(1000)));
}

#[test]
fn an_entry_that_cannot_be_read_changes_nothing() {
    let (mut machine, _) = after(&[(1, &[form(1), join(0)])]);
    let before = machine.digest();
    let stop = machine.apply_bytes(position(1), b"no batch at all").unwrap_err();
    assert!(matches!(stop, StopCause::Unreadable { .. }));
    assert_eq!(machine.digest(), before);
}

#[test]
fn semantics_that_are_unknown_stop_the_machine_before_anything_is_applied() {
    let (mut machine, _) = after(&[(1, &[form(1), join(0)])]);
    let before = machine.digest();
    let semantics = Semantics(2);
    let items = vec![hold(1, 0), Item::Cluster(ClusterChange::Activated { semantics })];
    let stop = machine.apply(position(1), &Batch { stamp: Stamp(5), items }).unwrap_err();
    assert!(matches!(stop, StopCause::UnknownSemantics { asked } if asked == semantics));
    assert_eq!(machine.digest(), before);
    assert!(stop.remedy().contains("newer version"));
}

#[test]
fn an_entry_out_of_order_stops_the_machine() {
    let (mut machine, _) = after(&[(1, &[]), (2, &[])]);
    for index in [0, 1, 3, u64::MAX] {
        let stop = machine.apply(position(index), &Batch::default()).unwrap_err();
        assert!(matches!(stop, StopCause::NotNext { applied: Some(1) }));
    }
    machine.pass(position(2)).unwrap();
    assert!(matches!(
        Machine::new().pass(position(1)).unwrap_err(),
        StopCause::NotNext { applied: None }
    ));
}

#[test]
fn the_first_to_form_the_cluster_decides() {
    let (machine, outcomes) = after(&[(1, &[form(1)]), (2, &[form(2)])]);
    let refused = ItemOutcome::Cluster(ClusterOutcome::Refused(ClusterRefusal::AlreadyFormed));
    assert_eq!(outcomes[0], [ItemOutcome::Cluster(ClusterOutcome::Formed)]);
    assert_eq!(outcomes[1], [refused]);
    assert_eq!(machine.index().parameters().hash, formed(1).hash);
    assert_eq!(machine.facts().cluster.as_ref().unwrap().id, formed(1).cluster);
}

#[test]
fn a_disk_has_one_id_and_a_wiped_one_another() {
    let (machine, outcomes) =
        after(&[(1, &[form(1)]), (2, &[admit(4, 1)]), (3, &[admit(4, 1), admit(4, 2)])]);
    let ids = outcomes.concat().into_iter().filter_map(|outcome| match outcome {
        ItemOutcome::Cluster(ClusterOutcome::ReplicaAdmitted { id, replaces, .. }) => {
            Some((id, replaces))
        }
        ItemOutcome::Sighted { .. } | ItemOutcome::Endpoint { .. } | ItemOutcome::Cluster(_) => {
            None
        }
    });
    assert_eq!(ids.collect::<Vec<_>>(), [(1, None), (1, None), (2, Some(1))]);
    let known: Vec<u64> = machine.facts().replicas.keys().copied().collect();
    assert_eq!(known, [2]);
}

#[test]
fn no_id_is_given_twice() {
    for_seeds("no_id_is_given_twice", 50, |seed| {
        let mut history = History::new(seed);
        let mut machine = Machine::new();
        let mut given: BTreeMap<u64, DiskId> = BTreeMap::new();
        for _ in 0..80 {
            let (position, batch) = (history.position(), history.batch());
            for outcome in machine.apply(position, &batch).unwrap().outcomes {
                if let ItemOutcome::Cluster(ClusterOutcome::ReplicaAdmitted { id, disk, .. }) =
                    outcome
                {
                    assert_eq!(*given.entry(id).or_insert(disk), disk);
                }
            }
        }
    });
}

#[test]
fn when_all_ids_were_given_nobody_is_admitted() {
    let (mut machine, _) = after(&[(1, &[form(1)])]);
    let names = BTreeMap::from([(u64::MAX, "epp-1".to_owned())]);
    let membership = Membership { position: None, voters: vec![[u64::MAX].into()], names };
    machine.apply_membership(position(1), membership).unwrap();
    let batch = Batch { stamp: Stamp(1), items: vec![admit(2, 2)] };
    let outcomes = machine.apply(position(2), &batch).unwrap().outcomes;
    let refused = ClusterOutcome::Refused(ClusterRefusal::NoIdLeft);
    assert_eq!(outcomes, [ItemOutcome::Cluster(refused)]);
}

#[test]
fn a_member_is_not_removed_from_the_facts() {
    let (mut machine, _) = after(&[(1, &[form(1), admit(1, 1), admit(2, 2), admit(3, 3)])]);
    let voters = vec![[1, 2].into()];
    let names = BTreeMap::from([(1, "epp-1".to_owned()), (2, "epp-2".to_owned())]);
    let membership = Membership { position: None, voters, names };
    machine.apply_membership(position(1), membership).unwrap();
    let remove = |id| Item::Cluster(ClusterChange::ReplicaRemoved { id });
    let items = vec![remove(2), remove(3), remove(9)];
    let outcomes = machine.apply(position(2), &Batch { stamp: Stamp(1), items }).unwrap().outcomes;
    assert_eq!(
        outcomes,
        [
            ClusterOutcome::Refused(ClusterRefusal::StillMember { id: 2 }),
            ClusterOutcome::ReplicaRemoved { id: 3 },
            ClusterOutcome::Refused(ClusterRefusal::UnknownReplica { id: 9 }),
        ]
        .map(ItemOutcome::Cluster)
    );
    assert_eq!(machine.facts().membership.position, Some(position(1)));
}

#[test]
fn the_digest_covers_every_fact() {
    let (plain, _) = after(&[(1, &[form(1)]), (2, &[])]);
    let others: [&[Item]; 4] = [
        &[join(0)],
        &[admit(4, 1)],
        &[Item::Cluster(ClusterChange::SizeDeclared { replicas: 5.try_into().unwrap() })],
        &[touch(1, 0)],
    ];
    for items in others {
        assert_ne!(after(&[(1, &[form(1)]), (2, items)]).0.digest(), plain.digest(), "{items:?}");
    }
    assert_ne!(after(&[(1, &[form(1)]), (3, &[])]).0.digest(), plain.digest(), "time");
    assert_ne!(
        after(&[(1, &[form(1)]), (2, &[]), (2, &[])]).0.digest(),
        plain.digest(),
        "position"
    );
}
