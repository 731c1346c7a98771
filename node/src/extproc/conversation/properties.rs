//! What holds of every conversation: any order of messages, any split of a body, any cut.

use convoy_tests::property::check;
use proptest::{prelude::*, sample::Index, test_runner::TestCaseResult};

use super::{super::chunks::BODY_ANSWER_BYTES_MAX, *};

/// What Envoy says on one stream, nearly as the protocol has it.
#[derive(Clone, Debug)]
struct Talk {
    modes: Modes,
    observe: bool,
    inputs: Vec<Input>,
}

fn any_mode() -> impl Strategy<Value = BodyMode> {
    prop_oneof![
        1 => Just(BodyMode::None),
        1 => Just(BodyMode::Streamed),
        1 => Just(BodyMode::Buffered),
        3 => Just(BodyMode::FullDuplexStreamed),
    ]
}

fn any_modes() -> impl Strategy<Value = Modes> {
    (any_mode(), any_mode()).prop_map(|(request, response)| Modes { request, response })
}

fn any_chunk() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..9).prop_map(Bytes::from)
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        any::<bool>().prop_map(|end_of_stream| Input::RequestHeaders { end_of_stream }),
        (any_chunk(), any::<bool>())
            .prop_map(|(chunk, end_of_stream)| Input::RequestBody { chunk, end_of_stream }),
        Just(Input::RequestTrailers),
        any::<(bool, bool)>().prop_map(|(end_of_stream, streaming)| Input::ResponseHeaders {
            end_of_stream,
            streaming
        }),
        (any_chunk(), any::<bool>())
            .prop_map(|(chunk, end_of_stream)| Input::ResponseBody { chunk, end_of_stream }),
        Just(Input::ResponseTrailers),
    ]
}

/// How a half of an exchange ends: with its headers, its last chunk, or trailers.
fn any_end() -> impl Strategy<Value = u8> {
    0..3_u8
}

fn any_request() -> impl Strategy<Value = Vec<Input>> {
    (any_end(), prop::collection::vec(any_chunk(), 1..4)).prop_map(|(end, chunks)| {
        let mut inputs = vec![Input::RequestHeaders { end_of_stream: end == 0 }];
        if end != 0 {
            inputs.extend(
                chunks.into_iter().map(|chunk| Input::RequestBody { chunk, end_of_stream: false }),
            );
            inputs.push(match end {
                1 => Input::RequestBody { chunk: Bytes::new(), end_of_stream: true },
                _ => Input::RequestTrailers,
            });
        }
        inputs
    })
}

fn any_response() -> impl Strategy<Value = Vec<Input>> {
    let chunks = prop::collection::vec(any_chunk(), 1..4);
    (any_end(), any::<bool>(), chunks).prop_map(|(end, streaming, chunks)| {
        let mut inputs = vec![Input::ResponseHeaders { end_of_stream: end == 0, streaming }];
        if end != 0 {
            inputs.extend(
                chunks.into_iter().map(|chunk| Input::ResponseBody { chunk, end_of_stream: false }),
            );
            inputs.push(match end {
                1 => Input::ResponseBody { chunk: Bytes::new(), end_of_stream: true },
                _ => Input::ResponseTrailers,
            });
        }
        inputs
    })
}

/// A whole exchange, its response begun at any moment, with a few things put in, taken out or said
/// twice, and cut anywhere.
fn any_talk() -> impl Strategy<Value = Talk> {
    let slips = prop::collection::vec((any::<Index>(), 0..3_u8, any_input()), 0..3);
    let cut = prop_oneof![any::<Index>().prop_map(Some), Just(None)];
    let begins = prop_oneof![1 => any::<Index>().prop_map(Some), 3 => Just(None)];
    let halves = (any_request(), any_response(), begins);
    (any_modes(), any::<bool>(), halves, slips, cut).prop_map(
        |(modes, observe, (mut inputs, response, begins), slips, cut)| {
            let mut at = begins.map_or(inputs.len(), |begins| begins.index(inputs.len() + 1));
            for input in response {
                inputs.insert(at.min(inputs.len()), input);
                // Where both halves are under way, they take turns.
                at += 2;
            }
            for (place, slip, input) in slips {
                let place = place.index(inputs.len().max(1)).min(inputs.len());
                match slip {
                    0 => inputs.insert(place, input),
                    1 => drop(inputs.drain(place..inputs.len().min(place + 1))),
                    _ => inputs.extend(inputs.get(place).cloned()),
                }
            }
            if let Some(cut) = cut {
                inputs.truncate(cut.index(inputs.len() + 1));
            }
            Talk { modes, observe, inputs }
        },
    )
}

