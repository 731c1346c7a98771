//! A connection that one of its two sides did not want, and what each side's operator is told of it.

mod log;

use std::{fmt, io};

use convoy_proto::replica as wire;
use rustls::{AlertDescription, CertificateError};

pub(super) use log::Refusals;

/// Why there is no connection. The text is written for whoever reads this replica's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{by} refuses: {text}")]
pub struct Refusal {
    pub by: Side,
    pub reason: Reason,
    pub text: String,
}

/// Which side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    This,
    Other,
}

/// What kind of refusal it is, for metrics and for telling repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    NoCertificate,
    UnknownAuthority,
    Expired,
    BadCertificate,
    NoTls,
    Tls,
    OtherName,
    OtherPool,
    OtherCluster,
    SameName,
    Protocol,
    Garbled,
    TooMany,
    /// What an other side gave, and this version does not know.
    Unknown,
}

/// Texts from the other side are cut here.
const TEXT_CHARS_MAX: usize = 400;

impl Reason {
    const ALL: [Self; 14] = [
        Self::NoCertificate,
        Self::UnknownAuthority,
        Self::Expired,
        Self::BadCertificate,
        Self::NoTls,
        Self::Tls,
        Self::OtherName,
        Self::OtherPool,
        Self::OtherCluster,
        Self::SameName,
        Self::Protocol,
        Self::Garbled,
        Self::TooMany,
        Self::Unknown,
    ];

    /// One word, as in metrics and on the wire.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::UnknownAuthority => "unknown-authority",
            Self::Expired => "expired",
            Self::BadCertificate => "bad-certificate",
            Self::NoTls => "no-tls",
            Self::Tls => "tls",
            Self::OtherName => "other-name",
            Self::OtherPool => "other-pool",
            Self::OtherCluster => "other-cluster",
            Self::SameName => "same-name",
            Self::Protocol => "protocol",
            Self::Garbled => "garbled",
            Self::TooMany => "too-many",
            Self::Unknown => "unknown",
        }
    }
}

impl Side {
    pub fn label(self) -> &'static str {
        match self {
            Self::This => "this",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::This => "this replica",
            Self::Other => "the other side",
        })
    }
}

impl Refusal {
    pub(super) fn ours(reason: Reason, text: impl Into<String>) -> Self {
        Self { by: Side::This, reason, text: text.into() }
    }

    pub(super) fn theirs(reason: Reason, text: impl Into<String>) -> Self {
        Self { by: Side::Other, reason, text: text.into() }
    }

    /// What the other side wrote, cut to size and without anything that could garble a log.
    pub(super) fn told(wire::Refusal { reason, text }: &wire::Refusal) -> Self {
        let known = Reason::ALL.into_iter().find(|known| known.label() == reason);
        let legal = |c: char| if c.is_control() { ' ' } else { c };
        let text: String = text.chars().take(TEXT_CHARS_MAX).map(legal).collect();
        Self::theirs(known.unwrap_or(Reason::Unknown), text)
    }

    /// What the other side is told. Texts of greetings are the same for both operators.
    pub(super) fn to_wire(&self) -> wire::Refusal {
        wire::Refusal { reason: self.reason.label().to_owned(), text: self.text.clone() }
    }

    /// What a handshake's failure says, if it is that one side refused the other.
    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls' own list is long, and grows")]
    pub(super) fn of_tls(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match error {
            rustls::Error::NoCertificatesPresented => Self::ours(
                Reason::NoCertificate,
                "it showed no certificate; give it --cluster-cert and --cluster-key",
            ),
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::AlertReceived(alert) => Self::of_alert(*alert),
            rustls::Error::InvalidMessage(_) => Self::ours(
                Reason::NoTls,
                "it does not speak TLS; if it is a replica, it was started with --cluster-insecure",
            ),
            other => Self::ours(Reason::Tls, format!("TLS was not agreed on: {other}")),
        })
    }

    /// What is wrong with the other side's certificate.
    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls' own list is long, and grows")]
    pub(super) fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as E;
        let (reason, text) = match error {
            // The second is that of an authority of the same name with another key.
            E::UnknownIssuer | E::BadSignature => {
                let text = "its certificate is not of the authority in --cluster-ca; it is a stranger, or the \
                            replicas were given different authorities";
                (Reason::UnknownAuthority, text.to_owned())
            }
            E::Expired | E::ExpiredContext { .. } => {
                let text = "its certificate has expired; renew what --cluster-cert names there";
                (Reason::Expired, text.to_owned())
            }
            E::NotValidYet | E::NotValidYetContext { .. } => {
                let text = "its certificate is not valid yet; compare the clocks of both machines";
                (Reason::Expired, text.to_owned())
            }
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
                let text = "its certificate is not for this; replicas call and are called, so it needs the \
                            extended key usages of clients and of servers, or none";
                (Reason::BadCertificate, text.to_owned())
            }
            other => (Reason::BadCertificate, format!("its certificate is not good: {other}")),
        };
        Self::ours(reason, text)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls' own list is long, and grows")]
    fn of_alert(alert: AlertDescription) -> Self {
        use AlertDescription as A;
        let (reason, text) = match alert {
            A::CertificateRequired => {
                let text = "this replica showed no certificate; give it --cluster-cert and \
                            --cluster-key";
                (Reason::NoCertificate, text.to_owned())
            }
            A::UnknownCA | A::DecryptError => {
                let text = "this replica's certificate is not of the authority that the other side knows; \
                            let --cluster-cert and --cluster-ca be of one authority everywhere";
                (Reason::UnknownAuthority, text.to_owned())
            }
            A::CertificateExpired => {
                let text = "this replica's certificate has expired, or is not valid yet; renew what \
                            --cluster-cert names, and compare the clocks of both machines";
                (Reason::Expired, text.to_owned())
            }
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateUnknown
            | A::AccessDenied => (
                Reason::BadCertificate,
                format!("this replica's certificate is not good: {alert:?}"),
            ),
            other => (Reason::Tls, format!("TLS was not agreed on: alert {other:?}")),
        };
        Self::theirs(reason, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_as_it_was_told() {
        for reason in Reason::ALL {
            let ours = Refusal::ours(reason, "text");
            let theirs = Refusal::told(&ours.to_wire());
            assert_eq!(theirs, Refusal::theirs(reason, "text"));
        }
    }

    #[test]
    fn what_strangers_write_cannot_garble_a_log() {
        let text = format!("a\nb\u{1b}[31m{}", "x".repeat(10_000));
        let told = Refusal::told(&wire::Refusal { reason: "made up".into(), text });
        assert_eq!(told.reason, Reason::Unknown);
        assert!(told.text.starts_with("a b [31mxx"), "{}", told.text);
        assert_eq!(told.text.chars().count(), TEXT_CHARS_MAX);
    }
}
