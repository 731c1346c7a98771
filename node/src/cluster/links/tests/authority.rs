//! Certificates for tests, from authorities made for the occasion.

use std::{fs, path::Path, time::SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use super::Files;

/// Issues certificates.
pub(super) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate says.
#[derive(Clone, Debug)]
pub(super) struct Paper<'a> {
    pub(super) names: &'a [&'a str],
    /// The years in which it begins and ends.
    pub(super) years: (i32, i32),
    /// Instead of the second of the years.
    pub(super) ends: Option<SystemTime>,
    pub(super) purposes: &'a [ExtendedKeyUsagePurpose],
}

impl<'a> Paper<'a> {
    /// A certificate that is good.
    pub(super) fn of(names: &'a [&'a str]) -> Self {
        let purposes =
            &[ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth] as &[_];
        Self { names, years: (2000, 2100), ends: None, purposes }
    }
}

impl Authority {
    pub(super) fn new() -> Self {
        Self::named(&format!("authority {}", fastrand::u64(..)))
    }

    pub(super) fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Puts a certificate, its key and the authority's certificate into `directory`.
    pub(super) fn issue(&self, directory: &Path, paper: &Paper<'_>) -> Files {
        let files = files(directory);
        let names: Vec<String> = paper.names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(paper.years.0, 1, 1);
        params.not_after = match paper.ends {
            Some(ends) => ends.into(),
            None => date_time_ymd(paper.years.1, 1, 1),
        };
        params.extended_key_usages = paper.purposes.to_vec();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::write(&files.authority, &self.pem).unwrap();
        files
    }

    /// Has whoever reads `directory` trust this authority and `other`.
    pub(super) fn trusted_beside(&self, other: &Self, directory: &Path) {
        fs::write(files(directory).authority, format!("{}{}", self.pem, other.pem)).unwrap();
    }
}

fn files(directory: &Path) -> Files {
    Files {
        certificate: directory.join("tls.crt"),
        key: directory.join("tls.key"),
        authority: directory.join("ca.crt"),
    }
}
