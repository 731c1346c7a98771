//! Credentials that change while replicas run.

use std::{fs, time::Duration};

use super::*;

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_no_call_fails_for_it() {
    let authority = Authority::new();
    let (a, b) = (Replica::good(&authority, "a").await, Replica::good(&authority, "b").await);
    a.reaches(&b).await;
    let connections = || b.metrics.connections.get();
    let before = connections();
    authority.issue(a.directory.path(), &Paper::of(&["a"]));
    // The renewal looks by itself.
    eventually("another connection", async || {
        a.ask(&b).await.unwrap();
        before < connections()
    })
    .await;
    a.ask(&b).await.unwrap();
    assert_eq!(a.metrics.up.get(), 1);
    eventually("the end of the first", async || b.metrics.accepted.get() == 1).await;
}

#[tokio::test]
async fn a_link_ends_when_the_other_side_s_authority_is_no_longer_trusted_and_returns_when_both_are_renewed()
 {
    let (old, new) = (Authority::new(), Authority::new());
    let (a, b) = (Replica::good(&old, "a").await, Replica::good(&old, "b").await);
    a.reaches(&b).await;
    new.issue(b.directory.path(), &Paper::of(&["b"]));
    b.renew();
    eventually("an end", async || a.ask(&b).await.is_err()).await;
    new.issue(a.directory.path(), &Paper::of(&["a"]));
    a.renew();
    a.reaches(&b).await;
}

#[tokio::test]
async fn an_authority_is_exchanged_without_an_interruption_if_both_are_trusted_meanwhile() {
    let (old, new) = (Authority::new(), Authority::new());
    let (a, b) = (Replica::good(&old, "a").await, Replica::good(&old, "b").await);
    a.reaches(&b).await;
    for replica in [&a, &b] {
        old.trusted_beside(&new, replica.directory.path());
        replica.renew();
        a.ask(&b).await.unwrap();
    }
    for (replica, name) in [(&a, "a"), (&b, "b")] {
        new.issue(replica.directory.path(), &Paper::of(&[name]));
        new.trusted_beside(&old, replica.directory.path());
        replica.renew();
        a.ask(&b).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_expires_ends_its_connections() {
    let authority = Authority::new();
    let timing = Timing { recheck: Duration::from_millis(20), ..Timing::default() };
    let paper = Paper { ends: Some(clock::wall() + Duration::from_secs(3)), ..Paper::of(&["a"]) };
    let a = Replica::secure(&authority, &Story::of("a"), &paper).await;
    let b =
        Replica::secure(&authority, &Story { timing, ..Story::of("b") }, &Paper::of(&["b"])).await;
    a.reaches(&b).await;
    b.reaches(&a).await;
    eventually("refusals", async || 1 < b.metrics.refusals(Side::This, Reason::Expired)).await;
    eventually("the ends", async || a.ask(&b).await.is_err() && b.ask(&a).await.is_err()).await;
}

#[tokio::test]
async fn bad_files_leave_the_last_good_credentials_in_use() {
    let authority = Authority::new();
    let (a, b) = (Replica::good(&authority, "a").await, Replica::good(&authority, "b").await);
    a.reaches(&b).await;
    fs::write(a.directory.path().join("tls.crt"), "garbage").unwrap();
    let refused = a.credentials().reload(unix_time()).unwrap_err();
    assert!(refused.to_string().ends_with("tls.crt holds no certificate"), "{refused}");
    a.reaches(&b).await;
}
