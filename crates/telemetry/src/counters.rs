//! Counters: written by data workers without a locked instruction, summed when somebody reads.
//!
//! Every counted thing (a virtual server, a pool) owns a [`Sharded`] table with one cell per data worker, each on
//! its own cache lines. A worker only ever writes its own cell, so a count is an ordinary load, add and store;
//! a reader sums the cells and may miss the last few events, never tear or lose one.

use std::{
    iter::Sum,
    ops::Add,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// One number, written by the single thread that owns it and read by any.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`. For the owning worker only: two writers would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes `n` back from a count of things that exist now, never below zero. For the owning worker only.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).saturating_sub(n), Relaxed);
    }

    /// Adds `n` with a locked instruction, for a cell that several threads write (see [`Sharded::common`]).
    pub fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The number as this thread sees it.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A `T` per data worker, plus one that everybody else shares.
#[derive(Debug)]
pub struct Sharded<T> {
    cells: Box<[Padded<T>]>,
    common: Padded<T>,
}

/// Two cache lines: the processor fetches lines in pairs, so one line of distance would still be shared.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T: Default> Sharded<T> {
    /// A table for workers `0..workers`.
    pub fn new(workers: usize) -> Self {
        Self { cells: (0..workers).map(|_| Padded::default()).collect(), common: Padded::default() }
    }
}

impl<T> Sharded<T> {
    /// The cell of worker `worker` (its index). An index the table was not made for gets the common cell, where
    /// counts stay near enough rather than stop the process.
    #[inline]
    pub fn shard(&self, worker: usize) -> &T {
        match self.cells.get(worker) {
            Some(cell) => &cell.0,
            None => &self.common.0,
        }
    }

    /// The cell for threads that are no data worker. Several may write it: use [`Count::add_shared`].
    pub fn common(&self) -> &T {
        &self.common.0
    }

    /// Every cell, the common one last.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.cells.iter().chain(std::iter::once(&self.common)).map(|cell| &cell.0)
    }
}

