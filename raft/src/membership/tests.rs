//! Who votes, case by case.

use std::time::Duration;

use super::*;

const AWAY_LONG: Duration = Duration::from_secs(301);
const AWAY: Duration = Duration::from_mins(1);
const AWAY_BRIEFLY: Duration = Duration::from_secs(6);

/// Letters: upper case votes, lower case learns. The first is the leader. What follows a letter:
/// `-` silent for a moment, `=` for a minute, `#` for long; `<` leaving; `~` not caught up.
fn facts(members: &str) -> Facts {
    let mut found = BTreeMap::new();
    let mut last = 0;
    for c in members.chars() {
        if c.is_ascii_alphabetic() {
            last += 1;
            let role = if c.is_ascii_uppercase() { Role::Voter } else { Role::Learner };
            let name = ReplicaName::new(c.to_ascii_lowercase().to_string()).unwrap();
            let member = Member {
                name,
                role,
                presence: Presence::Live,
                disk: Some(DiskId(last.into())),
                caught_up: true,
                leaving: false,
            };
            found.insert(last, member);
            continue;
        }
        let member = found.get_mut(&last).unwrap();
        match c {
            '-' => member.presence = Presence::Silent(AWAY_BRIEFLY),
            '=' => member.presence = Presence::Silent(AWAY),
            '#' => member.presence = Presence::Silent(AWAY_LONG),
            '<' => member.leaving = true,
            '~' => member.caught_up = false,
            other => panic!("{other:?} means nothing"),
        }
    }
    Facts { me: 1, members: found, changing: false }
}

fn ids(of: &[u64]) -> BTreeSet<ReplicaId> {
    of.iter().copied().collect()
}

#[track_caller]
fn check(members: &str, expected: Option<&Step>) {
    assert_eq!(next(&facts(members), &Limits::default()).as_ref(), expected, "{members}");
}

#[track_caller]
fn votes(members: &str, voters: &[u64]) {
    check(members, Some(&Step::Vote(ids(voters))));
}

#[track_caller]
fn stands(members: &str) {
    check(members, None);
}

#[test]
fn the_largest_odd_number_votes() {
    stands("A");
    stands("Ab");
    votes("Abc", &[1, 2, 3]);
    stands("ABCd");
    votes("ABCde", &[1, 2, 3, 4, 5]);
    stands("ABCDEfgh");
}

#[test]
fn who_is_not_caught_up_learns() {
    stands("Abc~");
    stands("ABCde~");
    votes("Ab~cd", &[1, 3, 4]);
}

#[test]
fn of_two_replicas_one_votes_in_the_end() {
    votes("AB", &[1]);
}

#[test]
fn two_vote_while_one_of_three_restarts() {
    stands("ABc-");
    stands("ABc=");
    votes("ABc#", &[1]);
    votes("ABc", &[1, 2, 3]);
}

#[test]
fn a_silent_voter_of_three_keeps_its_vote_until_it_counts_as_long_gone() {
    stands("ABC-");
    stands("ABC=");
    votes("ABC#", &[1]);
}

#[test]
fn a_learner_replaces_a_voter_that_stays_silent() {
    stands("ABC-d");
    votes("ABC=d", &[1, 2, 4]);
}

#[test]
fn five_with_two_silent_go_on_as_three() {
    stands("ABCD-E-");
    votes("ABCD=E=", &[1, 2, 3]);
}

#[test]
fn a_voter_that_leaves_is_demoted_at_once() {
    votes("ABC<", &[1, 2]);
    votes("ABCDE<", &[1, 2, 3, 4]);
    votes("ABCDE<f", &[1, 2, 3, 4, 6]);
    votes("AB<", &[1]);
}

#[test]
fn four_stand_while_one_of_five_restarts() {
    stands("ABCDe-");
    votes("ABCDe=", &[1, 2, 3]);
}

