//! Imports: batched, resumed, repeated where they broke.

use std::sync::{Arc, Mutex};

use futures::stream;
use social_sdk::{AdminClient, Code, Origin, Reason, Rpc, Uuid, v1};
use tonic::body::Body;
use tonic::server::{ClientStreamingService, Grpc};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::fake::{Fake, Seen, hasty, refusal, token_of};

/// Keeps handles as a server does: what lies before `next_offset` is skipped.
#[derive(Clone, Default)]
struct Sink {
    handles: Arc<Mutex<Vec<String>>>,
    streams: Arc<Mutex<usize>>,
}

impl Sink {
    fn progress(&self, import_id: String) -> v1::ImportProgress {
        let next_offset = i64::try_from(self.handles.lock().expect("lock").len()).expect("fits");
        v1::ImportProgress {
            import_id,
            imported: next_offset,
            next_offset,
            ..Default::default()
        }
    }

    fn take(&self, message: v1::ImportUsersRequest) -> Result<(), Status> {
        let mut handles = self.handles.lock().expect("lock");
        let offset = usize::try_from(message.offset).expect("fits");
        if offset > handles.len() {
            return Err(refusal(Code::InvalidArgument, "INVALID_FIELD"));
        }
        let known = (handles.len() - offset).min(message.users.len());
        handles.extend(message.users.into_iter().skip(known).map(|user| user.handle));
        Ok(())
    }
}

impl ClientStreamingService<v1::ImportUsersRequest> for Sink {
    type Response = v1::ImportUsersResponse;
    type Future = futures::future::BoxFuture<'static, Result<Response<v1::ImportUsersResponse>, Status>>;

    fn call(&mut self, request: Request<Streaming<v1::ImportUsersRequest>>) -> Self::Future {
        let sink = self.clone();
        assert_eq!(token_of(&request), "operator");
        Box::pin(async move {
            let nth = {
                let mut streams = sink.streams.lock().expect("lock");
                *streams += 1;
                *streams
            };
            let mut messages = request.into_inner();
            let mut import_id = String::new();
            let mut count = 0;
            while let Some(message) = messages.message().await? {
                assert!(message.users.len() <= 1_000);
                import_id.clone_from(&message.import_id);
                sink.take(message)?;
                count += 1;
                // The second stream breaks after its third message.
                if nth == 2 && count == 3 {
                    return Err(refusal(Code::Unavailable, "SHUTTING_DOWN"));
                }
            }
            let progress = Some(sink.progress(import_id));
            Ok(Response::new(v1::ImportUsersResponse { progress, skipped: 0 }))
        })
    }
}

fn serve(fake: &Fake, sink: &Sink) {
    let sink_of_streams = sink.clone();
    fake.handle(
        <v1::ImportUsersRequest as Rpc>::PATH,
        move |request: http::Request<Body>| {
            let sink = sink_of_streams.clone();
            Box::pin(async move {
                let codec = ProstCodec::<v1::ImportUsersResponse, v1::ImportUsersRequest>::default();
                Grpc::new(codec).client_streaming(sink, request).await
            })
        },
    );
    let sink = sink.clone();
    fake.unary::<v1::GetImportRequest>(move |request: Request<v1::GetImportRequest>| {
        let progress = sink.progress(request.into_inner().import_id);
        async move {
            if progress.next_offset == 0 {
                return Err(refusal(Code::NotFound, "IMPORT_NOT_FOUND"));
            }
            Ok(v1::GetImportResponse {
                progress: Some(progress),
            })
        }
    });
}

async fn admin(fake: &Fake) -> AdminClient {
    let builder = AdminClient::builder()
        .endpoint(format!("http://{}", fake.start().await))
        .retry(hasty());
    builder.build_admin(" operator\n").expect("a client")
}

fn users(count: usize) -> Vec<v1::ImportUser> {
    (0..count)
        .map(|nth| v1::ImportUser {
            handle: format!("user_{nth}"),
            ..Default::default()
        })
        .collect()
}

#[tokio::test]
async fn an_import_survives_a_break_and_goes_on_in_a_later_run() {
    let fake = Fake::default();
    let sink = Sink::default();
    serve(&fake, &sink);
    let admin = admin(&fake).await;
    let import_id = Uuid::new_v4();
    let told = Seen::new();
    let notes = told.clone();
    let import = admin.import_users(import_id).on_progress(move |progress| {
        notes.note(progress.next_offset);
    });
    let progress = import.run(stream::iter(users(40_000))).await.expect("imported");
    assert_eq!(progress.next_offset, 40_000);
    assert_eq!(told.all(), [16_000, 32_000, 40_000]);

    let progress = admin
        .import_users(import_id)
        .run(stream::iter(users(40_500)))
        .await
        .expect("imported");
    assert_eq!(progress.next_offset, 40_500);
    let expected: Vec<String> = users(40_500).into_iter().map(|user| user.handle).collect();
    assert!(*sink.handles.lock().expect("lock") == expected, "each once, in order");
    assert_eq!(*sink.streams.lock().expect("lock"), 5, "one of them repeated");
}

#[tokio::test]
async fn an_import_of_nothing_is_done_at_once() {
    let fake = Fake::default();
    serve(&fake, &Sink::default());
    let admin = admin(&fake).await;
    let import = admin.import_users(Uuid::new_v4());
    assert!(import.progress().await.expect("asked").is_none());
    assert_eq!(import.run(stream::empty()).await.expect("done").next_offset, 0);
}

#[tokio::test]
async fn operators_and_users_have_clients_of_their_own() {
    let fake = Fake::default();
    let admin = admin(&fake).await;
    let error = admin.call(v1::GetMarkerRequest {}).await.expect_err("no user");
    assert_eq!(error.origin(), Origin::Client);
    let user = crate::fake::client(fake.start().await);
    let error = user.call(v1::GetStorageStatsRequest {}).await.expect_err("no operator");
    assert_eq!((error.origin(), error.reason()), (Origin::Client, Reason::Unknown));
}
