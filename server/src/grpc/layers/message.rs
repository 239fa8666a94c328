//! The message of a call that brings one: it is taken in before the call takes a place that others could use.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use social_core::{Error, Reason, limits};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;

use crate::grpc::status::{status, too_large, unreadable};

/// Bytes of a whole request: its message, and the head before it.
const WHOLE_BYTES: usize = limits::MESSAGE_BYTES + 5;

/// The body once all of it is in. DEADLINE_EXCEEDED for one that stops coming, INVALID_FIELD for one that is too large or cannot be
/// read.
pub(super) async fn whole(mut body: Body, method: &'static str) -> Result<Body, Status> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = timeout(limits::MESSAGE_PAUSE, body.frame())
        .await
        .map_err(|_| status(too_slow()))?
    {
        let Ok(data) = frame.map_err(|error| unreadable(error, method))?.into_data() else {
            continue;
        };
        if first.len() + more.len() + data.len() > WHOLE_BYTES {
            return Err(status(too_large(method)));
        }
        if first.is_empty() {
            first = data;
        } else {
            more.extend_from_slice(&data);
        }
    }
    if more.is_empty() {
        return Ok(Body::new(Full::new(first)));
    }
    let mut joined = BytesMut::with_capacity(first.len() + more.len());
    joined.extend_from_slice(&first);
    joined.extend_from_slice(&more);
    Ok(Body::new(Full::new(joined.freeze())))
}

fn too_slow() -> Error {
    let seconds = limits::MESSAGE_PAUSE.as_secs();
    Error::new(
        Reason::DeadlineExceeded,
        format!("nothing of the message came for {seconds} s; nothing was done"),
    )
}
