//! Why a request went where it went, as far as it can be told from outside: from where earlier
//! requests went.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::traffic::Served;

/// Why a request may have gone to its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its earlier turns are cached there.
    Continues,
    /// None of its turns, but another chat with the same system prompt is cached there.
    SharesSystem,
    /// Its earlier turns are cached on other servers only, its system prompt there too.
    Moved,
    /// No server had any of it.
    New,
    /// Only other servers had some of it.
    CachedElsewhere,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Continues => "its earlier turns are cached there",
            Self::SharesSystem => "its system prompt is cached there",
            Self::Moved => "only its system prompt is cached there",
            Self::New => "new to all servers: spread by load",
            Self::CachedElsewhere => "only other servers had it cached",
        })
    }
}

/// What the picker thought of the server that it chose, and of the best other one.
pub(super) fn scored(scores: &BTreeMap<String, f64>, chosen: &str) -> Option<String> {
    let own = scores.get(chosen)?;
    let others = scores.iter().filter(|(server, _)| *server != chosen).map(|(_, score)| *score);
    match others.max_by(f64::total_cmp) {
        Some(best) => Some(format!("scored {own:.2}, the next {best:.2}")),
        None => Some(format!("scored {own:.2}")),
    }
}

/// Which servers have seen what. It does not know what a server has forgotten since.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Servers by chat.
    chats: BTreeMap<usize, BTreeSet<String>>,
    /// Servers by system prompt.
    systems: BTreeMap<usize, BTreeSet<String>>,
}

impl Ledger {
    /// Records where a request was served, and says why that may be.
    pub fn note(&mut self, served: &Served) -> Reason {
        let chat = self.chats.entry(served.chat).or_default();
        let system = self.systems.entry(served.system).or_default();
        let reason = match (chat.contains(&served.by), system.contains(&served.by)) {
            (true, _) => Reason::Continues,
            (false, true) if chat.is_empty() => Reason::SharesSystem,
            (false, true) => Reason::Moved,
            (false, false) if system.is_empty() => Reason::New,
            (false, false) => Reason::CachedElsewhere,
        };
        chat.insert(served.by.clone());
        system.insert(served.by.clone());
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_stands_beside_the_best_other_one() {
        let scores = [("a", 1.0), ("b", 3.5), ("c", 2.0)];
        let scores = scores.into_iter().map(|(server, score)| (server.to_owned(), score)).collect();
        assert_eq!(scored(&scores, "b").as_deref(), Some("scored 3.50, the next 2.00"));
        assert_eq!(scored(&scores, "a").as_deref(), Some("scored 1.00, the next 3.50"));
        assert_eq!(scored(&scores, "d"), None);
    }

    #[test]
    fn each_reason_follows_from_what_was_served_before() {
        use Reason::{CachedElsewhere, Continues, Moved, New, SharesSystem};
        // Rows are `(chat, system prompt, server, reason)`.
        let rows = [
            (0, 0, "a", New),
            (0, 0, "a", Continues),
            (1, 0, "a", SharesSystem),
            (2, 0, "b", CachedElsewhere),
            (3, 0, "b", SharesSystem),
            (0, 0, "b", Moved),
            (0, 0, "a", Continues),
            (0, 0, "c", CachedElsewhere),
            (4, 1, "b", New),
        ];
        let mut ledger = Ledger::default();
        for (row, (chat, system, by, expected)) in rows.into_iter().enumerate() {
            let served = Served { chat, system, by: by.to_owned(), ..Served::default() };
            assert_eq!(ledger.note(&served), expected, "row {row}");
        }
    }
}
