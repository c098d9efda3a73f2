//! What the spectator of the demo sees: a picture that is drawn twice a second on a terminal, plain lines
//! elsewhere.
//!
//! [`Picture`] is a value; [`lines`] and [`summary_line`] are pure, [`Screen`] draws and reads keys.

use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossterm::{
    cursor,
    event::{self, KeyCode, KeyEventKind, KeyModifiers},
    execute, queue, style, terminal,
};
use tokio::sync::mpsc;

use super::script::Action;

/// How often the keyboard thread looks whether it may end.
const KEY_POLL: Duration = Duration::from_millis(100);

/// One node in the picture.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeRow {
    /// Its name.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: String,
    /// What was done to it.
    pub(crate) fate: String,
    /// What Tidegate makes of it.
    pub(crate) state: String,
    /// Requests in progress.
    pub(crate) in_flight: u32,
    /// Requests that Tidegate sent to it.
    pub(crate) requests: u64,
    /// Failures that Tidegate saw.
    pub(crate) failures: u64,
    /// Recent response time.
    pub(crate) response_time: Duration,
    /// Sessions on it.
    pub(crate) sessions: usize,
}

/// Everything in the picture.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    /// Time since the start.
    pub(crate) elapsed: Duration,
    /// Plain and TLS address of the service.
    pub(crate) services: Vec<String>,
    /// Nodes, oldest first.
    pub(crate) nodes: Vec<NodeRow>,
    /// Requests of the visitors.
    pub(crate) requests: u64,
    /// Requests a second of late.
    pub(crate) rate: f64,
    /// Failed requests of the visitors.
    pub(crate) failed: u64,
    /// Sessions, and how often one changed its node.
    pub(crate) sessions: usize,
    /// Sessions that moved.
    pub(crate) moved: u64,
    /// Median latency.
    pub(crate) median: Duration,
    /// Latency that 99 of 100 requests stay below.
    pub(crate) tail: Duration,
    /// What happened, latest last.
    pub(crate) events: Vec<String>,
}

/// The picture as lines of at most `width` characters, `height` of them at most.
pub(crate) fn lines(picture: &Picture, width: usize, height: usize) -> Vec<String> {
    let mut lines = vec![
        format!("Tidegate demo, {} s", picture.elapsed.as_secs()),
        format!("  {}", picture.services.join("   ")),
        String::new(),
        format!(
            "  {:<8} {:<17} {:<11} {:<10} {:>8} {:>9} {:>9} {:>9} {:>9}",
            "node",
            "address",
            "sample is",
            "in pool",
            "sessions",
            "requests",
            "in flight",
            "failures",
            "response"
        ),
    ];
    for node in &picture.nodes {
        lines.push(format!(
            "  {:<8} {:<17} {:<11} {:<10} {:>8} {:>9} {:>9} {:>9} {:>9}",
            node.name,
            node.address,
            node.fate,
            node.state,
            node.sessions,
            node.requests,
            node.in_flight,
            node.failures,
            milliseconds(node.response_time)
        ));
    }
    lines.push(String::new());
    lines.push(format!("  {}", totals(picture)));
    lines.push(String::new());
    let keys = "  keys:  + scale up   d drain   k kill   r restore   q quit";
    let room = height.saturating_sub(lines.len() + 2);
    let skip = picture.events.len().saturating_sub(room);
    lines.extend(picture.events.iter().skip(skip).map(|event| format!("  {event}")));
    lines.truncate(height.saturating_sub(2));
    lines.push(String::new());
    lines.push(keys.to_owned());
    for line in &mut lines {
        if let Some((end, _)) = line.char_indices().nth(width) {
            line.truncate(end);
        }
    }
    lines
}

/// The picture as one plain line.
pub(crate) fn summary_line(picture: &Picture) -> String {
    let mut line = format!("demo: {:>3} s  {}  nodes:", picture.elapsed.as_secs(), totals(picture));
    for node in &picture.nodes {
        // Writing to a string cannot fail.
        _ = write!(line, " {}={}/{}", node.name, node.state, node.sessions);
    }
    line
}

