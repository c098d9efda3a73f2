//! Bandwidth: never above the rate by more than a burst, nearly all of it when it is wanted, and shared evenly.

use std::{num::NonZeroU64, time::Duration};

use tidegate_pool::bandwidth::{Bucket, LONGEST_WAIT, Rate, Share};

use crate::fixture::Random;

fn rate(bytes_per_second: u64) -> Rate {
    Rate::of_bytes(NonZeroU64::new(bytes_per_second).unwrap())
}

/// One who sends.
#[derive(Debug, Default)]
struct Sender {
    share: Share,
    /// When it asks next.
    at: Duration,
    /// How much it wants at a time.
    want: usize,
    /// How long it pauses after a piece.
    pause: Duration,
    /// Of a hundred pieces, how many its peer does not take.
    stalls: u64,
    sent: u64,
}

impl Sender {
    fn greedy(want: usize) -> Self {
        Self { want, ..Self::default() }
    }
}

/// What went out when.
type Sent = Vec<(Duration, u64)>;

/// Lets the senders send for so long. Each wakes up to `late` after it wanted to.
fn run(senders: &mut [Sender], rate: Rate, until: Duration, late: Duration, random: &mut Random) -> Sent {
    let bucket = Bucket::default();
    let mut sent = Vec::new();
    // The process may have just begun.
    let begin = Duration::from_secs(random.below(2) * 100);
    for sender in senders.iter_mut() {
        sender.at = begin;
    }
    loop {
        let sender = senders.iter_mut().min_by_key(|sender| sender.at).unwrap();
        let now = sender.at;
        if now >= begin + until {
            return sent;
        }
        match bucket.take(&mut sender.share, sender.want, rate, now) {
            Ok(bytes) => {
                assert!((1..=sender.want).contains(&bytes));
                let stalled = random.below(100) < sender.stalls;
                let kept = if stalled { random.below(bytes as u64 + 1) as usize } else { 0 };
                if kept > 0 {
                    bucket.give_back(&mut sender.share, kept, rate);
                }
                sender.sent += (bytes - kept) as u64;
                sent.push((now, (bytes - kept) as u64));
                // A call takes its time.
                sender.at = now + Duration::from_micros(5) + sender.pause;
                if stalled {
                    sender.at += Duration::from_millis(random.below(100));
                }
            }
            Err(wait) => {
                assert!(wait <= LONGEST_WAIT && !wait.is_zero());
                // Timers go by whole milliseconds.
                let until = Duration::from_millis((now + wait).as_micros().div_ceil(1000) as u64);
                let late = Duration::from_micros(random.below(late.as_micros() as u64 + 1));
                sender.at = until + late;
            }
        }
    }
}

/// Most bytes that went beyond the rate in any stretch of time.
fn beyond(sent: &Sent, bytes_per_second: u64) -> f64 {
    let begin = sent.first().map_or(Duration::ZERO, |first| first.0);
    let (mut sum, mut least, mut most) = (0.0, f64::MAX, 0.0_f64);
    for (at, bytes) in sent {
        let allowed = at.saturating_sub(begin).as_secs_f64() * bytes_per_second as f64;
        least = least.min(sum - allowed);
        sum += *bytes as f64;
        most = most.max(sum - allowed - least);
    }
    most
}

const RATES: [u64; 6] = [125, 10_000, 125_000, 1_250_000, 125_000_000, 2_500_000_000];

#[test]
fn never_more_than_the_rate_and_a_burst() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let bytes_per_second = RATES[random.below(RATES.len() as u64) as usize];
        let rate = rate(bytes_per_second);
        let mut senders: Vec<Sender> = (0..=random.below(20))
            .map(|_| Sender {
                want: 1 + random.below(20_000) as usize,
                pause: Duration::from_micros(random.below(3) * random.below(20_000)),
                stalls: random.below(2) * random.below(60),
                ..Sender::default()
            })
            .collect();
        let late = Duration::from_millis(random.below(30));
        let time = Duration::from_millis(if bytes_per_second > 10_000_000 { 200 } else { 1000 });
        let sent = run(&mut senders, rate, time, late, &mut random);
        let beyond = beyond(&sent, bytes_per_second);
        assert!(beyond <= rate.burst() as f64 + 1.0, "seed {seed}: {beyond} {bytes_per_second}");
    }
}

