//! Answers that a client asks for and then does not take.
//!
//! A client that grants no window holds an answer in memory for as long as it likes, while it answers every ping. So each connection
//! counts the answers that it owes by when they fell due, and one that is owed for too long ends the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Turns that are told apart: the current one, the two before it, and the one that is too old.
const TURNS: usize = 4;
/// The largest piece of an answer that is handed out at once. The transport takes a whole piece as soon as a client has room for one
/// byte of it, and asks for the next one only when all of it could be sent.
const PIECE_BYTES: usize = 16 << 10;
/// What a piece may leave with the transport after the last look at whether it was taken.
const TAIL_BYTES: usize = 1 << 10;

/// What one connection owes, by the turn in which it fell due.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    turn: AtomicUsize,
    by_turn: [AtomicU32; TURNS],
}

impl Owed {
    /// Begins the next turn. True when something fell due two whole turns ago, and was not taken since.
    pub(crate) fn turn(&self) -> bool {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
        let oldest = (turn + 1) % TURNS;
        self.by_turn[oldest].load(Ordering::Relaxed) > 0
    }

    fn add(&self) -> usize {
        let turn = self.turn.load(Ordering::Relaxed) % TURNS;
        self.by_turn[turn].fetch_add(1, Ordering::Relaxed);
        turn
    }

    fn settle(&self, turn: usize) {
        self.by_turn[turn].fetch_sub(1, Ordering::Relaxed);
    }
}

/// One frame of an answer that is owed; dropping it says that it was taken, or is wanted no more.
#[derive(Debug)]
struct Due {
    owed: Arc<Owed>,
    turn: usize,
}

impl Due {
    fn new(owed: &Arc<Owed>) -> Self {
        Self {
            owed: Arc::clone(owed),
            turn: owed.add(),
        }
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        self.owed.settle(self.turn);
    }
}

pin_project! {
    /// An answer's body, counted while its client has something of it to take. The transport asks for a frame only when there is room
    /// for it, so what was asked for last has been taken when it asks again; a body that waits for its handler owes nothing.
    pub(crate) struct Counted<B> {
        #[pin]
        inner: B,
        rest: Bytes,
        owed: Arc<Owed>,
        due: Option<Due>,
    }
}

impl<B> Counted<B> {
    pub(crate) fn new(inner: B, owed: &Arc<Owed>) -> Self {
        Self {
            inner,
            rest: Bytes::new(),
            owed: Arc::clone(owed),
            due: Some(Due::new(owed)),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        *this.due = None;
        if this.rest.is_empty() {
            let frame = match ready!(this.inner.poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => *this.rest = data,
                Err(trailers) => {
                    *this.due = Some(Due::new(this.owed));
                    return Poll::Ready(Some(Ok(trailers)));
                }
            }
        }
        *this.due = Some(Due::new(this.owed));
        Poll::Ready(Some(Ok(Frame::data(piece(this.rest)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Takes the next piece. The last byte of a large one is kept for a piece of its own: while it waits for room, so does the end of the
/// answer, which the transport takes whether there is room or not.
fn piece(rest: &mut Bytes) -> Bytes {
    let bytes = match rest.len() {
        bytes if bytes > PIECE_BYTES => PIECE_BYTES,
        bytes if bytes > TAIL_BYTES => bytes - 1,
        bytes => bytes,
    };
    rest.split_to(bytes)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    #[test]
    fn what_is_left_untaken_for_two_turns_is_too_old() {
        let owed = Arc::new(Owed::default());
        let body = Counted::new(Full::new(Bytes::from_static(b"answer")), &owed);
        assert_eq!([owed.turn(), owed.turn(), owed.turn()], [false, false, true]);
        drop(body);
        assert!((0..10).all(|_| !owed.turn()));
    }

    #[test]
    fn a_client_that_keeps_taking_is_not_held_to_be_stuck() {
        let owed = Arc::new(Owed::default());
        let frames =
            futures::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"x"))));
        let mut body = Counted::new(StreamBody::new(frames), &owed);
        for _ in 0..20 {
            assert!(!owed.turn());
            body.frame().now_or_never().unwrap().unwrap().unwrap();
        }
    }

    #[test]
    fn a_large_answer_is_handed_out_in_pieces_and_each_is_owed() {
        let owed = Arc::new(Owed::default());
        let answer = Bytes::from_iter((0..100_000u32).map(|index| index as u8));
        let mut body = Counted::new(Full::new(answer.clone()), &owed);
        let mut taken = Vec::new();
        while let Some(frame) = body.frame().now_or_never().unwrap() {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.len() <= PIECE_BYTES);
            taken.extend(data);
            assert!(!owed.turn());
            assert_eq!(body.is_end_stream(), taken.len() == answer.len());
            assert_eq!(body.size_hint().exact(), Some((answer.len() - taken.len()) as u64));
        }
        assert_eq!(taken, answer);
        let mut body = Counted::new(Full::new(answer), &owed);
        body.frame().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!([owed.turn(), owed.turn(), owed.turn()], [false, false, true]);
    }

    #[test]
    fn a_stream_that_has_nothing_to_say_owes_nothing() {
        let owed = Arc::new(Owed::default());
        let frames = futures::stream::pending::<Result<Frame<Bytes>, std::convert::Infallible>>();
        let mut body = Counted::new(StreamBody::new(frames), &owed);
        assert!(body.frame().now_or_never().is_none());
        assert!((0..10).all(|_| !owed.turn()));
    }
}
