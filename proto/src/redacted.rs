//! `Debug` of messages that hold a secret, so that none ever gets into a log by way of a message.

use std::fmt::{Debug, Formatter, Result};

use crate::v1;

/// Stands for a secret: tells whether there is one, and nothing of it.
struct Redacted<'a>(&'a str);

impl Debug for Redacted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(redacted)" })
    }
}

impl Debug for v1::TokenPair {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("TokenPair")
            .field("access_token", &Redacted(&self.access_token))
            .field("refresh_token", &Redacted(&self.refresh_token))
            .field("access_expire_time", &self.access_expire_time)
            .field("refresh_expire_time", &self.refresh_expire_time)
            .field("session_id", &self.session_id)
            .finish()
    }
}

impl Debug for v1::RegisterRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("RegisterRequest")
            .field("handle", &self.handle)
            .field("display_name", &self.display_name)
            .field("password", &Redacted(&self.password))
            .field("device_name", &self.device_name)
            .field("request_id", &self.request_id)
            .finish()
    }
}

impl Debug for v1::LoginRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("LoginRequest")
            .field("handle", &self.handle)
            .field("password", &Redacted(&self.password))
            .field("device_name", &self.device_name)
            .finish()
    }
}

impl Debug for v1::RefreshTokenRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("RefreshTokenRequest")
            .field("refresh_token", &Redacted(&self.refresh_token))
            .field("request_id", &self.request_id)
            .finish()
    }
}

impl Debug for v1::ChangePasswordRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ChangePasswordRequest")
            .field("current_password", &Redacted(&self.current_password))
            .field("new_password", &Redacted(&self.new_password))
            .field("request_id", &self.request_id)
            .finish()
    }
}

impl Debug for v1::ImportUser {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ImportUser")
            .field("handle", &self.handle)
            .field("display_name", &self.display_name)
            .field("bio", &self.bio)
            .field("password_hash", &Redacted(&self.password_hash))
            .field("create_time", &self.create_time)
            .finish()
    }
}

impl Debug for v1::StreamBackupResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("StreamBackupResponse")
            .field("data", &Redacted(if self.data.is_empty() { "" } else { "bytes" }))
            .field("bytes_sent", &self.bytes_sent)
            .field("rows_sent", &self.rows_sent)
            .field("estimated_rows", &self.estimated_rows)
            .field("create_time", &self.create_time)
            .field("last", &self.last)
            .finish()
    }
}

impl Debug for v1::ArchiveUser {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ArchiveUser")
            .field("id", &self.id)
            .field("handle", &self.handle)
            .field("display_name", &self.display_name)
            .field("bio", &self.bio)
            .field("create_time", &self.create_time)
            .field("update_time", &self.update_time)
            .field("version", &self.version)
            .field("password_hash", &Redacted(&self.password_hash))
            .field("password_time", &self.password_time)
            .field("last_read_post_id", &self.last_read_post_id)
            .field("read_time", &self.read_time)
            .field("read_version", &self.read_version)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hunter2-hunter2";

    #[test]
    fn no_secret_is_printed() {
        let secret = || SECRET.to_owned();
        let tokens = v1::TokenPair {
            access_token: secret(),
            refresh_token: secret(),
            ..Default::default()
        };
        let messages: Vec<Box<dyn Debug>> = vec![
            Box::new(v1::RegisterRequest {
                password: secret(),
                ..Default::default()
            }),
            Box::new(v1::RegisterResponse {
                tokens: Some(tokens.clone()),
                ..Default::default()
            }),
            Box::new(v1::LoginRequest {
                password: secret(),
                ..Default::default()
            }),
            Box::new(v1::LoginResponse {
                tokens: Some(tokens),
                ..Default::default()
            }),
            Box::new(v1::RefreshTokenRequest {
                refresh_token: secret(),
                ..Default::default()
            }),
            Box::new(v1::ChangePasswordRequest {
                current_password: secret(),
                new_password: secret(),
                ..Default::default()
            }),
            Box::new(v1::ArchiveStretch {
                records: vec![v1::ArchiveRecord {
                    record: Some(v1::archive_record::Record::User(v1::ArchiveUser {
                        password_hash: secret(),
                        ..Default::default()
                    })),
                }],
                ..Default::default()
            }),
            Box::new(v1::ImportUsersRequest {
                users: vec![v1::ImportUser {
                    password_hash: secret(),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            Box::new(v1::StreamBackupResponse {
                data: secret().into_bytes(),
                ..Default::default()
            }),
        ];
        for message in messages {
            let printed = format!("{message:?}");
            assert!(printed.contains("(redacted)") && !printed.contains(SECRET), "{printed}");
            assert!(!printed.contains(&format!("{:?}", SECRET.as_bytes())), "{printed}");
        }
    }
}