#[test]
fn nearly_all_of_the_rate_is_used_when_it_is_wanted() {
    for bytes_per_second in &RATES[..5] {
        let bytes_per_second = *bytes_per_second;
        for (seed, (greedy, modest, stalls)) in
            [(1, 0, 0), (2, 0, 0), (50, 0, 0), (1, 20, 0), (3, 60, 0), (4, 2, 30), (1, 0, 30)]
                .into_iter()
                .enumerate()
        {
            let mut random = Random(seed as u64);
            let mut senders: Vec<Sender> =
                (0..greedy).map(|_| Sender { stalls, ..Sender::greedy(16_384) }).collect();
            // They want something now and then, less than their part.
            senders.extend((0..modest).map(|_| Sender {
                want: 1 + bytes_per_second as usize / 20_000,
                pause: Duration::from_millis(100),
                ..Sender::default()
            }));
            // Who stalls half the time cannot use much alone.
            if stalls > 0 {
                senders.push(Sender::greedy(16_384));
            }
            let time = match bytes_per_second {
                ..1000 => Duration::from_mins(1),
                1000..10_000_000 => Duration::from_secs(5),
                _ => Duration::from_millis(500),
            };
            let sent = run(&mut senders, rate(bytes_per_second), time, Duration::from_millis(8), &mut random);
            let sum: u64 = sent.iter().map(|(_, bytes)| bytes).sum();
            let share = sum as f64 / (bytes_per_second as f64 * time.as_secs_f64());
            assert!(share >= 0.95, "seed {seed}: {share} of {bytes_per_second} by {greedy} and {modest}");
        }
    }
}

#[test]
fn who_wants_all_gets_an_even_part() {
    for bytes_per_second in [10_000, 1_250_000, 125_000_000] {
        for many in [2, 3, 10, 40] {
            let mut random = Random(many);
            let mut senders: Vec<Sender> =
                (0..many).map(|n| Sender::greedy(if n % 2 == 0 { 16_384 } else { 4096 })).collect();
            let time = Duration::from_secs(match bytes_per_second {
                ..100_000 => 100,
                100_000..10_000_000 => 10,
                _ => 2,
            });
            run(&mut senders, rate(bytes_per_second), time, Duration::from_millis(5), &mut random);
            let even = senders.iter().map(|sender| sender.sent).sum::<u64>() / many;
            for sender in &senders {
                let part = sender.sent as f64 / even as f64;
                assert!((0.85..=1.15).contains(&part), "{part} of {even} at {bytes_per_second} by {many}");
            }
        }
    }
}

#[test]
fn a_new_rate_holds_from_now_on() {
    let (slow, fast) = (rate(10_000), rate(1_000_000));
    let (bucket, mut share) = (Bucket::default(), Share::default());
    let mut now = Duration::from_secs(9);
    let mut send = |rate: Rate, time: Duration| {
        let (end, mut sum) = (now + time, 0);
        while now < end {
            match bucket.take(&mut share, 16_384, rate, now) {
                Ok(bytes) => sum += bytes,
                Err(wait) => now += wait,
            }
        }
        sum as f64 / time.as_secs_f64()
    };
    send(slow, Duration::from_secs(3));
    for (rate, expected) in [(slow, 10_000.0), (fast, 1_000_000.0), (slow, 10_000.0)] {
        let measured: f64 = send(rate, Duration::from_secs(10));
        assert!((measured / expected - 1.0).abs() < 0.05, "{measured} instead of {expected}");
    }
}

#[test]
fn workers_share_without_losing_count() {
    let bytes_per_second = 1_000_000;
    let (bucket, rate) = (Bucket::default(), rate(bytes_per_second));
    let clock = std::sync::atomic::AtomicU64::new(1_000_000);
    let sums: Vec<usize> = std::thread::scope(|scope| {
        let work = || {
            let (mut share, mut sum) = (Share::default(), 0);
            // A clock that every question moves on by a microsecond: 2 s in all.
            loop {
                let now = clock.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if now >= 3_000_000 {
                    return sum;
                }
                sum += bucket.take(&mut share, 1500, rate, Duration::from_micros(now)).unwrap_or(0);
            }
        };
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let sum = sums.iter().sum::<usize>() as f64;
    let most = 2.0 * bytes_per_second as f64 + rate.burst() as f64;
    assert!(sum <= most && sum >= 0.95 * most, "{sums:?}");
}