fn totals(picture: &Picture) -> String {
    format!(
        "requests {} ({:.0}/s), failed {}, sessions {} (moved {}), latency {} median, {} p99",
        picture.requests,
        picture.rate,
        picture.failed,
        picture.sessions,
        picture.moved,
        milliseconds(picture.median),
        milliseconds(picture.tail)
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// The terminal, in the state the picture needs. Dropping it gives the terminal back as it was.
#[derive(Debug)]
pub(crate) struct Screen {
    end: Arc<AtomicBool>,
    keyboard: Option<std::thread::JoinHandle<()>>,
    /// Columns and rows of the last picture.
    size: (u16, u16),
}

impl Screen {
    /// Takes over the terminal. Keys flow out as actions; Ctrl-C is `quit`.
    pub(crate) fn open() -> io::Result<(Self, mpsc::Receiver<Action>)> {
        terminal::enable_raw_mode()?;
        let end = Arc::new(AtomicBool::new(false));
        // From here on dropping gives the terminal back.
        let mut screen = Self { end: Arc::clone(&end), keyboard: None, size: (0, 0) };
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        let (sender, receiver) = mpsc::channel(16);
        screen.keyboard = Some(
            std::thread::Builder::new()
                .name("keyboard".to_owned())
                .spawn(move || read_keys(&end, &sender))?,
        );
        Ok((screen, receiver))
    }

    /// Draws the picture.
    pub(crate) fn draw(&mut self, picture: &Picture) -> io::Result<()> {
        let (width, height) = terminal::size()?;
        if self.size != (width, height) {
            self.size = (width, height);
            execute!(io::stdout(), terminal::Clear(terminal::ClearType::All))?;
        }
        let mut out = io::stdout().lock();
        queue!(out, cursor::MoveTo(0, 0))?;
        for line in lines(picture, usize::from(width), usize::from(height)) {
            queue!(
                out,
                style::Print(line),
                terminal::Clear(terminal::ClearType::UntilNewLine),
                cursor::MoveToNextLine(1)
            )?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(keyboard) = self.keyboard.take() {
            // A keyboard thread that panicked has nothing more to say.
            drop(keyboard.join());
        }
        // There is nobody to tell if the terminal is gone.
        drop(execute!(io::stdout(), terminal::LeaveAlternateScreen, cursor::Show));
        drop(terminal::disable_raw_mode());
    }
}

fn read_keys(end: &AtomicBool, sender: &mpsc::Sender<Action>) {
    while !end.load(Ordering::Relaxed) {
        match event::poll(KEY_POLL) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) => return,
        }
        let Ok(event::Event::Key(key)) = event::read() else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        let action = match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Action::Quit),
            KeyCode::Char(key) => Action::of_key(key),
            KeyCode::Esc => Some(Action::Quit),
            _ => None,
        };
        // More keys than can be followed are let go.
        if let Some(action) = action
            && matches!(sender.try_send(action), Err(mpsc::error::TrySendError::Closed(_)))
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        Picture {
            elapsed: Duration::from_secs(7),
            services: vec!["http://127.0.0.1:8080/".to_owned()],
            nodes: vec![NodeRow {
                name: "node-1".to_owned(),
                state: "active".to_owned(),
                sessions: 3,
                ..NodeRow::default()
            }],
            requests: 12,
            failed: 0,
            events: (0..50).map(|number| format!("event {number}")).collect(),
            ..Picture::default()
        }
    }

    #[test]
    fn the_picture_fits_whatever_the_terminal() {
        for (width, height) in [(120, 40), (40, 12), (1, 1), (0, 0), (80, 5)] {
            let lines = lines(&picture(), width, height);
            assert!(lines.len() <= height.max(2), "{width}x{height}: {}", lines.len());
            assert!(lines.iter().all(|line| line.chars().count() <= width));
        }
        let lines = lines(&picture(), 120, 24);
        assert!(lines.iter().any(|line| line.contains("event 49")), "the latest event is shown");
        assert!(lines.last().unwrap().contains("scale up"));
    }

    #[test]
    fn the_plain_line_has_every_node() {
        let line = summary_line(&picture());
        assert!(line.contains("node-1=active/3") && line.contains("failed 0"), "{line}");
    }
}
