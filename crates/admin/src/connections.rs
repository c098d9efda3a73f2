//! Which connections there are, and which one goes when another wants its place.
//!
//! A connection is a stranger until the first request on it that was let in. Strangers that say nothing are what
//! anybody can have, so an address has a bounded number of them, they go when others need the place, and they are
//! not waited for as long as those who have come in.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::throttle::host;

/// Connections at a time.
pub(crate) const MAX_CONNECTIONS: usize = 256;
/// Silent strangers of one host at a time.
pub(crate) const MAX_SILENT_PER_HOST: usize = 32;
/// A stranger is left alone for this long: TLS handshake and first request of many who begin together take time.
const GRACE: Duration = Duration::from_secs(1);
/// Longest silence of a stranger, TLS handshake included.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(15);
/// How often a stranger is looked at whose request was being answered when its time was over.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is known of whoever is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// Nothing: no request was let in yet, and none is being answered.
    Silent,
    /// A request is being answered, the first.
    Asking,
    /// A request was let in.
    Welcome,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entrance {
    Free,
    /// This one goes.
    InsteadOf(u64),
    /// Everybody who is here may stay for now.
    Full,
}

/// Every connection.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    table: Mutex<Table>,
    /// A place has become free.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// In the order in which they came.
    connections: BTreeMap<u64, Connection>,
    /// Connections that went so that others could come.
    displaced: u64,
}

#[derive(Debug)]
struct Connection {
    host: IpAddr,
    guest: Guest,
    since: Instant,
    go: Arc<Notify>,
}

impl Table {
    /// Who of `host` or of all makes room for one more of `host`: the silent stranger that came first.
    fn entrance(&self, host: IpAddr, now: Instant) -> Entrance {
        let gives = |other: &Connection| {
            other.guest == Guest::Silent && now.saturating_duration_since(other.since) >= GRACE
        };
        let silent = || self.connections.iter().filter(|(_, other)| gives(other));
        let mut of_host = silent().filter(|(_, other)| other.host == host);
        let first_of_host = of_host.next();
        if let Some((number, _)) = first_of_host
            && of_host.count() + 1 >= MAX_SILENT_PER_HOST
        {
            return Entrance::InsteadOf(*number);
        }
        if self.connections.len() < MAX_CONNECTIONS {
            return Entrance::Free;
        }
        // The host that has most of them gives one.
        let mut hosts: BTreeMap<IpAddr, (usize, u64)> = BTreeMap::new();
        for (number, other) in silent() {
            hosts.entry(other.host).or_insert((0, *number)).0 += 1;
        }
        let most = hosts.into_values().max_by_key(|(count, _)| *count);
        most.map_or(Entrance::Full, |(_, number)| Entrance::InsteadOf(number))
    }

    fn enter(&mut self, host: IpAddr, now: Instant) -> Option<(u64, Arc<Notify>)> {
        match self.entrance(host, now) {
            Entrance::Free => {}
            Entrance::Full => return None,
            Entrance::InsteadOf(number) => {
                if let Some(gone) = self.connections.remove(&number) {
                    gone.go.notify_one();
                }
                self.displaced += 1;
                if self.displaced.is_power_of_two() {
                    tracing::warn!(
                        displaced = self.displaced,
                        "REST: connections on which nobody logs in are closed to make room"
                    );
                }
            }
        }
        let (number, go) = (self.next, Arc::new(Notify::new()));
        self.next += 1;
        let connection = Connection { host, guest: Guest::Silent, since: now, go: Arc::clone(&go) };
        self.connections.insert(number, connection);
        Some((number, go))
    }
}

impl Connections {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from `address`; waits while everybody who is here may stay.
    pub(crate) async fn enter(self: &Arc<Self>, address: IpAddr) -> Place {
        loop {
            let mut freed = pin!(self.freed.notified());
            // From here on: what becomes free while we look is not missed.
            freed.as_mut().enable();
            if let Some((number, go)) = self.table().enter(host(address), Instant::now()) {
                return Place { connections: Arc::clone(self), number, go };
            }
            // Nobody tells when the grace of a stranger is over.
            drop(tokio::time::timeout(GRACE, freed).await);
        }
    }
}

/// The place of one connection; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    number: u64,
    go: Arc<Notify>,
}

impl Place {
    /// A request has come.
    pub(crate) fn asks(&self) {
        self.becomes(|guest| if guest == Guest::Welcome { guest } else { Guest::Asking });
    }

    /// It was let in.
    pub(crate) fn welcome(&self) {
        self.becomes(|_| Guest::Welcome);
    }

    /// It was not.
    pub(crate) fn refused(&self) {
        self.becomes(|_| Guest::Silent);
    }

    fn becomes(&self, change: impl FnOnce(Guest) -> Guest) {
        if let Some(connection) = self.connections.table().connections.get_mut(&self.number) {
            connection.guest = change(connection.guest);
        }
    }

