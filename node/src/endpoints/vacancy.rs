//! Whether the pool can serve at all, said once when that changes.

use super::view::View;

/// How a pool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody is listed.
    Empty,
    /// Some are listed, and none may take requests.
    NoneReady,
    Serves,
}

/// What was said last. A pool is taken to serve until it is seen not to.
#[derive(Debug)]
pub(super) struct Vacancy {
    said: Standing,
}

impl Vacancy {
    pub(super) fn new() -> Self {
        Self { said: Standing::Serves }
    }

    /// Says how the pool stands, if that is not what was said last.
    pub(super) fn look(&mut self, view: &View) {
        let (endpoints, ready) = (view.members.len(), view.ready());
        match self.changed(endpoints, ready) {
            None => {}
            Some(Standing::Empty) => {
                tracing::warn!(
                    "the pool is empty: requests are refused until endpoints are listed"
                );
            }
            Some(Standing::NoneReady) => {
                tracing::warn!(
                    endpoints,
                    "no endpoint is ready: requests are refused until one is"
                );
            }
            Some(Standing::Serves) => {
                tracing::info!(endpoints, ready, "the pool has ready endpoints again");
            }
        }
    }

    fn changed(&mut self, endpoints: usize, ready: usize) -> Option<Standing> {
        let standing = match (endpoints, ready) {
            (0, _) => Standing::Empty,
            (_, 0) => Standing::NoneReady,
            (_, _) => Standing::Serves,
        };
        let said = std::mem::replace(&mut self.said, standing);
        (said != standing).then_some(standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_of_standing_is_said_once() {
        let mut vacancy = Vacancy::new();
        // Rows are (endpoints, ready, what is said).
        let rows = [
            (2, 1, None),
            (2, 0, Some(Standing::NoneReady)),
            (3, 0, None),
            (0, 0, Some(Standing::Empty)),
            (0, 0, None),
            (1, 1, Some(Standing::Serves)),
            (0, 0, Some(Standing::Empty)),
        ];
        for (row, (endpoints, ready, said)) in rows.into_iter().enumerate() {
            assert_eq!(vacancy.changed(endpoints, ready), said, "row {row}");
        }
    }
}
