//! Who joined and who left, told by comparing a view with the one looked at before.

use std::{collections::BTreeMap, sync::Arc};

use super::view::{Endpoint, View};

/// The endpoints that a listener has been told of, by slot.
///
/// The listener may fall behind and miss views in between: what it then hears is still the whole
/// difference. A slot is not given to another endpoint while the listener, or anyone else, holds an
/// [`Endpoint`] of its last one, so two lives of one slot never meet here.
#[derive(Debug, Default)]
pub struct Roster {
    known: BTreeMap<u32, Arc<Endpoint>>,
}

/// One difference between two views.
#[derive(Clone, Debug)]
pub enum Change {
    /// This endpoint, or this life of it, is in the view no more. Keep the `Arc` until nothing of
    /// it is left: it is what keeps the slot from being used again.
    Left(Arc<Endpoint>),
    Joined(Arc<Endpoint>),
}

impl Roster {
    /// What changed since the last call, those who left first.
    pub fn update(&mut self, view: &View) -> Vec<Change> {
        let mut current: BTreeMap<u32, &Arc<Endpoint>> =
            view.members.iter().map(|member| (member.endpoint.slot, &member.endpoint)).collect();
        let mut changes = Vec::new();
        self.known.retain(|slot, known| {
            let stays = current.get(slot).is_some_and(|now| same_life(now, known));
            if stays {
                current.remove(slot);
            } else {
                changes.push(Change::Left(Arc::clone(known)));
            }
            stays
        });
        for (slot, endpoint) in current {
            self.known.insert(slot, Arc::clone(endpoint));
            changes.push(Change::Joined(Arc::clone(endpoint)));
        }
        changes
    }
}

/// Labels and hosts may differ between two descriptions of one life.
fn same_life(a: &Endpoint, b: &Endpoint) -> bool {
    a.in_flight.same(&b.in_flight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::{EndpointKey, InFlight, Member};

    fn endpoint(name: &str, slot: u32) -> Arc<Endpoint> {
        let address = ([10, 0, 0, 1], 8000).into();
        Arc::new(Endpoint {
            key: EndpointKey { namespace: "default".into(), name: name.into(), address },
            address_text: address.to_string(),
            metrics_host: address.to_string(),
            labels: BTreeMap::new(),
            incarnation: None,
            slot,
            in_flight: InFlight::default(),
        })
    }

    fn view(endpoints: &[&Arc<Endpoint>]) -> View {
        let member =
            |&endpoint: &_| Member { endpoint: Arc::clone(endpoint), ready: true, sample: None };
        View { members: endpoints.iter().map(member).collect() }
    }

    fn told(roster: &mut Roster, view: &View) -> Vec<String> {
        let changes = roster.update(view);
        let say = |change: &Change| match change {
            Change::Left(endpoint) => format!("-{}@{}", endpoint.key.name, endpoint.slot),
            Change::Joined(endpoint) => format!("+{}@{}", endpoint.key.name, endpoint.slot),
        };
        changes.iter().map(say).collect()
    }

    #[test]
    fn tells_the_difference_between_two_views_whatever_lay_between() {
        let mut roster = Roster::default();
        let (a, b, c) = (endpoint("a", 0), endpoint("b", 1), endpoint("c", 1));
        assert_eq!(told(&mut roster, &view(&[&a, &b])), ["+a@0", "+b@1"]);
        assert_eq!(told(&mut roster, &view(&[&a, &b])), Vec::<String>::new());
        assert_eq!(told(&mut roster, &view(&[&a, &c])), ["-b@1", "+c@1"]);
        assert_eq!(told(&mut roster, &view(&[])), ["-a@0", "-c@1"]);
    }

    #[test]
    fn a_description_that_changed_is_the_same_life() {
        let mut roster = Roster::default();
        let a = endpoint("a", 0);
        told(&mut roster, &view(&[&a]));
        let relabelled = Arc::new(Endpoint {
            labels: [("role".to_owned(), "decode".to_owned())].into(),
            ..Endpoint::clone(&a)
        });
        assert_eq!(told(&mut roster, &view(&[&relabelled])), Vec::<String>::new());
    }
}
