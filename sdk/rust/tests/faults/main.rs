//! How the SDK behaves where servers and networks do not: against a fake server on a real socket.

mod fake;

mod backups;
mod imports;
mod lists;
mod live;
mod retries;
mod sessions;
mod streams;
mod wires;