    /// Comes when the connection is to end: its place is another's, or it is a stranger that has been silent for too
    /// long.
    pub(crate) async fn is_to_go(&self) {
        let since = Instant::now();
        let silence = async {
            loop {
                let guest = self.connections.table().connections.get(&self.number).map(|other| other.guest);
                match guest.map(|guest| patience(guest, since.elapsed())) {
                    None | Some(Patience::Over) => return,
                    Some(Patience::For(time)) => tokio::time::sleep(time).await,
                    Some(Patience::Endless) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = self.go.notified() => {}
            () = silence => {}
        }
    }
}

/// How long a connection is still waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Over,
    /// Then it is to be asked again.
    For(Duration),
    Endless,
}

/// How long a connection is waited for that is this old.
fn patience(guest: Guest, age: Duration) -> Patience {
    match (guest, SILENCE_LIMIT.checked_sub(age).filter(|left| !left.is_zero())) {
        (Guest::Welcome, _) => Patience::Endless,
        (_, Some(left)) => Patience::For(left),
        (Guest::Silent, None) => Patience::Over,
        (Guest::Asking, None) => Patience::For(LOOK_AGAIN),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().connections.remove(&self.number);
        self.connections.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn become_(table: &mut Table, number: u64, guest: Guest) {
        table.connections.get_mut(&number).unwrap().guest = guest;
    }

    #[test]
    fn silent_strangers_of_a_host_make_room_for_its_next_connection() {
        let mut table = Table::default();
        let start = Instant::now();
        let later = start + GRACE;
        for _ in 0..MAX_SILENT_PER_HOST {
            table.enter(of(1), start).unwrap();
        }
        // They have some time to say what they want.
        assert_eq!(table.entrance(of(1), start), Entrance::Free);
        assert_eq!(table.entrance(of(1), later), Entrance::InsteadOf(0));
        assert_eq!(table.entrance(of(2), later), Entrance::Free);
        // Those who ask or have come in stay, and do not count.
        become_(&mut table, 0, Guest::Asking);
        assert_eq!(table.entrance(of(1), later), Entrance::Free);
        table.enter(of(1), start).unwrap();
        assert_eq!(table.entrance(of(1), later), Entrance::InsteadOf(1));
        become_(&mut table, 1, Guest::Welcome);
        assert_eq!(table.entrance(of(1), later), Entrance::Free);
    }

    #[test]
    fn when_all_places_are_taken_the_host_with_most_strangers_gives_one() {
        let mut table = Table::default();
        let start = Instant::now();
        let later = start + GRACE;
        for number in 0..MAX_CONNECTIONS {
            let host = if number < 2 { of(200) } else { of((number / 20) as u8) };
            table.enter(host, start).unwrap();
        }
        assert_eq!(table.connections.len(), MAX_CONNECTIONS);
        assert_eq!(table.entrance(of(201), start), Entrance::Full);
        let Entrance::InsteadOf(first) = table.entrance(of(201), later) else { panic!() };
        assert!(first >= 2, "{first} has fewer");
        table.enter(of(201), later).unwrap();
        assert_eq!((table.connections.len(), table.displaced), (MAX_CONNECTIONS, 1));
        let all: Vec<u64> = table.connections.keys().copied().collect();
        for number in all {
            become_(&mut table, number, Guest::Welcome);
        }
        assert_eq!(table.entrance(of(201), later), Entrance::Full);
        assert!(table.enter(of(201), later).is_none());
    }

    #[test]
    fn strangers_are_not_waited_for_and_those_who_came_in_are() {
        let second = Duration::from_secs(1);
        for (guest, age, expected) in [
            (Guest::Silent, Duration::ZERO, Patience::For(SILENCE_LIMIT)),
            (Guest::Silent, SILENCE_LIMIT.saturating_sub(second), Patience::For(second)),
            (Guest::Silent, SILENCE_LIMIT, Patience::Over),
            (Guest::Silent, 2 * SILENCE_LIMIT, Patience::Over),
            (Guest::Asking, SILENCE_LIMIT, Patience::For(LOOK_AGAIN)),
            (Guest::Welcome, Duration::ZERO, Patience::Endless),
            (Guest::Welcome, 2 * SILENCE_LIMIT, Patience::Endless),
        ] {
            assert_eq!(patience(guest, age), expected, "{guest:?} {age:?}");
        }
    }

    #[tokio::test]
    async fn who_came_in_stays_welcome_until_refused() {
        let connections = Arc::new(Connections::default());
        let place = connections.enter(of(1)).await;
        let guest = || connections.table().connections[&place.number].guest;
        assert_eq!(guest(), Guest::Silent);
        place.asks();
        assert_eq!(guest(), Guest::Asking);
        place.welcome();
        place.asks();
        assert_eq!(guest(), Guest::Welcome);
        place.refused();
        assert_eq!(guest(), Guest::Silent);
        drop(place);
        assert!(connections.table().connections.is_empty());
    }

    #[tokio::test]
    async fn a_place_that_is_given_to_another_is_told_and_one_that_becomes_free_is_found() {
        let connections = Arc::new(Connections::default());
        let mut places = Vec::new();
        for _ in 0..MAX_SILENT_PER_HOST {
            places.push(connections.enter(of(1)).await);
        }
        for connection in connections.table().connections.values_mut() {
            connection.since = connection.since.checked_sub(GRACE).unwrap();
        }
        let next = connections.enter(of(1)).await;
        places[0].is_to_go().await;
        // The number of the one that went is not that of the one that came.
        drop(places.remove(0));
        assert_eq!(connections.table().connections.len(), MAX_SILENT_PER_HOST);
        next.welcome();
        places.iter().for_each(Place::welcome);
        while connections.table().connections.len() < MAX_CONNECTIONS {
            let place = connections.enter(of(1)).await;
            place.welcome();
            places.push(place);
        }
        let waiting = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.enter(of(2)).await }
        });
        tokio::task::yield_now().await;
        drop(next);
        drop(waiting.await.unwrap());
    }
}
