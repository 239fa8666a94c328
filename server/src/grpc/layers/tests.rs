//! The gate over handlers that misbehave.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use social_core::auth::{Auth, Keys, Passwords};
use social_core::{Clock, Reason};
use tonic_types::StatusExt as _;
use tower::service_fn;

use super::*;
use crate::config::RateLimits;
use crate::grpc::status::reason_name;

const UNARY: &str = "/grpc.health.v1.Health/Check";
const OPEN_TO_ALL: &str = "/social.v1.PostService/GetPost";
const STREAM: &str = "/social.v1.PostService/SubscribePost";

fn rules(requests: usize, streams: usize) -> Arc<Rules> {
    let clock = Clock::system();
    let auth = Auth::new(Keys::in_memory(clock.now()), Passwords::default(), clock.clone());
    let door = Door::Public {
        backend: social_store::memory::open(clock),
        auth: Arc::new(auth),
    };
    let limits = Arc::new(Limits::new(&RateLimits::default()));
    Arc::new(Rules {
        door,
        limits,
        admission: Admission::new(requests, streams),
        drain: Drain::new(),
    })
}

fn request(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).unwrap()
}

/// Passes a call through the gate to a handler.
async fn pass<F>(rules: &Arc<Rules>, path: &str, handler: impl Fn() -> F + Clone + Send + 'static) -> Response<Body>
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let inner = service_fn(move |_: Request<Body>| handler().map(Ok::<_, Infallible>));
    let mut gate = Gate {
        rules: Arc::clone(rules),
        inner,
    };
    let Ok(response) = gate.call(request(path)).await;
    response
}

#[track_caller]
fn assert_status(headers: &HeaderMap, code: Code, reason: Reason) {
    let status = Status::from_header_map(headers).expect("a status");
    let told = status.get_details_error_info().map(|info| info.reason);
    assert_eq!((status.code(), told.as_deref()), (code, Some(reason_name(reason))));
}

async fn answered() -> Response<Body> {
    Response::new(Body::empty())
}

async fn trailers(response: Response<Body>) -> HeaderMap {
    response
        .into_body()
        .collect()
        .await
        .unwrap()
        .trailers()
        .expect("trailers")
        .clone()
}

#[tokio::test]
async fn a_panic_is_answered_and_nothing_else_is_hurt() {
    let rules = rules(1, 1);
    for _ in 0..3 {
        let response = pass(&rules, OPEN_TO_ALL, || async { panic!("secret text") }).await;
        assert_status(response.headers(), Code::Internal, Reason::Internal);
        assert!(!format!("{:?}", response.headers()).contains("secret"));
    }
    // The place of the calls that panicked is free again.
    assert!(!is_error(&pass(&rules, OPEN_TO_ALL, answered).await));
}

#[tokio::test]
async fn a_panic_within_a_stream_ends_that_stream() {
    struct Panics;
    impl http_body::Body for Panics {
        type Data = bytes::Bytes;
        type Error = Status;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
            panic!("within the stream")
        }
    }
    let rules = rules(1, 1);
    let response = pass(&rules, STREAM, || async { Response::new(Body::new(Panics)) }).await;
    assert_status(&trailers(response).await, Code::Internal, Reason::Internal);
    assert!(!is_error(&pass(&rules, STREAM, answered).await));
}

