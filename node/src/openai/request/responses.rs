//! Responses: instructions, tools and an input, each any JSON.

use super::{
    gather::{Gatherer, Interest, Slot},
    names::Name,
};
use crate::openai::{
    canonical::{Piece, Seam},
    json::{Kind, Token},
};

impl Gatherer {
    pub(super) fn responses_member(&mut self, name: Name, token: Token) -> Interest {
        let slot = match name {
            Name::Input => Slot::Input,
            Name::Instructions => Slot::Instructions,
            Name::Tools => Slot::Tools,
            _ => return Interest::None,
        };
        if token.kind == Kind::Null {
            self.keep(slot, None);
            return Interest::None;
        }
        Interest::Keep(slot)
    }

    /// Puts the three, which may come in any order, into that of the text.
    pub(super) fn assemble_response(&mut self) {
        let parts = [
            (Seam::Instructions, self.instructions),
            (Seam::Tools, self.tools),
            (Seam::Input, self.input),
        ];
        let mut seam = Seam::ListStart;
        for (label, span) in parts {
            if let Some(span) = span {
                let pieces = [Piece::fixed(seam), Piece::fixed(label), Piece::json(span)];
                self.pieces.kept.extend(pieces);
                seam = Seam::ListNext;
            }
        }
        self.pieces.kept.push(Piece::fixed(Seam::ListEnd));
    }
}