/// A talk and what came of it.
struct Played {
    conversation: Conversation,
    /// What was taken; what was refused is not.
    taken: Vec<Input>,
    answers: Vec<Answer>,
    picks: usize,
}

fn play(talk: Talk) -> Result<Played, TestCaseError> {
    let mut conversation = Conversation::new(talk.modes);
    let (mut taken, mut answers, mut picks) = (Vec::new(), Vec::new(), 0);
    for input in talk.inputs {
        let before = answers.len();
        let Ok(mut next) = conversation.on(input.clone(), &mut answers) else {
            prop_assert_eq!(before, answers.len(), "a refused message was answered");
            break;
        };
        taken.push(input);
        if next == Next::Pick {
            picks += 1;
            next = conversation.picked(talk.observe, &mut answers);
        }
        prop_assert_ne!(next, Next::Pick);
        if next == Next::Leave {
            prop_assert!(!conversation.owes_request(), "left with an answer owed");
            prop_assert!(conversation.may_leave());
            break;
        }
    }
    Ok(Played { conversation, taken, answers, picks })
}

/// Ranks answers by the order that the protocol asks for.
fn rank(answer: &Answer) -> u8 {
    match answer {
        Answer::PickInHeaders | Answer::Headers(Side::Request) => 0,
        Answer::PickInBody { .. }
        | Answer::BodyAsIs(Side::Request)
        | Answer::Body { side: Side::Request, .. } => 1,
        Answer::Trailers(Side::Request) => 2,
        Answer::Headers(Side::Response) => 3,
        Answer::BodyAsIs(Side::Response) | Answer::Body { side: Side::Response, .. } => 4,
        Answer::Trailers(Side::Response) => 5,
    }
}

/// The same for what they answer.
fn rank_of_question(input: &Input) -> u8 {
    match input {
        Input::RequestHeaders { .. } => 0,
        Input::RequestBody { .. } => 1,
        Input::RequestTrailers => 2,
        Input::ResponseHeaders { .. } => 3,
        Input::ResponseBody { .. } => 4,
        Input::ResponseTrailers => 5,
    }
}

#[test]
fn answers_keep_the_order_of_the_protocol_and_carry_each_pick_once() {
    check(&any_talk(), |talk| {
        let Played { answers, picks, .. } = play(talk)?;
        // A request's body that passes while the response does is the one that may come late.
        let request: Vec<u8> = answers.iter().map(rank).filter(|&rank| rank < 3).collect();
        let response: Vec<u8> = answers.iter().map(rank).filter(|&rank| 3 <= rank).collect();
        prop_assert!(request.is_sorted() && response.is_sorted(), "{:?}", answers);
        let carries =
            |answer: &&Answer| matches!(answer, Answer::PickInHeaders | Answer::PickInBody { .. });
        prop_assert_eq!(answers.iter().filter(carries).count(), picks);
        prop_assert!(picks <= 1);
        Ok(())
    });
}

#[test]
fn every_question_is_answered_once_when_it_is_owed() {
    check(&any_talk(), |talk| {
        let modes = talk.modes;
        let Played { conversation, taken, answers, .. } = play(talk)?;
        let asked = |wanted| taken.iter().filter(|input| rank_of_question(input) == wanted).count();
        let told = |wanted| answers.iter().filter(|answer| rank(answer) == wanted).count();
        // Of a request that goes nowhere nothing is owed but what was answered at once.
        if !conversation.awaits_pick() && conversation.asked != Asked::Dropped {
            prop_assert_eq!(told(0), asked(0));
            prop_assert_eq!(told(2), asked(2));
            match modes.request {
                BodyMode::FullDuplexStreamed => {
                    give_back_whole(Side::Request, &taken, &answers)?;
                }
                BodyMode::None | BodyMode::Streamed | BodyMode::Buffered => {
                    prop_assert_eq!(told(1), asked(1));
                }
            }
        }
        prop_assert_eq!(told(3), asked(3));
        prop_assert_eq!(told(5), asked(5));
        match modes.response {
            BodyMode::FullDuplexStreamed if conversation.answered == Answered::Holding => {
                prop_assert_eq!(told(4), 0);
            }
            BodyMode::FullDuplexStreamed => give_back_whole(Side::Response, &taken, &answers)?,
            BodyMode::None | BodyMode::Streamed | BodyMode::Buffered => {
                prop_assert_eq!(told(4), asked(4));
            }
        }
        Ok(())
    });
}