#[tokio::test]
async fn more_than_fits_is_refused_at_once() {
    let rules = rules(2, 1);
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        answered().await
    };
    let in_hand: Vec<_> = (0..2)
        .map(|_| {
            let rules = Arc::clone(&rules);
            tokio::spawn(async move { pass(&rules, OPEN_TO_ALL, slow).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = Instant::now();
    let refused = pass(&rules, OPEN_TO_ALL, slow).await;
    assert!(asked.elapsed() < Duration::from_millis(10), "{:?}", asked.elapsed());
    assert_status(refused.headers(), Code::ResourceExhausted, Reason::Overloaded);
    let status = Status::from_header_map(refused.headers()).unwrap();
    assert!(status.get_details_retry_info().is_some());
    assert!(refused.headers().contains_key("ratelimit-limit"));
    // A probe is answered all the same.
    assert!(!is_error(&pass(&rules, UNARY, answered).await));
    for task in in_hand {
        assert!(!is_error(&task.await.unwrap()));
    }
    assert!(!is_error(&pass(&rules, OPEN_TO_ALL, answered).await));
}

#[tokio::test]
async fn an_open_stream_holds_a_place_of_its_own() {
    let rules = rules(1, 1);
    let endless = || async {
        let frames = futures::stream::pending::<Result<http_body::Frame<bytes::Bytes>, Status>>();
        Response::new(Body::new(http_body_util::StreamBody::new(frames)))
    };
    let open = pass(&rules, STREAM, endless).await;
    assert_status(
        pass(&rules, STREAM, endless).await.headers(),
        Code::ResourceExhausted,
        Reason::Overloaded,
    );
    assert!(
        !is_error(&pass(&rules, OPEN_TO_ALL, answered).await),
        "calls do not wait for streams"
    );
    drop(open);
    let open = pass(&rules, STREAM, endless).await;
    // Whatever the handler does, the drain ends it.
    rules.drain.begin();
    assert_status(&trailers(open).await, Code::Unavailable, Reason::ShuttingDown);
    assert_status(
        pass(&rules, STREAM, endless).await.headers(),
        Code::Unavailable,
        Reason::ShuttingDown,
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_is_cut_at_the_default_deadline() {
    let rules = rules(1, 1);
    let response = pass(&rules, OPEN_TO_ALL, std::future::pending).await;
    assert_status(response.headers(), Code::DeadlineExceeded, Reason::DeadlineExceeded);
    assert!(!is_error(&pass(&rules, OPEN_TO_ALL, answered).await));
}

#[tokio::test]
async fn a_handler_finds_who_calls() {
    let rules = rules(1, 1);
    let inner = service_fn(|request: Request<Body>| async move {
        let caller = request.extensions().get::<Caller>().expect("a caller");
        assert_eq!(caller.address, Some([192, 0, 2, 7].into()));
        assert_eq!(
            caller.trace.expect("a trace").trace_id_hex(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let mut gate = Gate { rules, inner };
    let mut sent = request(OPEN_TO_ALL);
    sent.extensions_mut().insert(Peer([192, 0, 2, 7].into()));
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    sent.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    let Ok(response) = gate.call(sent).await;
    assert!(!is_error(&response));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_comes_takes_no_place_and_is_given_up() {
    let rules = rules(1, 1);
    let call = |gap: Duration| {
        let frames = futures::stream::unfold(0, move |sent| async move {
            tokio::time::sleep(gap).await;
            let frame = http_body::Frame::data(bytes::Bytes::from_static(b"x"));
            (sent < 4).then_some((Ok::<_, Status>(frame), sent + 1))
        });
        let request = Request::post(OPEN_TO_ALL).body(Body::new(http_body_util::StreamBody::new(frames)));
        let inner = service_fn(|request: Request<Body>| async move {
            assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "xxxx");
            Ok::<_, Infallible>(answered().await)
        });
        let mut gate = Gate {
            rules: Arc::clone(&rules),
            inner,
        };
        gate.call(request.unwrap()).map(Result::unwrap)
    };
    let held: Vec<_> = (0..limits::REQUESTS_PER_CALLER)
        .map(|_| tokio::spawn(call(Duration::from_secs(60))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The caller has its share in hand; others are served.
    assert_status(
        call(Duration::ZERO).await.headers(),
        Code::ResourceExhausted,
        Reason::Overloaded,
    );
    let mut other = request(OPEN_TO_ALL);
    other.extensions_mut().insert(Peer([192, 0, 2, 7].into()));
    let mut gate = Gate {
        rules: Arc::clone(&rules),
        inner: service_fn(|_: Request<Body>| answered().map(Ok::<_, Infallible>)),
    };
    assert!(!is_error(&gate.call(other).await.unwrap()));
    for held in held {
        assert_status(
            held.await.unwrap().headers(),
            Code::DeadlineExceeded,
            Reason::DeadlineExceeded,
        );
    }
    assert!(
        !is_error(&call(Duration::from_secs(1)).await),
        "a slow message is none that never comes"
    );
}
