//! What a replica must not forget of forming: its seat, and whom it let form.
//!
//! One small file beside the logs. Everything else of forming may be lost in a crash.

use serde::{Deserialize, Serialize};

use crate::identity::{ClusterId, DiskId, Generation, ReplicaName, Seat};

/// The durable part of forming. Made once per empty disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub disk: DiskId,
    pub standing: Standing,
    /// The latest grant. Numbers of grants only grow, so one is enough.
    pub grant: Option<Grant>,
    /// The highest number that this disk asked grants for. It grants nobody less, and asks for none
    /// twice, or what a first forming confirms would be in doubt.
    pub asked: u64,
    /// The latest first forming that this disk confirmed, and what the cluster is called in it.
    pub confirmed: Option<Confirmed>,
}

/// The name of a cluster that began in a generation of this number, if it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    pub number: u64,
    pub cluster: ClusterId,
}

/// How this disk stands to logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// No log and no state.
    Empty,
    /// Takes part in the log of this seat.
    Inside(Seat),
    /// Holds this seat's log and state, and never takes part in it again, since it let somebody
    /// form without it.
    Left(Seat),
}

/// A promise to one replica that it alone may form one number's generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub cluster: ClusterId,
    pub generation: Generation,
    pub former: ReplicaName,
}

impl Grant {
    pub(super) fn is_of(&self, former: &ReplicaName, generation: Generation) -> bool {
        self.generation == generation && self.former == *former
    }
}

impl Record {
    /// That of a directory that was found empty.
    pub fn of_empty_disk(disk: DiskId) -> Self {
        Self { disk, standing: Standing::Empty, grant: None, asked: 0, confirmed: None }
    }

    /// The seat whose log and state this disk holds, whether it takes part or left.
    pub fn seat(&self) -> Option<&Seat> {
        match &self.standing {
            Standing::Empty => None,
            Standing::Inside(seat) | Standing::Left(seat) => Some(seat),
        }
    }

    pub fn inside(&self) -> Option<&Seat> {
        match &self.standing {
            Standing::Inside(seat) => Some(seat),
            Standing::Empty | Standing::Left(_) => None,
        }
    }

    /// The highest number of a generation that this disk knows of.
    pub fn number_max(&self) -> u64 {
        let seated = self.seat().map_or(0, |seat| seat.generation.number);
        let granted = self.grant.as_ref().map_or(0, |grant| grant.generation.number);
        seated.max(granted).max(self.asked)
    }

    /// Whether the disk may let `former` form `generation`: no other forms that number here, and
    /// the number is beyond all that this disk took part in.
    pub(super) fn may_grant(&self, former: &ReplicaName, generation: Generation) -> bool {
        let beyond = self.seat().is_none_or(|seat| seat.generation.number < generation.number);
        let first = self.grant.as_ref().is_none_or(|grant| {
            grant.generation.number < generation.number || grant.is_of(former, generation)
        });
        beyond && first && self.asked < generation.number
    }

    /// The record once grants for `number` may have been asked for.
    #[must_use]
    pub(super) fn with_asked(&self, number: u64) -> Self {
        Self { asked: number, ..self.clone() }
    }

    /// The record once `grant` is given. Granting leaves the older generation.
    #[must_use]
    pub(super) fn with_grant(&self, grant: Grant) -> Self {
        let standing = match self.standing.clone() {
            Standing::Empty => Standing::Empty,
            Standing::Inside(seat) | Standing::Left(seat) => Standing::Left(seat),
        };
        Self { standing, grant: Some(grant), ..self.clone() }
    }

    /// The record once the name that a first forming gives the cluster is confirmed.
    #[must_use]
    pub(super) fn with_confirmed(&self, grant: &Grant) -> Self {
        let confirmed = Confirmed { number: grant.generation.number, cluster: grant.cluster };
        Self { confirmed: Some(confirmed), ..self.with_grant(grant.clone()) }
    }

    /// The record once a seat is taken.
    #[must_use]
    pub(super) fn with_seat(&self, seat: Seat) -> Self {
        Self { standing: Standing::Inside(seat), ..self.clone() }
    }
}