/// Defines a struct of [`Count`]s, the struct of plain numbers they sum up to, and the sum.
macro_rules! counters {
    (
        $(#[$about:meta])*
        $cell:ident => $totals:ident { $( $(#[$what:meta])* $field:ident, )+ }
    ) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $cell { $( $(#[$what])* pub $field: Count, )+ }

        #[doc = concat!("Sums over every worker's [`", stringify!($cell), "`].")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $totals { $( $(#[$what])* pub $field: u64, )+ }

        impl $cell {
            /// The numbers of this cell alone.
            pub fn read(&self) -> $totals {
                $totals { $( $field: self.$field.get(), )+ }
            }
        }

        impl $totals {
            /// Every number with its name, in the order of declaration.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [ $( (stringify!($field), self.$field), )+ ].into_iter()
            }
        }

        impl Add for $totals {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self { $( $field: self.$field.wrapping_add(other.$field), )+ }
            }
        }

        impl Sum for $totals {
            fn sum<I: Iterator<Item = Self>>(cells: I) -> Self {
                cells.fold(Self::default(), Add::add)
            }
        }

        impl Sharded<$cell> {
            /// Sums over the cells.
            pub fn totals(&self) -> $totals {
                self.iter().map($cell::read).sum()
            }
        }
    };
}

counters! {
    /// What one worker counted for one virtual server.
    VirtualServerCounters => VirtualServerTotals {
        /// Client connections accepted and admitted.
        connections,
        /// Client connections open now.
        connections_current,
        /// Connections refused because `max_concurrent_connections` was reached.
        connections_over_limit,
        /// Connections closed without an answer: pool `discard`, or nothing to serve them.
        discarded,
        /// Request heads read completely and accepted.
        requests,
        /// Bytes read from clients, before decryption is taken off.
        bytes_in,
        /// Bytes written to clients.
        bytes_out,
        /// Final and interim responses passed on or made here, by class.
        responses_1xx,
        /// Responses 200–299.
        responses_2xx,
        /// Responses 300–399.
        responses_3xx,
        /// Responses 400–499.
        responses_4xx,
        /// Responses 500–599.
        responses_5xx,
        /// 4xx responses made here because a request was malformed, ambiguous or over a limit.
        client_errors,
        /// 5xx responses made here because no node answered as it should.
        node_errors,
        /// Connections ended by one of the client-side timers: head, body, idle or transaction.
        timeouts,
        /// TLS handshakes completed, resumed ones included.
        tls_handshakes,
        /// TLS handshakes that resumed an earlier session.
        tls_resumed,
        /// TLS handshakes that failed.
        tls_failures,
        /// Connections dropped for a missing or malformed PROXY header.
        proxy_header_failures,
        /// Connections switched to another protocol by a 101 response.
        upgrades,
        /// Access log lines dropped because the writer could not keep up.
        log_lines_dropped,
        /// Requests whose client was gone before it had its answer.
        clients_gone,
        /// Connections reset (`tcp.close_with_rst`) although the client had not taken all bytes in time.
        resets_undelivered,
    }
}

impl VirtualServerCounters {
    /// Counts a response by the class of its status; other numbers count nothing.
    #[inline]
    pub fn responded(&self, status: u16) {
        match status {
            100..=199 => self.responses_1xx.add(1),
            200..=299 => self.responses_2xx.add(1),
            300..=399 => self.responses_3xx.add(1),
            400..=499 => self.responses_4xx.add(1),
            500..=599 => self.responses_5xx.add(1),
            _ => {}
        }
    }
}

counters! {
    /// What one worker counted for one pool.
    PoolCounters => PoolTotals {
        /// Requests for which this pool was asked for a node.
        requests,
        /// New connections opened to nodes.
        connections,
        /// Requests sent on an idle connection to a node.
        reused,
        /// Connections to nodes that failed to open.
        connect_failures,
        /// Idle connections that turned out to be closed by the node when a request was sent.
        stale,
        /// Requests sent again to another node after a failure.
        retries,
        /// Requests sent again to another node after it answered 503.
        retries_503,
        /// Requests that waited in the queue for a node below its limits.
        queued,
        /// Requests that left the queue because `queue_timeout` passed.
        queue_timeouts,
        /// Requests turned away because the queue was full.
        queue_full,
        /// Requests for which no node could be chosen.
        no_node,
        /// Requests answered by the failure pool instead.
        failed_over,
        /// Sessions moved to another node because theirs was gone or failed.
        sessions_reassigned,
        /// Bytes written to nodes.
        bytes_in,
        /// Bytes read from nodes.
        bytes_out,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn workers_count_apart_and_a_reader_sums() {
        let counters = Arc::new(Sharded::<VirtualServerCounters>::new(4));
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let counters = Arc::clone(&counters);
                thread::spawn(move || {
                    let cell = counters.shard(worker);
                    for _ in 0..10_000 {
                        cell.requests.add(1);
                        cell.responded(if worker == 0 { 404 } else { 200 });
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        let totals = counters.totals();
        assert_eq!((totals.requests, totals.responses_2xx, totals.responses_4xx), (40_000, 30_000, 10_000));
    }

    #[test]
    fn a_gauge_goes_up_and_down_but_not_below_zero() {
        let counters = Sharded::<VirtualServerCounters>::new(1);
        let current = &counters.shard(0).connections_current;
        current.add(2);
        current.sub(1);
        assert_eq!(counters.totals().connections_current, 1);
        current.sub(5);
        assert_eq!(counters.totals().connections_current, 0);
    }

    #[test]
    fn an_unknown_worker_counts_in_the_common_cell() {
        let counters = Sharded::<PoolCounters>::new(1);
        counters.shard(7).retries.add_shared(1);
        counters.common().retries.add_shared(1);
        counters.shard(0).retries.add(1);
        assert_eq!(counters.common().retries.get(), 2);
        assert_eq!(counters.totals().retries, 3);
        assert_eq!(counters.iter().count(), 2);
    }

    #[test]
    fn every_class_of_status_has_its_count() {
        let cell = VirtualServerCounters::default();
        for status in [100, 199, 200, 304, 404, 499, 500, 599, 600, 99] {
            cell.responded(status);
        }
        let read = cell.read();
        let classes = [
            read.responses_1xx,
            read.responses_2xx,
            read.responses_3xx,
            read.responses_4xx,
            read.responses_5xx,
        ];
        assert_eq!(classes, [2, 1, 1, 2, 2]);
    }

    #[test]
    fn totals_name_their_numbers() {
        let cell = PoolCounters::default();
        cell.stale.add(3);
        let named: Vec<_> = cell.read().named().filter(|(_, value)| *value != 0).collect();
        assert_eq!(named, [("stale", 3)]);
    }

    #[test]
    fn cells_do_not_share_cache_lines() {
        let counters = Sharded::<PoolCounters>::new(2);
        let (one, two) = (std::ptr::from_ref(counters.shard(0)), std::ptr::from_ref(counters.shard(1)));
        assert!(one.addr().abs_diff(two.addr()) >= 128);
        assert_eq!(one.addr() % 128, 0);
    }
}