#[test]
fn a_leader_that_leaves_hands_over_to_a_voter() {
    check("A<BC", Some(&Step::HandOver(2)));
    check("A<B-C", Some(&Step::HandOver(3)));
    check("A<B<C", Some(&Step::HandOver(3)));
}

#[test]
fn a_sole_voter_that_leaves_lets_another_vote_first() {
    votes("A<b", &[1, 2]);
    check("A<B", Some(&Step::HandOver(2)));
}

#[test]
fn a_leader_that_leaves_alone_has_nothing_to_do() {
    stands("A<");
    stands("A<b~");
    stands("A<B<C<");
}

#[test]
fn the_long_gone_are_removed_once_they_do_not_vote() {
    check("ABCd#", Some(&Step::Remove(ids(&[4]))));
    check("ABCd=", None);
    votes("ABC#d", &[1, 2, 4]);
}

#[test]
fn the_leader_stays_a_voter() {
    let mut facts = facts("ABCd");
    facts.me = 3;
    facts.members.get_mut(&1).unwrap().presence = Presence::Silent(AWAY_LONG);
    assert_eq!(next(&facts, &Limits::default()), Some(Step::Vote(ids(&[2, 3, 4]))));
}

#[test]
fn nothing_is_decided_in_the_middle_of_a_change() {
    let facts = Facts { changing: true, ..facts("Abc") };
    assert_eq!(next(&facts, &Limits::default()), None);
}

#[test]
fn a_wiped_replica_takes_its_own_place_once_it_has_caught_up() {
    stands("ABC-c~");
    votes("ABC-c", &[1, 2, 4]);
    check("ABc-C", Some(&Step::Remove(ids(&[3]))));
}

fn application(name: &str, disk: u128, id: Option<ReplicaId>) -> Application {
    Application { name: ReplicaName::new(name).unwrap(), disk: DiskId(disk), id }
}

#[test]
fn an_empty_disk_gets_a_fresh_id() {
    let facts = facts("AbC-");
    assert_eq!(admit(&facts, &application("d", 9, None), 10), Ok(Admission::Fresh));
    assert_eq!(admit(&facts, &application("c", 9, None), 10), Ok(Admission::Fresh));
    assert_eq!(admit(&facts, &application("b", 2, None), 10), Ok(Admission::Fresh));
}

#[test]
fn a_live_name_is_not_given_twice() {
    let refused = admit(&facts("AbC"), &application("b", 9, None), 10);
    assert_eq!(refused, Err(NotAdmitted::NameTaken(ReplicaName::new("b").unwrap())));
}

#[test]
fn a_disk_that_holds_the_log_keeps_its_id() {
    let facts = facts("ABC");
    assert_eq!(admit(&facts, &application("b", 2, Some(2)), 10), Ok(Admission::Member(2)));
    assert_eq!(admit(&facts, &application("d", 4, Some(7)), 10), Ok(Admission::Again(7)));
}

#[test]
fn an_id_that_was_never_given_or_is_anothers_is_refused() {
    let facts = facts("ABC-");
    let unknown = admit(&facts, &application("d", 4, Some(12)), 10);
    assert_eq!(unknown, Err(NotAdmitted::UnknownId { id: 12, highest: 11 }));
    let other = admit(&facts, &application("d", 4, Some(3)), 10);
    assert!(matches!(other, Err(NotAdmitted::OtherName { id: 3, .. })), "{other:?}");
}

#[test]
fn a_leader_counts_silence_from_its_election_on() {
    let limits = Limits::default();
    let mut contacts = Contacts::elected(Duration::from_secs(1000));
    let now = Duration::from_secs(1060);
    assert_eq!(contacts.presence(now, 2, &limits), Presence::Silent(AWAY));
    contacts.heard(now, 2);
    assert_eq!(contacts.presence(now, 2, &limits), Presence::Live);
    assert_eq!(contacts.presence(now + AWAY, 2, &limits), Presence::Silent(AWAY));
}
