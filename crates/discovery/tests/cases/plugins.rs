//! P: plugins, run as real processes.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tidegate_discovery::{Policy, Source, SourceState};
use tidegate_model::pool::ServiceDiscovery;

use crate::support::{Server, World, Zone, dns, source, stored, until};

const ONE: &str = r#"{"version":1,"code":200,"nodes":[{"ip":"192.0.2.1","port":80}]}"#;
const TWO: &str =
    r#"{"version":1,"code":200,"nodes":[{"ip":"192.0.2.1","port":80},{"ip":"192.0.2.2","port":80}]}"#;

/// A program that prints what the file `answer` of its argument holds.
const CAT: &str = "#!/bin/sh\ncat \"$1/answer\" 2>/dev/null\n[ -f \"$1/status\" ] && exit \"$(cat \"$1/status\")\"\nexit 0\n";

fn answer(directory: &Path, text: &str) {
    let beside = directory.join("answer.new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, directory.join("answer")).unwrap();
}

fn cat(world: &World) -> Source {
    source("cat.sh", &format!("'{}'", world.path().display()))
}

/// A world in which the pool has 192.0.2.1 by a plugin that prints the answer file.
async fn settled(change: impl FnOnce(&mut tidegate_discovery::DiscoveryOptions)) -> World {
    let mut world = World::new(change);
    answer(world.path(), ONE);
    world.follow_with(&[("p", cat(&world))], &[("cat.sh", CAT)]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    world
}

/// The plugin answers `text`; the pool keeps its node, and the error says `part`.
async fn keeps(world: &mut World, text: &str, state: SourceState, part: &str) {
    answer(world.path(), text);
    world
        .status_is("p", part, |status| {
            status.state == state && status.last_error.as_ref().is_some_and(|error| error.contains(part))
        })
        .await;
    world.drain();
    assert_eq!(world.changes, 1, "{text}");
    assert_eq!(world.set("p").unwrap().len(), 1);
}

fn script(body: &str) -> String {
    format!("#!/bin/sh\n{body}\n")
}

#[tokio::test]
async fn p1_p2_p3_nodes_and_draining() {
    let two = |draining: bool| {
        format!(
            r#"{{"version":1,"code":200,"nodes":[{{"ip":"192.0.2.0","port":80,"draining":false}},{{"ip":"192.0.2.1","port":81,"draining":{draining}}}]}}"#
        )
    };
    let mut world = World::new(|_| {});
    answer(world.path(), &two(true));
    world.follow_with(&[("p", cat(&world))], &[("cat.sh", CAT)]);
    world.nodes("p", &["192.0.2.0:80", "192.0.2.1:81"]).await;
    let drains: Vec<bool> = world.set("p").unwrap().nodes.values().map(|node| node.draining).collect();
    assert_eq!(drains, [false, true]);
    world.runs("p", 3).await;
    world.drain();
    assert_eq!(world.changes, 1);
    answer(world.path(), &two(false));
    world.until("p", "active", |set| set.nodes.values().all(|node| !node.draining)).await;
    assert_eq!(world.changes, 2);
}

#[tokio::test]
async fn p4_p5_p9_p10_p12_p25_what_keeps_the_set() {
    let mut world = settled(|_| {}).await;
    let stale = SourceState::Stale;
    keeps(&mut world, r#"{"version":1,"code":200}"#, stale.clone(), "without \"nodes\"").await;
    keeps(&mut world, "oops", stale.clone(), "not one JSON document").await;
    keeps(&mut world, &format!("{ONE}{ONE}"), stale.clone(), "not one JSON document").await;
    keeps(&mut world, "", stale.clone(), "nothing on standard output").await;
    keeps(&mut world, &ONE.replace("192.0.2.1", "null"), stale.clone(), "refused whole").await;
    keeps(&mut world, &ONE.replace(":1,", ":2,"), stale.clone(), "version").await;
    keeps(&mut world, r#"{"version":1,"code":202}"#, stale.clone(), "code 202").await;
    std::fs::write(world.path().join("status"), "1").unwrap();
    keeps(&mut world, ONE, stale.clone(), "exit status 1").await;
    keeps(&mut world, r#"{"version":1,"code":500,"error":"no route"}"#, stale, "no route").await;
    keeps(&mut world, r#"{"version":1,"code":400,"error":"bad -s"}"#, SourceState::ConfigError, "bad -s")
        .await;
    assert!(world.status("p").alarm);
}

#[tokio::test]
async fn p6_another_copy_is_tried_again_soon() {
    let mut world = World::new(|options| {
        options.timing.plugin_interval = Duration::from_mins(1);
        options.timing.plugin_second = Duration::from_millis(50);
    });
    answer(world.path(), r#"{"version":1,"code":400,"error":"Another copy of this script is running"}"#);
    world.follow_with(&[("p", cat(&world))], &[("cat.sh", CAT)]);
    let status = world.status_is("p", "busy", |status| status.last_error.is_some()).await;
    assert_ne!(status.state, SourceState::ConfigError);
    assert!(!status.alarm);
    answer(world.path(), ONE);
    world.nodes("p", &["192.0.2.1:80"]).await;
}

#[tokio::test]
async fn p7_p8_empty_after_confirmation() {
    for text in [r#"{"version":1,"code":204,"error":"none"}"#, r#"{"version":1,"code":200,"nodes":[]}"#] {
        let mut world = settled(|_| {}).await;
        answer(world.path(), text);
        world.status_is("p", "suspect", |status| matches!(status.state, SourceState::Suspect { .. })).await;
        assert_eq!(world.set("p").unwrap().len(), 1);
        world.nodes("p", &[]).await;
        assert!(world.status("p").counters.empty >= 3);
    }
}

#[tokio::test]
async fn p12_lenient_drops_bad_nodes() {
    let lenient = Policy { lenient_plugins: true, ..Policy::default() };
    let mut world = settled(|options| options.policy = lenient).await;
    answer(world.path(), &TWO.replacen("192.0.2.1", "null", 1));
    world.nodes("p", &["192.0.2.1:80", "192.0.2.2:80"]).await;
    assert_eq!(world.status("p").state, SourceState::Partial);
}

fn timed(plugin: &str, arguments: &str, interval: Option<Duration>, timeout: Option<Duration>) -> Source {
    Source::parse(&ServiceDiscovery { plugin: plugin.into(), arguments: arguments.into(), interval, timeout })
        .unwrap()
}

fn alive(pid: &str) -> bool {
    // A zombie has ended.
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

#[tokio::test]
async fn p13_a_plugin_that_hangs() {
    let world = World::new(|options| options.timing.plugin_interval = Duration::from_mins(1));
    let name = format!("hang-{}.sh", std::process::id());
    // It ignores the request to end, and so does its child; it holds a lock like the public scripts.
    let body = script(
        "trap '' TERM\necho $$ > \"$1/pid\"\ntouch \"/tmp/$(basename \"$0\")-svc-ns-$$\"\n\
         sh -c 'trap \"\" TERM; echo $$ > \"$1/child\"; sleep 100' x \"$1\" &\nsleep 100\nsleep 100",
    );
    let limit = Some(Duration::from_millis(300));
    let source = timed(&name, &format!("'{}'", world.path().display()), None, limit);
    world.follow_with(&[("p", source)], &[(&name, &body)]);
    let status = world.status_is("p", "timeout", |status| status.counters.plugin_timeouts == 1).await;
    assert!(world.error("p").contains("took longer than 300ms"), "{}", world.error("p"));
    assert_eq!(status.state, SourceState::Error);
    let pid = std::fs::read_to_string(world.path().join("pid")).unwrap();
    let child = std::fs::read_to_string(world.path().join("child")).unwrap();
    until(|| !alive(&pid) && !alive(&child), "the end of the group").await;
    assert!(!Path::new(&format!("/tmp/{name}-svc-ns-{}", pid.trim())).exists());
}

#[tokio::test]
async fn p14_no_timeout_means_the_safety_cap() {
    let world = World::new(|options| options.timing.plugin_safety_cap = Duration::from_millis(200));
    world.follow_with(&[("p", source("hang.sh", ""))], &[("hang.sh", &script("sleep 100"))]);
    world.status_is("p", "timeout", |status| status.counters.plugin_timeouts >= 1).await;
}

#[tokio::test]
async fn p15_too_much_output() {
    let mut world = World::new(|_| {});
    let loud = script("while :; do echo 0123456789012345678901234567890123456789; done");
    let noisy = script(&format!("head -c 3000000 /dev/zero >&2\necho '{ONE}'"));
    world.follow_with(
        &[("loud", source("loud.sh", "")), ("noisy", source("noisy.sh", ""))],
        &[("loud.sh", &loud), ("noisy.sh", &noisy)],
    );
    world.nodes("noisy", &["192.0.2.1:80"]).await;
    world.status_is("loud", "error", |status| status.last_error.is_some()).await;
    assert!(world.error("loud").contains("wrote more than"), "{}", world.error("loud"));
}

#[tokio::test]
async fn p16_a_grandchild_holds_the_output_open() {
    let mut world = World::new(|_| {});
    let body = script(&format!(
        "echo '{ONE}'\nsh -c 'echo $$ > \"$1/child\"; exec sleep 100' x \"$1\" &\nwhile [ ! -s \"$1/child\" ]; do :; done"
    ));
    let source = source("fork.sh", &format!("'{}'", world.path().display()));
    world.follow_with(&[("p", source)], &[("fork.sh", &body)]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    let child = std::fs::read_to_string(world.path().join("child")).unwrap();
    until(|| !alive(&child), "the end of the grandchild").await;
}

#[tokio::test]
async fn p17_p18_interval_override() {
    let mut world = World::new(|options| {
        options.timing.plugin_interval = Duration::from_mins(1);
        options.timing.plugin_second = Duration::from_millis(50);
    });
    answer(world.path(), &ONE.replace("\"code\"", "\"interval_override\":0,\"code\""));
    world.follow_with(&[("p", cat(&world))], &[("cat.sh", CAT)]);
    world.size("p", 1).await;
    // 0 is taken as 1 second, which is 50 ms here.
    world.runs("p", 2).await;
    answer(world.path(), &TWO.replace("\"code\"", "\"interval_override\":\"abc\",\"code\""));
    world.size("p", 2).await;
    let status = world.status_is("p", "warning", |status| status.warning.is_some()).await;
    assert!(status.warning.unwrap().contains("ignored"));
}

#[tokio::test]
async fn p19_p20_one_run_at_a_time_of_each_file() {
    let mut world = World::new(|_| {});
    // Fails as the public scripts do when another copy runs.
    let body = script(&format!(
        "if ! mkdir \"$1/lock\" 2>/dev/null; then echo '{{\"version\":1,\"code\":400,\"error\":\"collision\"}}'; exit 1; fi\n\
         sleep 0.05\nrmdir \"$1/lock\"\necho '{ONE}'"
    ));
    let path = world.path().display().to_string();
    let names: Vec<String> = (0..4).map(|n| format!("p{n}")).collect();
    let pools: Vec<_> =
        names.iter().map(|name| (name.as_str(), source("one.sh", &format!("'{path}' -p {name}")))).collect();
    world.follow_with(&pools, &[("one.sh", &body)]);
    for name in &names {
        world.size(name, 1).await;
    }
    world.runs("p0", 2).await;
    assert_eq!(world.discovery.counters().errors, 0);
}

#[tokio::test]
async fn p21_the_surroundings_that_public_plugins_expect() {
    let mut world = World::new(|_| {});
    let body = script(
        "{ pwd; echo \"$ZEUSHOME\"; echo \"$HOME\"; echo \"$KUBECACHEDIR\"; echo \"$0\"; echo \"$LANG $TZ\"; echo \"${CARGO:-clean}\";\n\
         cat \"$ZEUSHOME/zxtm/conf/extra/my-kubeconf\"; echo; \"$ZEUSHOME/zxtm/bin/replicate-config\" && echo replicated;\n\
         read -r line || echo no-input; ps -o pgid= -p $$ 2>/dev/null || echo $$; } > \"$1/seen\"\n\
         echo \"{\\\"version\\\":1,\\\"code\\\":200,\\\"nodes\\\":[{\\\"ip\\\":\\\"192.0.2.1\\\",\\\"port\\\":$3}]}\"",
    );
    let source = source("K8s-get-nodeport-ips.sh", &format!("'{}' -p 30080", world.path().display()));
    let sources = vec![tidegate_discovery::PoolSource { pool: "p".into(), source }];
    let plugins = [("K8s-get-nodeport-ips.sh".into(), std::sync::Arc::from(body.as_bytes()))].into();
    let extra = [("my-kubeconf".into(), std::sync::Arc::from(&b"kubeconf"[..]))].into();
    world.discovery.update(sources, &plugins, &extra);
    world.nodes("p", &["192.0.2.1:30080"]).await;
    let seen = std::fs::read_to_string(world.path().join("seen")).unwrap();
    let home = world.path().join("zeus").display().to_string();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(
        lines[..10],
        [
            format!("{home}/zxtm/internal/servicediscovery").as_str(),
            &home,
            &format!("{home}/zxtm/internal/servicediscovery"),
            &format!("{home}/zxtm/internal/servicediscovery/.kube"),
            &format!("{home}/zxtm/conf/servicediscovery/K8s-get-nodeport-ips.sh"),
            "C.UTF-8 UTC",
            "clean",
            "kubeconf",
            "replicated",
            "no-input",
        ]
    );
}

#[tokio::test]
async fn p22_a_long_run_disturbs_nothing() {
    let mut world = settled(|_| {}).await;
    let slow = script(&format!("sleep 0.4\necho '{TWO}'"));
    let sources = [("p", cat(&world)), ("slow", timed("slow.sh", "", Some(Duration::from_millis(50)), None))];
    world.follow_with(&sources, &[("cat.sh", CAT), ("slow.sh", &slow)]);
    let before = world.status("p").counters.complete;
    world.size("slow", 2).await;
    assert!(world.status("p").counters.complete > before);
}

#[tokio::test]
async fn p23_locks_of_killed_runs_are_removed() {
    let name = format!("locked-{}.sh", std::process::id());
    // A process that has ended: its number is free or at least not ours to be afraid of.
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    let pid = ended.id();
    ended.wait().unwrap();
    let stale = format!("/tmp/{name}-svc-ns-{pid}");
    let live = format!("/tmp/{name}-svc-ns-{}", std::process::id());
    std::fs::write(&stale, "").unwrap();
    std::fs::write(&live, "").unwrap();
    let mut world = World::new(|_| {});
    let body = script(&format!("[ -e '{stale}' ] && exit 1\necho '{ONE}'"));
    world.follow_with(&[("p", source(&name, ""))], &[(&name, &body)]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    assert!(!Path::new(&stale).exists() && Path::new(&live).exists());
    std::fs::remove_file(live).unwrap();
    // A run that is killed hard leaves nothing either.
    let body = script("touch \"/tmp/$(basename \"$0\")-svc-ns-$$\"\necho $$ > \"$1/pid\"\nkill -KILL $$");
    let source = source(&name, &format!("'{}'", world.path().display()));
    world.follow_with(&[("q", source)], &[(&name, &body)]);
    world.status_is("q", "killed", |status| status.last_error.is_some()).await;
    assert!(world.error("q").contains("signal 9"), "{}", world.error("q"));
    let pid = std::fs::read_to_string(world.path().join("pid")).unwrap();
    until(|| !Path::new(&format!("/tmp/{name}-svc-ns-{}", pid.trim())).exists(), "the lock's removal").await;
}

#[tokio::test]
async fn p24_programs_that_cannot_start() {
    let world = World::new(|_| {});
    world.follow_with(
        &[
            ("empty", source("empty.sh", "")),
            ("interpreter", source("interpreter.sh", "")),
            ("text", source("text.sh", "")),
            ("absent", source("absent.sh", "")),
        ],
        &[("empty.sh", ""), ("interpreter.sh", "#!/no/such/shell\n"), ("text.sh", "hello\n")],
    );
    for (pool, part) in
        [("empty", "empty"), ("interpreter", "interpreter"), ("text", "#!/bin/bash"), ("absent", "catalogue")]
    {
        world.status_is(pool, "error", |status| status.last_error.is_some()).await;
        assert!(world.error(pool).contains(part), "{}", world.error(pool));
    }
}

#[tokio::test]
async fn p24_a_program_replaced_while_it_runs() {
    let mut world = World::new(|options| options.timing.plugin_interval = Duration::from_mins(1));
    let source = source("p.sh", &format!("'{}'", world.path().display()));
    let old = script(&format!("touch \"$1/began\"\nsleep 0.3\necho '{ONE}'"));
    world.follow_with(&[("p", source.clone())], &[("p.sh", &old)]);
    let began = world.path().join("began");
    until(|| began.exists(), "the run").await;
    // The new program runs at once; the old one's result says nothing any more.
    world.follow_with(&[("p", source)], &[("p.sh", &script(&format!("echo '{TWO}'")))]);
    world.size("p", 2).await;
    assert_eq!(world.changes, 1);
}

#[tokio::test]
async fn p26_secrets_are_not_shown() {
    let world = World::new(|_| {});
    let body = script("echo hush-error >&2\nexit 3");
    world.follow_with(&[("p", source("p.sh", "--token=hush-argument"))], &[("p.sh", &body)]);
    let status = world.status_is("p", "error", |status| status.last_error.is_some()).await;
    assert!(!format!("{status:?}{:?}", world.discovery).contains("hush"));
    let extra = [("kubeconf".into(), std::sync::Arc::from(&b"hush-file"[..]))].into();
    world.discovery.update(
        Vec::new(),
        &[("p.sh".into(), std::sync::Arc::from(body.as_bytes()))].into(),
        &extra,
    );
    let shown = format!("{:?}", world.discovery);
    assert!(shown.contains("kubeconf") && !shown.contains(&format!("{:?}", b"hush-file")), "{shown}");
}

#[tokio::test]
async fn p27_first_runs_are_spread_and_the_pool_is_warm() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let spread = Duration::from_millis(400);
    let follow = |world: &World| {
        let path = directory.path().display();
        let pools: Vec<_> =
            ["a", "b", "c", "d"].map(|pool| (pool, source("p.sh", &format!("'{path}' {pool}")))).into();
        let body = script(&format!("date +%s%N >> \"$1/times\"\necho '{ONE}'"));
        world.follow_with(&pools, &[("p.sh", &body)]);
    };
    let change = |options: &mut tidegate_discovery::DiscoveryOptions| {
        options.state_dir = Some(state.clone());
        options.timing.plugin_spread = spread;
        options.timing.plugin_interval = Duration::from_mins(1);
    };
    let mut world = World::new(change);
    follow(&world);
    for pool in ["a", "b", "c", "d"] {
        world.size(pool, 1).await;
    }
    let times: Vec<u128> = std::fs::read_to_string(directory.path().join("times"))
        .unwrap()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    assert_eq!(times.len(), 4);
    assert!(times[3] - times[0] >= Duration::from_millis(200).as_nanos(), "{times:?}");
    until(|| stored(&state) == 4, "four sets on disk").await;
    drop(world);
    let mut world = World::new(change);
    let begun = Instant::now();
    follow(&world);
    world.size("d", 1).await;
    assert!(!world.fresh["d"] || begun.elapsed() >= spread / 2);
}

#[tokio::test]
async fn p28_a_new_source_takes_over_when_it_answers() {
    let server = Server::zone(Zone::new().host("web.example", &["192.0.2.1"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns("--hostname=web.example. --port=80", &[&server]))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    answer(world.path(), r#"{"version":1,"code":500}"#);
    world.follow_with(&[("p", cat(&world))], &[("cat.sh", CAT)]);
    world.status_is("p", "error", |status| status.counters.errors >= 2).await;
    world.drain();
    assert_eq!(world.changes, 1);
    answer(world.path(), TWO);
    world.nodes("p", &["192.0.2.1:80", "192.0.2.2:80"]).await;
}

#[tokio::test]
async fn a_pool_that_is_gone_ends_its_run() {
    let world = World::new(|_| {});
    let body =
        script("trap 'touch \"$1/asked\"; exit 1' TERM\necho $$ > \"$1/pid\"\nwhile :; do sleep 0.02; done");
    let source = source("p.sh", &format!("'{}'", world.path().display()));
    world.follow_with(&[("p", source)], &[("p.sh", &body)]);
    let pid = world.path().join("pid");
    until(|| std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')), "the run").await;
    let pid = std::fs::read_to_string(pid).unwrap();
    world.follow_with(&[], &[("p.sh", &body)]);
    until(|| !alive(&pid), "its end").await;
    assert!(world.path().join("asked").exists());
    assert!(world.discovery.status().is_empty());
}
