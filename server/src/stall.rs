//! Answers that a client asks for and then does not take.
//!
//! A client that grants no window holds an answer in memory for as long as it likes, while it answers every ping. So each connection
//! counts the answers that it owes by when they fell due, and one that is owed for too long ends the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Turns that are told apart: the current one, the two before it, and the one that is too old.
const TURNS: usize = 4;

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
        owed: Arc<Owed>,
        due: Option<Due>,
    }
}

impl<B> Counted<B> {
    pub(crate) fn new(inner: B, owed: &Arc<Owed>) -> Self {
        Self {
            inner,
            owed: Arc::clone(owed),
            due: Some(Due::new(owed)),
        }
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        *this.due = None;
        let polled = this.inner.poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            *this.due = Some(Due::new(this.owed));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
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
    fn a_stream_that_has_nothing_to_say_owes_nothing() {
        let owed = Arc::new(Owed::default());
        let frames = futures::stream::pending::<Result<Frame<Bytes>, std::convert::Infallible>>();
        let mut body = Counted::new(StreamBody::new(frames), &owed);
        assert!(body.frame().now_or_never().is_none());
        assert!((0..10).all(|_| !owed.turn()));
    }
}
