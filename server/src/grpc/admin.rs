//! AdminService, on its own port.

mod archive;
mod backup;
mod import;
mod upload;

use social_core::{Backend, Result, admin};
use social_observability::event;
use social_proto::v1;
use social_proto::v1::admin_service_server::{AdminService, AdminServiceServer};
use tonic::{Request, Response, Status, Streaming};

use super::Streams;
use super::convert::{self, Fields};
use super::reply::{Events, answer, events, open};

/// The service over a backend.
pub fn service(backend: Backend, streams: Streams) -> AdminServiceServer<impl AdminService> {
    AdminServiceServer::new(Admin { backend, streams })
}

struct Admin {
    backend: Backend,
    streams: Streams,
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_fanout_policy(
        &self,
        _: Request<v1::GetFanoutPolicyRequest>,
    ) -> Result<Response<v1::GetFanoutPolicyResponse>, Status> {
        answer(async {
            let policy = admin::policy(&self.backend).await?;
            Ok(v1::GetFanoutPolicyResponse {
                policy: Some(convert::admin::policy(&policy)),
            })
        })
        .await
    }

    async fn set_fanout_policy(
        &self,
        request: Request<v1::SetFanoutPolicyRequest>,
    ) -> Result<Response<v1::SetFanoutPolicyResponse>, Status> {
        let (_, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let strategy = convert::admin::read_strategy(&mut fields, message.mode);
            let threshold = convert::admin::read_threshold(&mut fields, message.celebrity_threshold);
            let expected = fields.etag(&message.etag);
            fields.request_id(&message.request_id);
            fields.check()?;
            let policy = admin::set_policy(&self.backend, strategy, threshold, expected, &message.request_id).await?;
            event::fanout_policy_changed(convert::admin::strategy_name(strategy), policy.celebrity_threshold);
            Ok(v1::SetFanoutPolicyResponse {
                policy: Some(convert::admin::policy(&policy)),
            })
        })
        .await
    }

    async fn rebuild_timeline(
        &self,
        request: Request<v1::RebuildTimelineRequest>,
    ) -> Result<Response<v1::RebuildTimelineResponse>, Status> {
        let (_, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let user = fields.id("user_id", &message.user_id);
            fields.request_id(&message.request_id);
            fields.check()?;
            let (entries, elapsed) = admin::rebuild_timeline(&self.backend, user, &message.request_id).await?;
            event::timeline_rebuilt(&user, entries, elapsed);
            Ok(v1::RebuildTimelineResponse {
                entries: convert::small_count(entries),
                elapsed_ms: convert::millis(elapsed),
            })
        })
        .await
    }

    async fn recount_post(
        &self,
        request: Request<v1::RecountPostRequest>,
    ) -> Result<Response<v1::RecountPostResponse>, Status> {
        let (_, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let post = fields.id("post_id", &message.post_id);
            fields.request_id(&message.request_id);
            fields.check()?;
            let (before, after) = admin::recount_post(&self.backend, post, &message.request_id).await?;
            Ok(v1::RecountPostResponse {
                before: Some(convert::post::post_counts(before)),
                after: Some(convert::post::post_counts(after)),
            })
        })
        .await
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let (_, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let listed = admin::list_dead_letters(&self.backend, page).await?;
            Ok(v1::ListDeadLettersResponse {
                dead_letters: listed.items.into_iter().map(convert::admin::dead_letter).collect(),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }

    async fn replay_dead_letter(
        &self,
        request: Request<v1::ReplayDeadLetterRequest>,
    ) -> Result<Response<v1::ReplayDeadLetterResponse>, Status> {
        let (_, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.id("event_id", &message.event_id);
            fields.request_id(&message.request_id);
            fields.check()?;
            let replayed = admin::replay_dead_letter(&self.backend, id, &message.request_id).await?;
            event::dead_letter_replayed(&replayed.id);
            Ok(v1::ReplayDeadLetterResponse {
                event_id: replayed.id.to_string(),
            })
        })
        .await
    }

    async fn list_outbox_events(
        &self,
        request: Request<v1::ListOutboxEventsRequest>,
    ) -> Result<Response<v1::ListOutboxEventsResponse>, Status> {
        let (_, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let page = admin::list_outbox(&self.backend, page).await?;
            Ok(convert::admin::outbox(page))
        })
        .await
    }

    async fn get_cluster(&self, _: Request<v1::GetClusterRequest>) -> Result<Response<v1::GetClusterResponse>, Status> {
        answer(async {
            let cluster = admin::cluster(&self.backend).await?;
            Ok(convert::admin::cluster(&cluster))
        })
        .await
    }

    type StreamBackupStream = Events<v1::StreamBackupResponse>;

    async fn stream_backup(
        &self,
        _: Request<v1::StreamBackupRequest>,
    ) -> Result<Response<Self::StreamBackupStream>, Status> {
        answer(async {
            let pieces = backup::Pieces::begin(&self.backend).await?;
            Ok(events(pieces, self.streams.drain.clone()))
        })
        .await
    }

    async fn get_storage_stats(
        &self,
        _: Request<v1::GetStorageStatsRequest>,
    ) -> Result<Response<v1::GetStorageStatsResponse>, Status> {
        answer(async {
            let stats = admin::stats(&self.backend).await?;
            Ok(convert::admin::storage_stats(&stats, resident_memory_bytes().await))
        })
        .await
    }

    async fn import_users(
        &self,
        request: Request<Streaming<v1::ImportUsersRequest>>,
    ) -> Result<Response<v1::ImportUsersResponse>, Status> {
        let (progress, skipped) = import::run(&self.backend, &self.streams.drain, request.into_inner()).await?;
        Ok(Response::new(v1::ImportUsersResponse {
            progress: Some(progress),
            skipped,
        }))
    }

    async fn import_posts(
        &self,
        request: Request<Streaming<v1::ImportPostsRequest>>,
    ) -> Result<Response<v1::ImportPostsResponse>, Status> {
        let (progress, skipped) = import::run(&self.backend, &self.streams.drain, request.into_inner()).await?;
        Ok(Response::new(v1::ImportPostsResponse {
            progress: Some(progress),
            skipped,
        }))
    }

    async fn import_follows(
        &self,
        request: Request<Streaming<v1::ImportFollowsRequest>>,
    ) -> Result<Response<v1::ImportFollowsResponse>, Status> {
        let (progress, skipped) = import::run(&self.backend, &self.streams.drain, request.into_inner()).await?;
        Ok(Response::new(v1::ImportFollowsResponse {
            progress: Some(progress),
            skipped,
        }))
    }

    async fn get_import(
        &self,
        request: Request<v1::GetImportRequest>,
    ) -> Result<Response<v1::GetImportResponse>, Status> {
        let (_, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.uuid(
                "import_id",
                &message.import_id,
                "the one that the import was begun with",
            );
            fields.check()?;
            let progress = social_core::import::progress(&self.backend, id).await?;
            Ok(v1::GetImportResponse {
                progress: Some(convert::import::progress(id, &progress)),
            })
        })
        .await
    }

    type StreamArchiveStream = Events<v1::StreamArchiveResponse>;

    async fn stream_archive(
        &self,
        request: Request<v1::StreamArchiveRequest>,
    ) -> Result<Response<Self::StreamArchiveStream>, Status> {
        let (_, message) = open(request);
        answer(async {
            let outgoing = archive::Outgoing::open(self.backend.clone(), &message.position).await?;
            Ok(events(outgoing, self.streams.drain.clone()))
        })
        .await
    }

    async fn import_archive(
        &self,
        request: Request<Streaming<v1::ImportArchiveRequest>>,
    ) -> Result<Response<v1::ImportArchiveResponse>, Status> {
        let answer = archive::import(&self.backend, &self.streams.drain, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn get_archive_import(
        &self,
        request: Request<v1::GetArchiveImportRequest>,
    ) -> Result<Response<v1::GetArchiveImportResponse>, Status> {
        let (_, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.uuid(
                "import_id",
                &message.import_id,
                "the archive_id of the archive's header",
            );
            fields.check()?;
            let progress = social_core::archive::progress(&self.backend, id).await?;
            Ok(v1::GetArchiveImportResponse {
                progress: Some(convert::archive::progress(&progress)),
            })
        })
        .await
    }
}

/// Bytes of memory that this process holds, as Linux tells them in /proc; 0 on other systems.
async fn resident_memory_bytes() -> u64 {
    // `status` has it in kB, whatever the size of a page.
    let status = tokio::fs::read_to_string("/proc/self/status").await.unwrap_or_default();
    status.lines().find_map(resident_kb).unwrap_or_default() * 1_024
}

fn resident_kb(line: &str) -> Option<u64> {
    line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_set_is_found_in_its_line() {
        for (line, expected) in [
            ("VmRSS:\t  123456 kB", Some(123_456)),
            ("VmHWM:\t  123456 kB", None),
            ("VmRSS:\t", None),
            ("", None),
        ] {
            assert_eq!(resident_kb(line), expected, "{line:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn this_process_holds_memory() {
        assert!(resident_memory_bytes().await > 1 << 20);
    }
}