/// Checks that the full-duplex body of `side` came back, with as many ends as it had: one or none.
fn give_back_whole(side: Side, taken: &[Input], answers: &[Answer]) -> TestCaseResult {
    let (mut sent, mut back) = (Vec::new(), Vec::new());
    // The first end counts, if it is the body's; it may be said twice.
    let (mut ended, mut ends) = (None, 0);
    for input in taken {
        match (side, input) {
            (Side::Request, Input::RequestBody { chunk, end_of_stream })
            | (Side::Response, Input::ResponseBody { chunk, end_of_stream }) => {
                sent.extend_from_slice(chunk);
                if *end_of_stream {
                    ended.get_or_insert(1);
                }
            }
            (
                Side::Request,
                Input::RequestTrailers | Input::RequestHeaders { end_of_stream: true },
            )
            | (
                Side::Response,
                Input::ResponseTrailers | Input::ResponseHeaders { end_of_stream: true, .. },
            ) => {
                ended.get_or_insert(0);
            }
            _ => {}
        }
    }
    for answer in answers {
        if let Answer::Body { side: of, pieces, end_of_stream } = answer
            && *of == side
        {
            prop_assert_eq!(ends, 0, "more after the end");
            let bytes: usize = pieces.iter().map(Bytes::len).sum();
            prop_assert!(bytes <= BODY_ANSWER_BYTES_MAX);
            pieces.iter().for_each(|piece| back.extend_from_slice(piece));
            ends += usize::from(*end_of_stream);
        }
    }
    prop_assert_eq!(back, sent);
    prop_assert_eq!(ends, ended.unwrap_or(0));
    Ok(())
}

/// Bodies as long as several answers, drawn from a seed: a strategy of bytes would take seconds.
#[test]
fn a_body_comes_back_byte_for_byte_however_it_was_split() {
    let cuts = prop::collection::vec(any::<Index>(), 0..6);
    let inputs = (0..200_000_usize, any::<u64>(), cuts, any::<bool>(), any::<Side>());
    check(&inputs, |(bytes, seed, cuts, trailers, side)| {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes + 1)).collect();
        cuts.extend([0, bytes]);
        cuts.sort_unstable();
        let mut random = fastrand::Rng::with_seed(seed);
        let whole: Bytes = std::iter::repeat_with(|| random.u8(..)).take(bytes).collect();
        let (headers, end) = match side {
            Side::Request => {
                (Input::RequestHeaders { end_of_stream: false }, Input::RequestTrailers)
            }
            Side::Response => {
                let headers = Input::ResponseHeaders { end_of_stream: false, streaming: false };
                (headers, Input::ResponseTrailers)
            }
        };
        let mut inputs = vec![headers];
        inputs.extend(cuts.windows(2).enumerate().map(|(number, cut)| {
            let chunk = whole.slice(cut[0]..cut[1]);
            let end_of_stream = !trailers && number + 2 == cuts.len();
            match side {
                Side::Request => Input::RequestBody { chunk, end_of_stream },
                Side::Response => Input::ResponseBody { chunk, end_of_stream },
            }
        }));
        inputs.extend(trailers.then_some(end));
        let Played { taken, answers, .. } =
            play(Talk { modes: Modes::default(), observe: true, inputs })?;
        give_back_whole(side, &taken, &answers)
    });
}

impl Arbitrary for Side {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        prop_oneof![Just(Self::Request), Just(Self::Response)].boxed()
    }
}
