//! How long a call may take.

use std::time::Duration;

use http::HeaderMap;
use social_core::limits;
use tokio::time::Instant;

use super::method::Method;

/// When a call must be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// A deadline this far ahead.
    pub(crate) fn after(time: Duration) -> Self {
        // A client may ask for 11,000 years, which no clock can add.
        let now = Instant::now();
        Self(now.checked_add(time).unwrap_or(now + limits::DEADLINE_MAX))
    }

    /// The time that is left, zero when there is none.
    #[cfg(test)]
    fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The moment itself.
    pub(crate) fn at(&self) -> Instant {
        self.0
    }
}

/// Deadlines of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// Until when it must answer; of a stream, until when it must begin. None where only its sender knows how much there is to come.
    pub(crate) answer: Option<Deadline>,
    /// Until when a stream may go on; none where the client named no time.
    pub(crate) stream: Option<Deadline>,
}

impl Deadlines {
    /// The deadlines by what the client asks for in `grpc-timeout` and what the method allows.
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let asked = headers.get("grpc-timeout").and_then(|value| parse(value.as_bytes()));
        if method.server_streaming {
            let begin = asked.map_or(limits::DEADLINE_DEFAULT, |asked| asked.min(limits::DEADLINE_DEFAULT));
            return Self {
                answer: Some(Deadline::after(begin)),
                stream: asked.map(Deadline::after),
            };
        }
        if method.client_streaming {
            return Self {
                answer: asked.map(Deadline::after),
                stream: None,
            };
        }
        let time = asked.unwrap_or(limits::DEADLINE_DEFAULT).min(limits::DEADLINE_MAX);
        Self {
            answer: Some(Deadline::after(time)),
            stream: None,
        }
    }
}

/// Reads a `grpc-timeout`: up to 8 digits and a unit. None for what is none; then the default counts.
fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let mut number = 0u64;
    for digit in digits {
        number = number * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    match unit {
        b'H' => Some(Duration::from_secs(number * 3_600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::method::method;
    use super::*;

    #[test]
    fn reads_timeouts_by_the_standard() {
        let cases = [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("42S", Some(Duration::from_secs(42))),
            ("100m", Some(Duration::from_millis(100))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("7n", Some(Duration::from_nanos(7))),
            ("0S", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("1s", None),
            ("-1S", None),
            ("1.5S", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_unary_call_is_bounded_and_a_stream_only_as_asked() {
        let asking =
            |text: &'static str| HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]);
        let unary = method("/social.v1.PostService/GetPost").unwrap();
        assert_eq!(
            Deadlines::of(unary, &HeaderMap::new()).answer.unwrap().left(),
            limits::DEADLINE_DEFAULT
        );
        assert_eq!(
            Deadlines::of(unary, &asking("99999999H")).answer.unwrap().left(),
            limits::DEADLINE_MAX
        );
        assert_eq!(
            Deadlines::of(unary, &asking("50m")).answer.unwrap().left(),
            Duration::from_millis(50)
        );
        let stream = method("/social.v1.TimelineService/SubscribeHomeTimeline").unwrap();
        assert!(Deadlines::of(stream, &HeaderMap::new()).stream.is_none());
        assert_eq!(
            Deadlines::of(stream, &asking("1H")).stream.unwrap().left(),
            Duration::from_secs(3_600)
        );
        let import = method("/social.v1.AdminService/ImportPosts").unwrap();
        assert!(Deadlines::of(import, &HeaderMap::new()).answer.is_none());
    }
}
