//! Log lines leave through one thread, so that a slow terminal or a full pipe never holds up a request.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use metrics::counter;

use crate::metric;

/// Lines waiting to be written; further ones are dropped and counted.
const QUEUE_LINES: usize = 8_192;
/// How long a flush waits for the thread.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Where log lines go: a bounded queue with a thread behind it.
#[derive(Clone, Debug)]
pub(crate) struct LogWriter {
    queue: Arc<Queue>,
}

#[derive(Debug)]
struct Queue {
    sender: SyncSender<Message>,
    dropped: AtomicU64,
}

/// One log line being put together; it is queued when dropped.
pub(crate) struct Line {
    queue: Arc<Queue>,
    bytes: Vec<u8>,
}

impl LogWriter {
    pub(crate) fn to_stderr() -> io::Result<Self> {
        Self::to(io::stderr())
    }

    fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE_LINES);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || write_all(&receiver, sink))?;
        Ok(Self {
            queue: Arc::new(Queue {
                sender,
                dropped: AtomicU64::new(0),
            }),
        })
    }

    pub(crate) fn line(&self) -> Line {
        Line {
            queue: Arc::clone(&self.queue),
            bytes: Vec::with_capacity(256),
        }
    }

    /// Waits until everything queued before is written. False when that took longer than `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let (done, written) = sync_channel(1);
        // A full queue means a thread that is stuck: do not wait for room, which could take for ever.
        self.queue.sender.try_send(Message::Flush(done)).is_ok() && written.recv_timeout(timeout).is_ok()
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() && self.queue.sender.try_send(Message::Line(line)).is_err() {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
            counter!(metric::LOG_LINES_DROPPED).increment(1);
        }
    }
}

/// The thread: writes line after line, and flushes whenever the queue runs empty.
fn write_all(receiver: &Receiver<Message>, mut sink: impl Write) {
    loop {
        let message = match receiver.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                // A sink that fails (a closed terminal) must not end the server: its lines are lost.
                let _ = sink.flush();
                match receiver.recv() {
                    Ok(message) => message,
                    Err(_) => return,
                }
            }
        };
        match message {
            Message::Line(line) => drop(sink.write_all(&line)),
            Message::Flush(done) => {
                let _ = sink.flush();
                let _ = done.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_arrive_in_order_and_whole() {
        let sink = Sink::default();
        let writer = LogWriter::to(sink.clone()).unwrap();
        for number in 0..100 {
            let mut line = writer.line();
            write!(line, "line ").unwrap();
            writeln!(line, "{number}").unwrap();
        }
        assert!(writer.flush(FLUSH_TIMEOUT));
        let expected: String = (0..100).map(|number| format!("line {number}\n")).collect();
        assert_eq!(String::from_utf8(sink.0.lock().unwrap().clone()).unwrap(), expected);
    }

    #[test]
    fn a_stuck_sink_holds_up_nobody() {
        let sink = Sink::default();
        let stuck = sink.0.lock().unwrap();
        let writer = LogWriter::to(sink.clone()).unwrap();
        for _ in 0..2 * QUEUE_LINES {
            writeln!(writer.line(), "line").unwrap();
        }
        assert!(!writer.flush(Duration::from_millis(10)));
        assert!(writer.queue.dropped.load(Ordering::Relaxed) >= QUEUE_LINES as u64 - 1);
        drop(stuck);
    }
}
