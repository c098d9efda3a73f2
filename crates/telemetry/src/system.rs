//! What the kernel says of the machine and of this process, from `/proc` (proc(5)).
//!
//! What cannot be read counts as 0: these numbers inform, nothing depends on them. Reading blocks for microseconds.

use std::{fs, path::Path, time::Duration};

use crate::observation::{Interface, System};

/// `USER_HZ` of Linux: what CPU times in `/proc` are counted in.
const TICKS_PER_SECOND: u64 = 100;

/// Reads `/proc`, remembering CPU times between two readings.
#[derive(Debug, Default)]
pub struct SystemReader {
    last: Option<CpuTimes>,
}

/// Ticks of all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CpuTimes {
    user: u64,
    system: u64,
    idle: u64,
}

impl SystemReader {
    /// The machine now; percentages are of the time since the last reading.
    pub fn read(&mut self) -> System {
        let proc = Path::new("/proc");
        let text = |name: &str| fs::read_to_string(proc.join(name)).unwrap_or_default();
        let memory = text("meminfo");
        let open = fs::read_dir(proc.join("self/fd")).map_or(0, |entries| entries.count() as u64);
        let times = cpu_times(&text("stat"));
        let (cpu_user, cpu_system, cpu_idle) = percentages(self.last.replace(times), times);
        System {
            descriptors_free: most_descriptors(&text("self/limits")).saturating_sub(open),
            descriptors_open: open,
            resident: kilobytes(&text("self/status"), "VmRSS"),
            cpu: own_time(&text("self/stat")),
            memory_total: kilobytes(&memory, "MemTotal"),
            memory_free: kilobytes(&memory, "MemAvailable"),
            memory_buffered: kilobytes(&memory, "Buffers") + kilobytes(&memory, "Cached"),
            swap_total: kilobytes(&memory, "SwapTotal"),
            swap_used: kilobytes(&memory, "SwapTotal").saturating_sub(kilobytes(&memory, "SwapFree")),
            cpu_user,
            cpu_system,
            cpu_idle,
        }
    }
}

/// Most interfaces that are told of; a machine of many pods has one for each.
const MAX_INTERFACES: usize = 1024;

/// The network interfaces of this machine, or of this pod.
pub fn interfaces() -> Vec<Interface> {
    read_interfaces(&fs::read_to_string("/proc/net/dev").unwrap_or_default())
}

/// Two lines of headings, then `name: bytes packets errs drop fifo frame compressed multicast` and the same for what
/// was sent, where the sixth number is that of collisions.
fn read_interfaces(dev: &str) -> Vec<Interface> {
    let lines = dev.lines().filter_map(|line| line.split_once(':'));
    let interface = |(name, numbers): (&str, &str)| {
        let numbers: Vec<u64> = numbers.split_whitespace().map_while(|number| number.parse().ok()).collect();
        let &[
            rx_bytes,
            rx_packets,
            rx_errors,
            _,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            _,
            _,
            collisions,
            ..,
        ] = numbers.as_slice()
        else {
            return None;
        };
        let name = name.trim().into();
        Some(Interface { name, rx_bytes, rx_packets, rx_errors, tx_bytes, tx_packets, tx_errors, collisions })
    };
    lines.filter_map(interface).take(MAX_INTERFACES).collect()
}

/// `Name:   123 kB` as bytes.
fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The soft limit of open files; without limit as much as there can be.
fn most_descriptors(limits: &str) -> u64 {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    match line.and_then(|rest| rest.split_whitespace().next()) {
        Some("unlimited") => u64::from(u32::MAX),
        Some(number) => number.parse().unwrap_or(0),
        None => 0,
    }
}

/// The line `cpu  user nice system idle iowait irq softirq steal …`.
fn cpu_times(stat: &str) -> CpuTimes {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let mut ticks = line.split_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
    let mut next = || ticks.next().unwrap_or(0);
    let (user, nice, system, idle, wait, irq, soft, steal) =
        (next(), next(), next(), next(), next(), next(), next(), next());
    CpuTimes { user: user + nice, system: system + irq + soft + steal, idle: idle + wait }
}

/// User, system and idle percent between two readings; the mean since boot at the first.
fn percentages(before: Option<CpuTimes>, now: CpuTimes) -> (u64, u64, u64) {
    let before = before.unwrap_or_default();
    let (user, system, idle) = (
        now.user.saturating_sub(before.user),
        now.system.saturating_sub(before.system),
        now.idle.saturating_sub(before.idle),
    );
    let all = user + system + idle;
    let percent = |part: u64| (part * 100).checked_div(all).unwrap_or(0);
    (percent(user), percent(system), percent(idle))
}

/// User and system time of this process: fields 14 and 15 of `/proc/self/stat`, counted behind the name in brackets.
fn own_time(stat: &str) -> Duration {
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks = |n: usize| behind.split_whitespace().nth(n).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 1000 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_kernel() {
        let memory = "MemTotal:       16314532 kB\nMemFree:         1 kB\nMemAvailable:    8000 kB\n";
        assert_eq!(kilobytes(memory, "MemTotal"), 16_314_532 * 1024);
        assert_eq!(kilobytes(memory, "MemAvailable"), 8000 * 1024);
        assert_eq!(kilobytes(memory, "Mem"), 0);
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(most_descriptors(limits), 1024);
        assert_eq!(most_descriptors("Max open files   unlimited unlimited files"), u64::from(u32::MAX));
        let times = cpu_times("cpu  10 5 20 100 7 1 2 0 0 0\ncpu0 1 1 1 1\n");
        assert_eq!(times, CpuTimes { user: 15, system: 23, idle: 107 });
        let later = CpuTimes { user: 25, system: 33, idle: 187 };
        assert_eq!(percentages(Some(times), later), (10, 10, 80));
        assert_eq!(percentages(Some(later), later), (0, 0, 0));
        let stat = "7 (a) name) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1 1 1";
        assert_eq!(own_time(stat), Duration::from_secs(3));
        assert_eq!(own_time(""), Duration::ZERO);
    }

    #[test]
    fn interfaces_of_the_kernel() {
        let dev = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  bad: 1 2\n";
        let expected = Interface {
            name: "lo".into(),
            rx_bytes: 1,
            rx_packets: 2,
            rx_errors: 3,
            tx_bytes: 9,
            tx_packets: 10,
            tx_errors: 11,
            collisions: 14,
        };
        assert_eq!(read_interfaces(dev), [expected]);
    }

    #[test]
    fn this_machine() {
        let system = SystemReader::default().read();
        assert!(system.memory_total > 0 && system.descriptors_open > 0 && system.resident > 0, "{system:?}");
    }
}
