//! Who is kept out, and what both sides say of it.

use rcgen::ExtendedKeyUsagePurpose;

use super::*;

/// Has `a` call `b`, one of which refuses the other for `reason`; the call says `text`.
async fn refused(a: &Replica, b: &Replica, by: Side, reason: Reason, text: &str) {
    let other = match by {
        Side::This => Side::Other,
        Side::Other => Side::This,
    };
    let refused = text_of(a.ask(b).await);
    assert_eq!(refused, format!("{} refused: {text}", b.address));
    eventually("a refusal on both sides", async || {
        let (near, far) = (&a.metrics, &b.metrics);
        0 < near.refusals(by, reason) && 0 < far.refusals(other, reason)
    })
    .await;
    assert!(b.behind.callers.lock().unwrap().is_empty(), "it was answered");
}

#[tokio::test]
async fn a_stranger_whose_certificate_is_of_another_authority_is_kept_out() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (a, b) = (Replica::good(&theirs, "a").await, Replica::good(&ours, "b").await);
    // The caller looks first.
    let text = "its certificate is not of the authority in --cluster-ca; it is a stranger, or the replicas were \
                given different authorities";
    refused(&a, &b, Side::This, Reason::UnknownAuthority, text).await;
    refused(&b, &a, Side::This, Reason::UnknownAuthority, text).await;
}

#[tokio::test]
async fn a_stranger_whose_authority_has_the_name_of_ours_is_kept_out() {
    let (ours, theirs) = (Authority::named("cluster"), Authority::named("cluster"));
    let (a, b) = (Replica::good(&theirs, "a").await, Replica::good(&ours, "b").await);
    let text = "its certificate is not of the authority in --cluster-ca; it is a stranger, or the replicas were \
                given different authorities";
    refused(&a, &b, Side::This, Reason::UnknownAuthority, text).await;
}

#[tokio::test]
async fn a_stranger_that_trusts_our_authority_is_kept_out_all_the_same() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (a, b) = (Replica::good(&theirs, "a").await, Replica::good(&ours, "b").await);
    ours.trusted_beside(&theirs, a.directory.path());
    a.renew();
    let text = "this replica's certificate is not of the authority that the other side knows; let --cluster-cert \
                and --cluster-ca be of one authority everywhere";
    refused(&a, &b, Side::Other, Reason::UnknownAuthority, text).await;
}

#[tokio::test]
async fn an_expired_certificate_keeps_its_replica_out_as_caller_and_as_called() {
    let authority = Authority::new();
    let paper = Paper { years: (2000, 2001), ..Paper::of(&["a"]) };
    let a = Replica::secure(&authority, &Story::of("a"), &paper).await;
    let b = Replica::good(&authority, "b").await;
    let text = "this replica's certificate has expired, or is not valid yet; renew what --cluster-cert names, and \
                compare the clocks of both machines";
    refused(&a, &b, Side::Other, Reason::Expired, text).await;
    let text = "its certificate has expired; renew what --cluster-cert names there";
    refused(&b, &a, Side::This, Reason::Expired, text).await;
}

#[tokio::test]
async fn a_certificate_from_tomorrow_speaks_of_clocks() {
    let authority = Authority::new();
    let paper = Paper { years: (2090, 2100), ..Paper::of(&["a"]) };
    let a = Replica::secure(&authority, &Story::of("a"), &paper).await;
    let b = Replica::good(&authority, "b").await;
    let text = "its certificate is not valid yet; compare the clocks of both machines";
    refused(&b, &a, Side::This, Reason::Expired, text).await;
}

#[tokio::test]
async fn a_certificate_for_servers_alone_does_not_call() {
    let authority = Authority::new();
    let paper = Paper { purposes: &[ExtendedKeyUsagePurpose::ServerAuth], ..Paper::of(&["a"]) };
    let a = Replica::secure(&authority, &Story::of("a"), &paper).await;
    let b = Replica::good(&authority, "b").await;
    let text = "this replica's certificate is not good: UnsupportedCertificate";
    refused(&a, &b, Side::Other, Reason::BadCertificate, text).await;
}

