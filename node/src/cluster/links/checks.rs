//! Looks again and again at what was good when a connection began: a certificate expires, authorities are changed,
//! and a replica that belonged to no cluster joins one.

use std::future::pending;

use convoy_raft::identity::ClusterId;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::{sync::watch, time::Interval};

use super::{
    Reason, Security, Shared,
    greeting::{Peer, other_cluster},
    refusal::Refusal,
    socket::Chain,
    trust::Trust,
    unix_time,
};

/// The looks at one connection.
pub(super) struct Checks<'a> {
    shared: &'a Shared,
    verify: Verify,
    renewals: Renewals,
    cluster: watch::Receiver<Option<ClusterId>>,
    looks: Interval,
}

/// [`Trust::verify_caller`] or [`Trust::verify_called`], by who began the connection.
type Verify = fn(&Trust, &[CertificateDer<'_>], UnixTime) -> Result<(), rustls::Error>;

/// Tells that the credentials were renewed, if there are any.
pub(super) struct Renewals(Option<watch::Receiver<u64>>);

impl Renewals {
    pub(super) fn of(security: &Security) -> Self {
        match security {
            Security::Insecure => Self(None),
            Security::Mutual(credentials) => Self(Some(credentials.version())),
        }
    }

    /// Returns once for every renewal.
    pub(super) async fn next(&mut self) {
        let Some(version) = &mut self.0 else {
            return pending().await;
        };
        if version.changed().await.is_err() {
            // They are not renewed any more.
            pending::<()>().await;
        }
    }
}

impl<'a> Checks<'a> {
    pub(super) fn new(shared: &'a Shared, verify: Verify) -> Self {
        let mut looks = tokio::time::interval(shared.timing.recheck);
        looks.reset();
        let renewals = Renewals::of(&shared.security);
        Self { shared, verify, renewals, cluster: shared.cluster.subscribe(), looks }
    }

    /// Returns when the other side would be refused if it came now.
    pub(super) async fn failed(&mut self, peer: &Peer, chain: Option<&Chain>) -> Refusal {
        loop {
            tokio::select! {
                _ = self.looks.tick() => {}
                () = self.renewals.next() => {}
                Ok(()) = self.cluster.changed() => {}
            }
            let (theirs, ours) = (peer.cluster, *self.shared.cluster.borrow());
            let compared = other_cluster((&peer.name, theirs), (&self.shared.me.name, ours));
            if let Err(refusal) = compared.and_then(|()| self.trusted(chain)) {
                return refusal;
            }
        }
    }

    fn trusted(&self, chain: Option<&Chain>) -> Result<(), Refusal> {
        let (Security::Mutual(credentials), Some(chain)) = (&self.shared.security, chain) else {
            return Ok(());
        };
        let verified = (self.verify)(&credentials.trust(), chain, unix_time());
        verified.map_err(|error| {
            if let rustls::Error::InvalidCertificate(error) = error {
                return Refusal::of_certificate(&error);
            }
            Refusal::ours(Reason::BadCertificate, format!("its certificate is not good: {error}"))
        })
    }
}
