//! What `--cluster-peers` may say, and how the book follows replicas that move.

use std::time::Duration;

use super::*;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn name(text: &str) -> ReplicaName {
    ReplicaName::new(text).unwrap()
}

#[track_caller]
fn refuses(text: &str, words: &str) {
    let refused = text.parse::<Peers>().unwrap_err().to_string();
    assert!(refused.contains(words), "{text:?}: {refused}");
}

#[test]
fn a_list_names_each_replica_once() {
    let peers: Peers = "epp-0.epp:9010, 10.0.0.7:9011,[fd00::1]:9010,".parse().unwrap();
    let listed = ["epp-0.epp:9010", "10.0.0.7:9011", "[fd00::1]:9010"].map(address);
    assert_eq!(peers, Peers::Listed(listed.to_vec()));
}

#[test]
fn a_dns_name_is_kept_to_be_resolved() {
    let peers: Peers = "dns:epp.default.svc:9010".parse().unwrap();
    assert_eq!(peers, Peers::Dns(address("epp.default.svc:9010")));
}

#[test]
fn a_mistake_is_told_with_what_would_be_right() {
    refuses("", "leave the flag out");
    refuses(" , ,", "host:port,host:port or dns:NAME:PORT");
    refuses("epp-0", "\"epp-0\" has no port");
    refuses(":9010", "\":9010\" has no host");
    refuses("epp-0:http", "port \"http\" of \"epp-0:http\"");
    refuses("epp-0:0", "from 1 to 65535");
    refuses("epp-0:65536", "from 1 to 65535");
    refuses("fd00::1:9010", "write [address]:port");
    refuses("https://epp-0:9010", "without brackets");
    refuses("e pp:9010", "host \"e pp\"");
    refuses("a:1,b:2,a:1", "a:1 is named twice");
    refuses("dns:a:1,b:2", "dns: takes one name");
    refuses("dns:10.0.0.1:9010", "without dns:");
    refuses("dns:epp", "has no port");
    let many: Vec<_> = (1..=65).map(|port| format!("a:{port}")).collect();
    refuses(&many.join(","), "65 peers are more than 64");
}

#[test]
fn the_declared_number_counts_this_replica_once() {
    let advertised = address("10.0.0.9:9010");
    let declared = |peers: &str, size| {
        let peers: Peers = peers.parse().unwrap();
        peers.declared(size, &name("epp-0"), &advertised)
    };
    assert_eq!(declared("epp-0.epp:9010,epp-1.epp:9010", None), Ok(2));
    assert_eq!(declared("epp-01.epp:9010,epp-1.epp:9010", None), Ok(3));
    assert_eq!(declared("10.0.0.9:9010,10.0.0.8:9010", None), Ok(2));
    assert_eq!(declared("10.0.0.8:9010,10.0.0.7:9010", None), Ok(3));
    assert_eq!(declared("10.0.0.8:9010", Some(5)), Ok(5));
    assert_eq!(declared("dns:epp:9010", Some(3)), Ok(3));
    assert_eq!(declared("dns:epp:9010", None), Err(BadSize::Missing(address("epp:9010"))));
    assert_eq!(declared("a:1", Some(0)), Err(BadSize::Zero));
    assert_eq!(declared("a:1", Some(65)), Err(BadSize::TooMany(65)));
}

#[test]
fn all_addresses_may_change_at_once() {
    let mut book = Book::new(Some(&"dns:epp:9010".parse().unwrap()));
    let now = Duration::ZERO;
    assert!(book.to_ask(now).is_empty());
    let (old, new) = (["10.0.0.1:9010", "10.0.0.2:9010"], ["10.0.1.1:9010", "10.0.1.2:9010"]);
    book.resolved(old.map(address).to_vec());
    book.heard(now, name("a"), address(old[0]));
    book.heard(now, name("b"), address(old[1]));

    let later = Duration::from_mins(1);
    book.resolved(new.map(address).to_vec());
    assert_eq!(book.to_ask(later).len(), 4, "both may answer");
    book.heard(later, name("b"), address(new[0]));
    book.heard(later, name("a"), address(new[1]));
    assert_eq!(book.address_of(&name("a")), Some(&address(new[1])));
    assert_eq!(book.to_ask(later), new.map(address));
}

#[test]
fn an_address_is_of_the_name_that_was_last_met_there() {
    let mut book = Book::new(None);
    book.heard(Duration::ZERO, name("a"), address("10.0.0.1:9010"));
    book.heard(Duration::from_secs(1), name("b"), address("10.0.0.1:9010"));
    assert_eq!(book.address_of(&name("a")), None);
    assert_eq!(book.address_of(&name("b")), Some(&address("10.0.0.1:9010")));
}

#[test]
fn a_dns_that_answers_nothing_changes_nothing() {
    let mut book = Book::new(Some(&"dns:epp:9010".parse().unwrap()));
    book.resolved(vec![address("10.0.0.1:9010")]);
    book.resolved(Vec::new());
    assert_eq!(book.to_ask(Duration::ZERO), [address("10.0.0.1:9010")]);
}

#[test]
fn who_was_only_heard_of_is_forgotten_when_it_stays_silent() {
    let mut book = Book::new(Some(&"a:1".parse().unwrap()));
    book.heard(Duration::ZERO, name("b"), address("b:2"));
    assert_eq!(book.to_ask(Duration::from_mins(9)).len(), 2);
    assert_eq!(book.to_ask(Duration::from_mins(10)), [address("a:1")]);
}
