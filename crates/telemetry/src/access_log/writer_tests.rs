//! The writer with real files in a directory of the test's own.

use std::net::Ipv4Addr;

use super::*;
use crate::access_log::{Captured, Details};

const SOON: Duration = Duration::from_millis(5);
const DEADLINE: Duration = Duration::from_secs(20);

fn options(home: &Path) -> WriterOptions {
    WriterOptions { home: home.into(), flush: SOON, reopen: Duration::ZERO, zone: TimeZone::UTC }
}

fn record(captured: &Captured, status: u16) -> Record<'_> {
    Record {
        client: Ipv4Addr::LOCALHOST.into(),
        local: (Ipv4Addr::LOCALHOST, 80).into(),
        virtual_server: "web",
        pool: None,
        node: None,
        status: Some(status),
        body_sent: 0,
        bytes_in: 0,
        bytes_out: 0,
        duration: Duration::ZERO,
        retries: 0,
        tls: None,
        captured,
        details: Details::default(),
    }
}

fn write(log: &AccessLog, worker: usize, status: u16) -> bool {
    log.write(worker, &record(&Captured::default(), status), SystemTime::now())
}

/// Waits until `file` holds `lines` lines.
fn wait_for_lines(file: &Path, lines: usize) -> String {
    let until = Instant::now() + DEADLINE;
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.lines().count() >= lines || Instant::now() > until {
            assert_eq!(text.lines().count(), lines, "lines in {}", file.display());
            return text;
        }
        thread::yield_now();
    }
}

#[test]
fn several_logs_are_written_by_name() {
    let home = tempfile::tempdir().unwrap();
    let writer = Writer::start(options(home.path())).unwrap();
    let web = writer.open("web", "%zeushome%/zxtm/log/%v.log", "%v %s", &Losses::new(2)).unwrap();
    let other = writer.open("other", "logs/%v.log", "%s", &Losses::new(2)).unwrap();
    assert!(write(&web, 0, 200) && write(&other, 1, 404));
    assert_eq!(wait_for_lines(&home.path().join("zxtm/log/web.log"), 1), "web 200\n");
    assert_eq!(wait_for_lines(&home.path().join("logs/other.log"), 1), "404\n");
    assert!(write(&web, 1, 500));
    assert_eq!(wait_for_lines(&home.path().join("zxtm/log/web.log"), 2), "web 200\nweb 500\n");
}

#[test]
fn nothing_written_is_lost_when_the_writer_stops() {
    let home = tempfile::tempdir().unwrap();
    let slow = WriterOptions { flush: DEADLINE, ..options(home.path()) };
    let writer = Writer::start(slow).unwrap();
    let log = writer.open("web", "%v.log", "%s", &Losses::new(4)).unwrap();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let log = log.clone();
            thread::spawn(move || (0..1000).filter(|_| write(&log, worker, 200)).count())
        })
        .collect();
    let written: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    assert!(writer.shutdown(DEADLINE));
    assert_eq!((written, log.0.log.losses.lines()), (4000, 0));
    wait_for_lines(&home.path().join("web.log"), written);
}

#[test]
fn dropping_the_last_handle_writes_the_rest() {
    let home = tempfile::tempdir().unwrap();
    let writer = Writer::start(WriterOptions { flush: DEADLINE, ..options(home.path()) }).unwrap();
    let log = writer.open("web", "%v.log", "%s", &Losses::new(1)).unwrap();
    write(&log, 0, 200);
    drop(log);
    wait_for_lines(&home.path().join("web.log"), 1);
}

#[test]
fn a_half_full_buffer_wakes_the_writer() {
    let home = tempfile::tempdir().unwrap();
    let writer = Writer::start(WriterOptions { flush: DEADLINE * 100, ..options(home.path()) }).unwrap();
    let text = "x".repeat(4000);
    let log = writer.open("web", "%v.log", &text, &Losses::new(1)).unwrap();
    let lines = WAKE_AT.div_ceil(4001);
    for _ in 0..lines {
        assert!(write(&log, 0, 200));
    }
    wait_for_lines(&home.path().join("web.log"), lines);
}

#[test]
fn full_buffers_drop_and_count() {
    let home = tempfile::tempdir().unwrap();
    let writer = Writer::start(options(home.path())).unwrap();
    let log = writer.open("web", "%v.log", &"x".repeat(4000), &Losses::new(1)).unwrap();
    assert!(writer.shutdown(DEADLINE));
    let fit = 2 * (MAX_BUFFERED / 4001);
    let kept = (0..fit + 10).filter(|_| write(&log, 0, 200)).count();
    assert_eq!((kept, log.0.log.losses.lines()), (fit, 10));
}

