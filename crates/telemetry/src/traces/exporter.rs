//! The exporter: collects what workers have recorded, and sends it in batches until told to stop.
//!
//! One batch is on its way at a time. While it cannot be delivered it is tried again with growing pauses ([`again`]),
//! and what comes after it waits in the bounded buffers of the workers. An outage is told once when it begins and once
//! when it is over.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    collector::{Collector, Refusal, Taken},
    encode::encode,
    options::{MAX_BATCH, MAX_QUEUE, Options, Resource},
    queue::{Shared, Traces},
    span::Finished,
};

/// Pause after the first failure; it doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A batch that could not be delivered for so long is given up: what happens now is of more use.
const GIVE_UP: Duration = Duration::from_mins(1);
/// A collector that takes only part of what it gets is told of this often at most.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// Sends spans to the collector.
pub struct Exporter {
    shared: Arc<Shared>,
    collector: Collector,
    resource: Resource,
    delay: Duration,
    batch: usize,
    /// The endpoint, for the log.
    shown: String,
    pending: Vec<Finished>,
    outage: Option<Outage>,
    complained: Option<Instant>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("endpoint", &self.shown).finish_non_exhaustive()
    }
}

/// Spans cannot be delivered.
#[derive(Debug)]
struct Outage {
    since: Instant,
    lost: u64,
}

/// Makes what data workers `0..workers` record with, and the exporter to be run. The error is for the operator.
pub fn start(options: Options, workers: usize) -> Result<(Traces, Exporter), String> {
    let traces = Traces::new(options.sampler, options.queue.clamp(1, MAX_QUEUE), workers);
    let exporter = Exporter {
        shared: traces.shared(),
        resource: options.resource.clone(),
        delay: options.delay,
        batch: options.batch.clamp(1, MAX_BATCH),
        shown: options.endpoint.to_string(),
        collector: Collector::new(options)?,
        pending: Vec::new(),
        outage: None,
        complained: None,
    };
    Ok((traces, exporter))
}

impl Exporter {
    /// Sends what is recorded until `stop` says true, then what is left, once.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        info!("traces are sent to {}", self.shown);
        loop {
            let stopping = self.wait(&mut stop).await;
            self.shared.collect(&mut self.pending);
            while !self.pending.is_empty() {
                let batch = next_batch(&mut self.pending, self.batch);
                self.deliver(&batch, &mut stop).await;
            }
            if stopping {
                break;
            }
        }
        if let Some(outage) = self.outage {
            warn!(
                spans = outage.lost,
                "spans were lost: the collector of traces was out of reach at the end"
            );
        }
    }

    /// Waits until it is time to look for spans. True = this is the last time.
    async fn wait(&self, stop: &mut watch::Receiver<bool>) -> bool {
        if *stop.borrow() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(self.delay) => false,
            () = self.shared.filled() => false,
            // Also when whoever could say it is gone.
            _ = stop.wait_for(|stop| *stop) => true,
        }
    }

    async fn deliver(&mut self, batch: &[Finished], stop: &mut watch::Receiver<bool>) {
        let spans = batch.iter().map(|finished| finished.spans() as u64).sum();
        let body = self.collector.packed(encode(&self.resource, batch));
        let began = Instant::now();
        let mut failures = 0;
        loop {
            let refusal = match self.collector.post(&body).await {
                Ok(taken) => return self.delivered(spans, &taken),
                Err(refusal) => refusal,
            };
            failures += 1;
            self.shared.counts.failures.fetch_add(1, Relaxed);
            self.begin_outage(&refusal);
            let stopping = *stop.borrow();
            let pause = if refusal.again && !stopping {
                again(failures, began.elapsed(), refusal.pause)
            } else {
                None
            };
            let Some(pause) = pause else {
                self.lose(spans, refusal.again);
                if stopping {
                    // The others would fare no better, and there is no time.
                    let left = self.pending.drain(..).map(|finished| finished.spans() as u64).sum();
                    self.lose(left, true);
                }
                return;
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    fn delivered(&mut self, spans: u64, taken: &Taken) {
        let counts = &self.shared.counts;
        let rejected = taken.rejected.min(spans);
        counts.exported.fetch_add(spans - rejected, Relaxed);
        counts.refused.fetch_add(rejected, Relaxed);
        if let Some(outage) = self.outage.take() {
            let seconds = outage.since.elapsed().as_secs();
            info!(seconds, lost = outage.lost, "traces are delivered again to {}", self.shown);
        }
        if (rejected > 0 || !taken.message.is_empty())
            && self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY)
        {
            self.complained = Some(Instant::now());
            warn!(rejected, "the collector of traces does not take everything: {}", taken.message);
        }
    }

    fn begin_outage(&mut self, refusal: &Refusal) {
        if self.outage.is_some() {
            return;
        }
        let what =
            if refusal.again { "trying again; what finds no room meanwhile" } else { "what it refuses" };
        warn!(
            "traces cannot be delivered to {}: {}; {what} is dropped and counted in tidegate_trace_spans_dropped_total",
            self.shown, refusal.why
        );
        self.outage = Some(Outage { since: Instant::now(), lost: 0 });
    }

    fn lose(&mut self, spans: u64, undelivered: bool) {
        let counts = &self.shared.counts;
        let lost = if undelivered { &counts.undelivered } else { &counts.refused };
        lost.fetch_add(spans, Relaxed);
        if let Some(outage) = &mut self.outage {
            outage.lost += spans;
        }
    }
}

/// The requests from the front that make at most `most` spans together, one at least.
fn next_batch(pending: &mut Vec<Finished>, most: usize) -> Vec<Finished> {
    let mut spans = 0;
    let fits = pending.iter().take_while(|finished| {
        spans += finished.spans();
        spans <= most
    });
    let count = fits.count().clamp(1, pending.len().max(1));
    let rest = pending.split_off(count.min(pending.len()));
    std::mem::replace(pending, rest)
}

/// How long to wait before a batch is sent again that has failed `failures` times within `spent`; `None` = it is given
/// up. `asked` is what the collector wants.
fn again(failures: u32, spent: Duration, asked: Option<Duration>) -> Option<Duration> {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = asked.unwrap_or_default().max(doubled.min(LONGEST_PAUSE));
    (spent + pause < GIVE_UP).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::{super::encode::tests::finished, *};

    #[test]
    fn batches() {
        let mut pending: Vec<_> = [1, 0, 2, 9, 0].map(finished).into();
        let mut sizes = Vec::new();
        while !pending.is_empty() {
            let batch = next_batch(&mut pending, 4);
            sizes.push(batch.iter().map(Finished::spans).collect::<Vec<_>>());
        }
        // One that is larger than a batch goes alone.
        assert_eq!(sizes, [vec![2, 1], vec![3], vec![10], vec![1]]);
        assert!(next_batch(&mut pending, 4).is_empty());
    }

    #[test]
    fn pauses_grow_until_a_batch_is_given_up() {
        let (mut spent, mut pauses) = (Duration::ZERO, Vec::new());
        for failures in 1.. {
            let Some(pause) = again(failures, spent, None) else { break };
            pauses.push(pause.as_secs());
            spent += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16]);
        let second = Duration::from_secs(1);
        assert_eq!(again(1, Duration::ZERO, Some(20 * second)), Some(20 * second));
        assert_eq!(again(4, Duration::ZERO, Some(second)), Some(8 * second));
        assert_eq!(again(1, 59 * second, None), None);
        assert_eq!(again(u32::MAX, Duration::ZERO, None), Some(LONGEST_PAUSE));
    }
}
