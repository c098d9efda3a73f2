//! What lines look like, and what a limit lets through.

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
};

use tracing::{error_span, info, warn};

use super::*;

/// What `events` writes through the human or JSON form.
fn written(format: LogFormat, events: impl FnOnce()) -> String {
    let out: Arc<Mutex<Vec<u8>>> = Arc::default();
    let writer = {
        let out = Arc::clone(&out);
        move || Sink(Arc::clone(&out))
    };
    let filter = EnvFilter::new("info");
    match format {
        LogFormat::Human => tracing::subscriber::with_default(human(filter, writer), events),
        LogFormat::Json => tracing::subscriber::with_default(json(filter, writer), events),
    }
    String::from_utf8(out.lock().unwrap().clone()).unwrap()
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line without its time.
fn human_line(events: impl FnOnce()) -> String {
    let text = written(LogFormat::Human, events);
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-01-31T12:00:00.123Z".len(), "{time}");
    rest.into()
}

#[test]
fn a_line_for_people() {
    let line = human_line(|| {
        let _span = error_span!("connection", virtual_server = "web", client = %"127.0.0.1:1").entered();
        warn!(node = %"10.0.0.1:80", failures = 3, pool = "p one", "node failed");
    });
    assert_eq!(
        line,
        " WARN node failed node=10.0.0.1:80 failures=3 pool=\"p one\" virtual_server=web client=127.0.0.1:1\n"
    );
}

#[test]
fn an_event_is_one_line_whatever_it_holds() {
    let line = human_line(|| info!(path = %"a\nb\u{1b}[31m", text = "c\r\nd", "two\nlines"));
    assert_eq!(line.lines().count(), 1, "{line:?}");
    assert!(
        !line.contains('\u{1b}') && line.contains("two\\nlines") && line.contains("path=a\\nb"),
        "{line:?}"
    );
}

#[test]
fn a_line_for_machines() {
    let text = written(LogFormat::Json, || {
        let _span = error_span!("connection", virtual_server = "web").entered();
        warn!(node = %"10.0.0.1:80", failures = 3, "node\nfailed");
    });
    assert_eq!(text.lines().count(), 1);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["level"], "WARN");
    assert_eq!(value["message"], "node\nfailed");
    assert_eq!((&value["node"], &value["failures"]), (&"10.0.0.1:80".into(), &3.into()));
    assert_eq!(value["spans"][0]["virtual_server"], "web");
}

#[test]
fn the_filter_decides() {
    assert_eq!(written(LogFormat::Human, || tracing::debug!("quiet")), "");
}

#[test]
fn formats_by_name() {
    for name in LOG_FORMATS {
        assert_eq!(name.parse::<LogFormat>().unwrap().to_string(), name);
    }
    assert!("xml".parse::<LogFormat>().unwrap_err().contains("human or json"));
}

#[test]
fn a_bad_filter_is_explained() {
    let error = init(LogFormat::Human, "a=b=c").unwrap_err();
    assert!(error.to_string().starts_with("log filter: "), "{error}");
}

#[test]
fn a_limit_admits_so_many_per_window_and_tells_what_it_held_back() {
    let limit = EventLimit::of(2, Duration::from_secs(1));
    let at = |millis| limit.admit(Moment(millis));
    assert_eq!([at(0), at(1), at(2), at(999)], [Some(0), Some(0), None, None]);
    assert_eq!([at(1000), at(1001), at(1002)], [Some(2), Some(0), None]);
    assert_eq!(at(60_000), Some(1));
}

#[test]
fn limits_at_their_edges() {
    assert_eq!(EventLimit::of(0, Duration::from_secs(1)).admit(Moment(0)), None);
    let every = EventLimit::of(1, Duration::ZERO);
    assert_eq!(
        [every.admit(Moment(0)), every.admit(Moment(0)), every.admit(Moment(1))],
        [Some(0), None, Some(1)]
    );
    assert!(EventLimit::default().admit(Moment(u64::MAX)).is_some());
}

#[test]
fn threads_share_a_limit() {
    let limit = EventLimit::of(100, Duration::from_secs(1));
    let before = held_back();
    let admitted: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..1000).filter(|_| limit.admit(Moment(5)).is_some()).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 100);
    assert!(held_back() - before >= 3900);
}

#[test]
fn lines_go_through_a_queue_and_are_flushed_at_the_end() {
    let out: Arc<Mutex<Vec<u8>>> = Arc::default();
    let (lines, guard) = queue(Sink(Arc::clone(&out)));
    tracing::subscriber::with_default(human(EnvFilter::new("info"), lines), || {
        for n in 0..100 {
            info!(n, "event");
        }
    });
    drop(guard);
    assert_eq!(String::from_utf8(out.lock().unwrap().clone()).unwrap().lines().count(), 100);
}
