//! The answers that a conversation owes, written as messages for Envoy.

use bytes::Bytes;
use convoy_proto::hot::{Direction, answer};

use super::{
    asking::Asking,
    chunks::Pieces,
    conversation::{Answer, Side},
    desk::Desk,
    outbox::Outbox,
    pick::Pick,
    watch::Watch,
};

/// Writes `answer` to the desk's outbox. What it says of the request is read off `asking`, of the
/// response off `watch`.
pub(super) fn write(
    answer: Answer,
    asking: Option<&Asking>,
    watch: Option<&Watch>,
    desk: &mut Desk,
) {
    let outbox = &mut desk.outbox;
    let asked = asking.and_then(|asking| Some((asking, asking.picked.as_ref()?)));
    match answer {
        Answer::PickInHeaders => {
            if let Some((asking, picked)) = asked {
                outbox.push(Pieces::new(), |out| asking.answer_headers(picked, out));
            }
        }
        Answer::PickInBody { rewritten } => {
            if let Some((asking, picked)) = asked {
                write_pick_in_body(asking, picked, rewritten, outbox);
            }
        }
        Answer::Headers(Side::Request) => outbox.push(Pieces::new(), |out| {
            answer::headers(Direction::Request, [], &answer::Changes::default(), out);
        }),
        Answer::Headers(Side::Response) => {
            if let Some(watch) = watch {
                let tell_served = desk.service.behaviour.tell_served;
                outbox.push(Pieces::new(), |out| watch.answer_headers(tell_served, out));
            }
        }
        Answer::BodyAsIs(side) => outbox.push(Pieces::new(), |out| {
            answer::body_unchanged(direction(side), [], &answer::Changes::default(), out);
        }),
        Answer::Body { side, pieces, end_of_stream } => {
            let bytes = pieces.iter().map(Bytes::len).sum();
            outbox.push(pieces, |out| {
                answer::streamed_body(direction(side), bytes, end_of_stream, out);
            });
        }
        Answer::Trailers(side) => {
            outbox.push(Pieces::new(), |out| answer::trailers(direction(side), out));
        }
    }
}

fn write_pick_in_body(
    asking: &Asking,
    picked: &Pick,
    rewritten: Option<Pieces>,
    outbox: &mut Outbox,
) {
    let Some(body) = rewritten else {
        outbox.push(Pieces::new(), |out| {
            let set = [picked.header()].into_iter().chain(asking.made_id());
            picked.with_changes(|changes| {
                answer::body_unchanged(Direction::Request, set, changes, out);
            });
        });
        return;
    };
    let length = asking.body_bytes.to_string();
    let bytes = body.iter().map(Bytes::len).sum();
    outbox.push(body, |out| {
        let set = [picked.header(), (b"Content-Length", length.as_bytes())];
        let set = set.into_iter().chain(asking.made_id());
        picked.with_changes(|changes| {
            answer::body_replaced(Direction::Request, set, changes, bytes, out);
        });
    });
}

fn direction(side: Side) -> Direction {
    match side {
        Side::Request => Direction::Request,
        Side::Response => Direction::Response,
    }
}