#[test]
fn a_worker_does_not_wait_for_a_taken_buffer() {
    let home = tempfile::tempdir().unwrap();
    let writer = Writer::start(WriterOptions { flush: DEADLINE * 100, ..options(home.path()) }).unwrap();
    let log = writer.open("web", "%v.log", "%s", &Losses::new(1)).unwrap();
    let slots = log.0.log.slots.shard(0);
    let first = slots.first.lock().unwrap();
    assert!(write(&log, 0, 200));
    let second = slots.second.lock().unwrap();
    assert!(!write(&log, 0, 200));
    drop((first, second));
    assert_eq!(log.0.log.losses.lines(), 1);
}

#[test]
fn a_file_moved_away_is_let_go_after_the_reopen_interval() {
    let home = tempfile::tempdir().unwrap();
    let writer = Writer::start(WriterOptions { reopen: SOON, ..options(home.path()) }).unwrap();
    let log = writer.open("web", "%v.log", "%s", &Losses::new(1)).unwrap();
    let (file, moved) = (home.path().join("web.log"), home.path().join("moved.log"));
    write(&log, 0, 200);
    wait_for_lines(&file, 1);
    fs::rename(&file, &moved).unwrap();
    let until = Instant::now() + DEADLINE;
    while !file.exists() {
        assert!(Instant::now() < until, "the new file was never made");
        write(&log, 0, 201);
        thread::yield_now();
    }
}

#[test]
fn a_new_name_is_a_new_file() {
    let home = tempfile::tempdir().unwrap();
    let log = Arc::new(Log {
        virtual_server: "web".into(),
        name: FileName::parse("%{%N}t.log").unwrap_or_else(|_| FileName::parse("%{%f}t.log").unwrap()),
        format: Format::parse("").unwrap(),
        zone: TimeZone::UTC,
        slots: Sharded::new(1),
        closed: AtomicBool::new(false),
        losses: Losses::new(1),
    });
    let mut open = Open { log, file: None, complained: None, failures: 0 };
    for _ in 0..3 {
        // The name holds the time to the nanosecond, so each put names a new file.
        open.put(b"line\n", &options(home.path()), Duration::ZERO);
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3);
}

#[test]
fn a_log_that_cannot_be_written_counts_what_it_lost_and_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let blocked = home.path().join("directory");
    fs::write(&blocked, "a file in the way").unwrap();
    let writer = Writer::start(options(home.path())).unwrap();
    let log = writer.open("web", "directory/%v.log", "%s", &Losses::new(1)).unwrap();
    write(&log, 0, 200);
    let until = Instant::now() + DEADLINE;
    while log.0.log.losses.bytes() < 4 {
        assert!(Instant::now() < until, "the loss was never counted");
        thread::yield_now();
    }
    fs::remove_file(&blocked).unwrap();
    write(&log, 0, 201);
    assert_eq!(wait_for_lines(&blocked.join("web.log"), 1), "201\n");
}

#[test]
fn faults_name_the_setting() {
    let home = tempfile::tempdir().unwrap();
    let writer = Writer::start(options(home.path())).unwrap();
    let fault = |name, format| writer.open("web", name, format, &Losses::new(1)).unwrap_err().to_string();
    assert!(fault("a", "%z").starts_with("log.format: unknown macro"));
    assert!(fault("%z", "").starts_with("log.filename: unknown macro"));
}

#[test]
fn the_thread_rests_whatever_the_settings_say() {
    let home = tempfile::tempdir().unwrap();
    let writer = Writer::start(WriterOptions { flush: Duration::ZERO, ..options(home.path()) }).unwrap();
    assert_eq!(locked(&writer.shared.pace).flush, SHORTEST_FLUSH);
    writer.tune(Duration::ZERO, Duration::ZERO);
    assert_eq!(locked(&writer.shared.pace).flush, SHORTEST_FLUSH);
    let log = writer.open("web", "%v.log", "%s", &Losses::new(1)).unwrap();
    assert!(write(&log, 0, 200));
    wait_for_lines(&home.path().join("web.log"), 1);
}

#[test]
fn what_was_lost_stays_counted_when_another_log_takes_over() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "").unwrap();
    let writer = Writer::start(WriterOptions { flush: DEADLINE, ..options(home.path()) }).unwrap();
    let losses = Losses::new(1);
    for round in 1..=2 {
        // No file can be made there.
        let log = writer.open("web", "file/%v.log", &"x".repeat(4000), &losses).unwrap();
        let dropped = losses.lines();
        let (first, second) = (&log.0.log.slots.shard(0).first, &log.0.log.slots.shard(0).second);
        let busy = (locked(first), locked(second));
        assert!(!write(&log, 0, 200), "nobody has room for it");
        drop(busy);
        assert_eq!(losses.lines(), dropped + 1);
        assert!(write(&log, 0, 200));
        drop(log);
        let until = Instant::now() + DEADLINE;
        while losses.bytes() < round * 4001 {
            assert!(Instant::now() < until, "{} bytes lost", losses.bytes());
            thread::yield_now();
        }
    }
    assert_eq!((losses.lines(), losses.bytes()), (2, 2 * 4001));
}
