//! Why a request went where it went, as far as it can be told from outside: from what its server
//! had cached, and from where earlier requests went.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::traffic::Served;

/// What its server had of a request when it came, and what others had. What was cached is the
/// server's own word; from when, is known from earlier requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its earlier turns are cached there.
    Continues,
    /// The beginning of its earlier turns is cached there; the server has forgotten the rest.
    Partly,
    /// None of its turns, but another chat with the same system prompt is cached there.
    SharesSystem,
    /// Its earlier turns are cached on other servers only, its system prompt there too.
    Moved,
    /// The server had some of it, and has forgotten it.
    Forgotten,
    /// No server had any of it.
    New,
    /// Only other servers had some of it.
    CachedElsewhere,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Continues => "its earlier turns are cached there",
            Self::Partly => "the beginning of its earlier turns is cached there",
            Self::SharesSystem => "its system prompt is cached there",
            Self::Moved => "only its system prompt is cached there",
            Self::Forgotten => "it was cached there and is forgotten",
            Self::New => "new to all servers",
            Self::CachedElsewhere => "only other servers had it cached",
        })
    }
}

/// What the picker thought of the server that it chose, and of the best other one.
pub(super) fn scored(scores: &BTreeMap<String, f64>, chosen: &str) -> Option<String> {
    let own = scores.get(chosen)?;
    let others = scores.iter().filter(|(server, _)| *server != chosen).map(|(_, score)| *score);
    match others.max_by(f64::total_cmp) {
        Some(best) => Some(format!("score {own:.2}, best other server {best:.2}")),
        None => Some(format!("score {own:.2}")),
    }
}

/// Which servers have seen what.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Servers by chat, with the tokens of its last prompt there.
    chats: BTreeMap<usize, BTreeMap<String, u64>>,
    /// Servers by system prompt.
    systems: BTreeMap<usize, BTreeSet<String>>,
}

impl Ledger {
    /// Records where a request was served, and says what that server had of it.
    pub fn note(&mut self, served: &Served) -> Reason {
        let chat = self.chats.entry(served.chat).or_default();
        let system = self.systems.entry(served.system).or_default();
        let (was_there, is_new) = (chat.get(&served.by).copied(), chat.is_empty());
        // Beginnings that all chats share are a few tokens long.
        let has_some = served.prompt_tokens < served.cached_tokens.saturating_mul(SHARE_SEEN);
        let reason = match was_there {
            Some(before) if before <= served.cached_tokens.saturating_mul(2) && has_some => {
                Reason::Continues
            }
            Some(_) if has_some => Reason::Partly,
            Some(_) => Reason::Forgotten,
            None if has_some && is_new => Reason::SharesSystem,
            None if has_some => Reason::Moved,
            None if system.contains(&served.by) => Reason::Forgotten,
            None if system.is_empty() => Reason::New,
            None => Reason::CachedElsewhere,
        };
        chat.insert(served.by.clone(), served.prompt_tokens);
        system.insert(served.by.clone());
        reason
    }
}

/// A prompt of which less than one part in so many is cached counts as not cached.
const SHARE_SEEN: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_stands_beside_the_best_other_one() {
        let scores = [("a", 1.0), ("b", 3.5), ("c", 2.0)];
        let scores = scores.into_iter().map(|(server, score)| (server.to_owned(), score)).collect();
        assert_eq!(scored(&scores, "b").as_deref(), Some("score 3.50, best other server 2.00"));
        assert_eq!(scored(&scores, "a").as_deref(), Some("score 1.00, best other server 3.50"));
        assert_eq!(scored(&scores, "d"), None);
    }

    #[test]
    fn each_reason_agrees_with_what_the_server_had_cached() {
        use Reason::{CachedElsewhere, Continues, Forgotten, Moved, New, Partly, SharesSystem};
        // Rows are `(chat, system prompt, server, prompt tokens, cached tokens, reason)`.
        let rows = [
            (0, 0, "a", 1000, 0, New),
            (0, 0, "a", 1500, 1000, Continues),
            (1, 0, "a", 1000, 800, SharesSystem),
            (2, 0, "b", 1000, 16, CachedElsewhere),
            (3, 0, "b", 1000, 800, SharesSystem),
            (0, 0, "b", 2000, 800, Moved),
            (0, 0, "a", 2500, 700, Partly),
            (0, 0, "a", 3000, 0, Forgotten),
            (4, 0, "b", 1000, 0, Forgotten),
            // Another chat's first turn came there just before and has not ended.
            (0, 0, "c", 2041, 1088, Moved),
            (5, 1, "b", 1000, 0, New),
        ];
        let mut ledger = Ledger::default();
        for (row, (chat, system, by, prompt_tokens, cached_tokens, expected)) in
            rows.into_iter().enumerate()
        {
            let by = by.to_owned();
            let served =
                Served { chat, system, by, prompt_tokens, cached_tokens, ..Served::default() };
            assert_eq!(ledger.note(&served), expected, "row {row}");
        }
    }
}
