//! Which files are credentials, and what is said of those that are none.

use std::{fs, path::Path};

use rcgen::ExtendedKeyUsagePurpose;

use super::*;

/// What is said when the files in `directory` are read by a replica named `epp-0`.
#[track_caller]
fn refused(directory: &Path, files: Files) -> (String, &'static str) {
    let name = ReplicaName::new("epp-0").unwrap();
    let error = Credentials::load(files, name, unix_time()).expect_err("they are good");
    let text = crate::logging::chain(&error);
    (text.replace(&format!("{}/", directory.display()), ""), error.remedy())
}

/// The same for what an authority issued and `spoil` spoiled.
#[track_caller]
fn refused_paper(paper: &Paper<'_>, spoil: impl FnOnce(&Files)) -> (String, &'static str) {
    let directory = tempfile::tempdir().unwrap();
    let files = Authority::new().issue(directory.path(), paper);
    spoil(&files);
    refused(directory.path(), files)
}

#[test]
fn good_files_are_credentials() {
    let directory = tempfile::tempdir().unwrap();
    for purposes in [Paper::of(&[]).purposes, &[]] {
        let paper = Paper { purposes, ..Paper::of(&["epp-0.epp.ns.svc", "epp-0"]) };
        let files = Authority::new().issue(directory.path(), &paper);
        Credentials::load(files, ReplicaName::new("epp-0").unwrap(), unix_time()).unwrap();
    }
}

#[test]
fn a_missing_or_unreadable_file_is_named_with_its_flag() {
    let paper = Paper::of(&["epp-0"]);
    let (text, remedy) = refused_paper(&paper, |files| fs::remove_file(&files.key).unwrap());
    assert_eq!(text, "--cluster-key: cannot read tls.key: No such file or directory (os error 2)");
    assert_eq!(
        remedy,
        "put a readable PEM file there; of a chain, the replica's own certificate comes first"
    );
    let (text, _) = refused_paper(&paper, |files| fs::write(&files.authority, "garbage").unwrap());
    assert_eq!(text, "--cluster-ca: ca.crt holds no certificate");
    let (text, _) = refused_paper(&paper, |files| fs::write(&files.key, "garbage").unwrap());
    assert_eq!(text, "--cluster-key: tls.key is not PEM: no items found");
}

#[test]
fn a_key_of_another_certificate_is_noticed() {
    let other = tempfile::tempdir().unwrap();
    let other = Authority::new().issue(other.path(), &Paper::of(&["epp-0"]));
    let key = fs::read(other.key).unwrap();
    let (text, _) =
        refused_paper(&Paper::of(&["epp-0"]), |files| fs::write(&files.key, key).unwrap());
    assert!(
        text.starts_with("--cluster-key: tls.key is not the key of the certificate in tls.crt: "),
        "{text}"
    );
}

#[test]
fn a_certificate_that_the_others_would_refuse_is_refused_here() {
    let other = tempfile::tempdir().unwrap();
    let other = Authority::new().issue(other.path(), &Paper::of(&["epp-0"]));
    let authority = fs::read(other.authority).unwrap();
    let (text, _) = refused_paper(&Paper::of(&["epp-0"]), |files| {
        fs::write(&files.authority, authority).unwrap();
    });
    assert_eq!(text, "--cluster-cert: tls.crt is not of the authority in --cluster-ca");

    let (text, _) = refused_paper(&Paper::of(&["epp-0.epp.ns.svc", "epp"]), |_| {});
    assert_eq!(
        text,
        "--cluster-cert: tls.crt does not carry the name epp-0, but epp-0.epp.ns.svc, epp"
    );

    let paper = Paper { purposes: &[ExtendedKeyUsagePurpose::ClientAuth], ..Paper::of(&["epp-0"]) };
    let (text, remedy) = refused_paper(&paper, |_| {});
    assert!(
        text.starts_with("--cluster-cert: tls.crt cannot be used between replicas: "),
        "{text}"
    );
    assert_eq!(remedy, "issue it for clients and servers (extended key usage), or for any use");
}

#[test]
fn a_name_that_no_certificate_can_carry_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let files = Authority::new().issue(directory.path(), &Paper::of(&["10.0.0.1"]));
    let name = ReplicaName::new("10.0.0.1").unwrap();
    let error = Credentials::load(files, name, unix_time()).unwrap_err().to_string();
    assert!(error.ends_with("but nothing that is like it, since it is no DNS name"), "{error}");
}

#[test]
fn an_expired_certificate_is_taken_at_the_start_and_not_later() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, good) = (Authority::new(), Paper::of(&["epp-0"]));
    let expired = Paper { years: (2000, 2001), ..good.clone() };
    let name = ReplicaName::new("epp-0").unwrap();
    let files = authority.issue(directory.path(), &expired);
    let credentials = Credentials::load(files, name, unix_time()).unwrap();
    authority.issue(directory.path(), &good);
    assert!(credentials.reload(unix_time()).unwrap());
    authority.issue(directory.path(), &expired);
    let error = credentials.reload(unix_time()).unwrap_err();
    assert!(error.to_string().ends_with("tls.crt has expired, or is not valid yet"), "{error}");
    assert_eq!(error.remedy(), "renew it; compare the machine's clock");
}