#[tokio::test]
async fn a_certificate_that_carries_another_name_keeps_its_replica_out() {
    let authority = Authority::new();
    let a = Replica::secure(&authority, &Story::of("a"), &Paper::of(&["x", "y"])).await;
    let b = Replica::good(&authority, "b").await;
    let carried = "it says that it is a, and its certificate carries x, y; issue it with the replica's name as a \
                   DNS name, or let --replica-name be the one that it has";
    refused(&a, &b, Side::Other, Reason::OtherName, carried).await;
    refused(&b, &a, Side::This, Reason::OtherName, carried).await;
}

#[tokio::test]
async fn one_certificate_may_serve_all_replicas_that_it_names() {
    let authority = Authority::new();
    let paper = Paper::of(&["a", "b"]);
    let a = Replica::secure(&authority, &Story::of("a"), &paper).await;
    let b = Replica::secure(&authority, &Story::of("b"), &paper).await;
    a.reaches(&b).await;
}

#[tokio::test]
async fn a_replica_of_another_cluster_is_kept_out() {
    let authority = Authority::new();
    let (a, b) = (Replica::good(&authority, "a").await, Replica::good(&authority, "b").await);
    a.links.joined(ClusterId(1));
    b.links.joined(ClusterId(2));
    let text = "a belongs to cluster 00000000000000000000000000000001, and b to 0000000000000000000000000000000\
                2; if they should be one, empty the data directory of the smaller";
    refused(&a, &b, Side::Other, Reason::OtherCluster, text).await;
}

#[tokio::test]
async fn a_link_ends_when_its_two_replicas_come_to_be_of_different_clusters() {
    let authority = Authority::new();
    let (a, b) = (Replica::good(&authority, "a").await, Replica::good(&authority, "b").await);
    b.links.joined(ClusterId(2));
    a.reaches(&b).await;
    a.links.joined(ClusterId(1));
    eventually("an end", async || a.ask(&b).await.is_err()).await;
    assert!(0 < a.metrics.refusals(Side::This, Reason::OtherCluster));
}

#[tokio::test]
async fn a_replica_of_another_pool_is_kept_out() {
    let authority = Authority::new();
    let a = Story { pool: "ns/other", ..Story::of("a") };
    let a = Replica::secure(&authority, &a, &Paper::of(&["a"])).await;
    let b = Replica::good(&authority, "b").await;
    let text = "a serves pool \"ns/other\", and b serves \"ns/pool\"; let --cluster-peers name the replicas of \
                one pool";
    refused(&a, &b, Side::Other, Reason::OtherPool, text).await;
}

#[tokio::test]
async fn two_replicas_of_one_name_keep_each_other_out() {
    let authority = Authority::new();
    let (a, b) = (Replica::good(&authority, "a").await, Replica::good(&authority, "a").await);
    let text = "two replicas are named a; give each its own --replica-name";
    refused(&a, &b, Side::Other, Reason::SameName, text).await;
}

#[tokio::test]
async fn a_replica_with_certificates_and_one_without_keep_each_other_out() {
    let authority = Authority::new();
    let secure = Replica::good(&authority, "a").await;
    let insecure = Replica::insecure(&Story::of("b")).await;
    let text = "it does not speak TLS; if it is a replica, it was started with --cluster-insecure";
    assert_eq!(
        text_of(secure.ask(&insecure).await),
        format!("{} refused: {text}", insecure.address)
    );
    let text = "one side speaks TLS, and the other was started with --cluster-insecure; let all replicas have \
                certificates, or none";
    assert_eq!(text_of(insecure.ask(&secure).await), format!("{} refused: {text}", secure.address));
    eventually("refusals on both sides", async || {
        [&secure, &insecure]
            .iter()
            .all(|replica| 1 < replica.metrics.refusals(Side::This, Reason::NoTls))
    })
    .await;
}
