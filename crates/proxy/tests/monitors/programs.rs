//! Probes by programs.

use std::{sync::Arc, time::Duration};

use tidegate_model::{Monitor, monitor::Probe};

use crate::bench::{Bench, monitor, until};

fn program(script: &str, arguments: &[(&str, &str)]) -> Probe {
    Probe::Program {
        program: script.into(),
        arguments: arguments.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    }
}

#[tokio::test]
async fn programs_are_called_with_arguments_and_judged_by_their_status() {
    let mut bench = Bench::new();
    let scripts = [
        ("good", "#!/bin/sh\nexit 0\n"),
        ("bad", "#!/bin/sh\necho\necho 'the disk is full'\necho more\nexit 3\n"),
        ("stderr", "#!/bin/sh\necho 'on stderr' >&2\nexit 1\n"),
        ("quiet", "#!/bin/sh\nexit 4\n"),
        ("chatty", "#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x\nexit 1\n"),
        ("arguments", "#!/bin/sh\necho \"$@ in $ZEUSHOME\"\nexit 1\n"),
        ("background", "#!/bin/sh\nsleep 60 &\nexit 0\n"),
    ];
    bench.scripts =
        scripts.into_iter().map(|(name, text)| (name.into(), Arc::from(text.as_bytes()))).collect();
    let address = "127.0.0.1:80".parse().unwrap();
    assert_eq!(bench.opinion(program("good", &[]), address).await, Ok(()));
    assert_eq!(bench.opinion(program("bad", &[]), address).await, Err("the disk is full".into()));
    assert_eq!(bench.opinion(program("stderr", &[]), address).await, Err("on stderr".into()));
    let reason = bench.opinion(program("quiet", &[]), address).await.unwrap_err();
    assert!(reason.contains("exit status: 4"), "{reason}");
    assert_eq!(bench.opinion(program("chatty", &[]), address).await.unwrap_err().len(), 200);
    let reason = bench
        .opinion(program("arguments", &[("request_host", "a b"), ("x", "")]), address)
        .await
        .unwrap_err();
    let home = bench.home.path().display();
    assert_eq!(reason, format!("--ipaddr=127.0.0.1 --port=80 --timeout=5 --request_host=a b --x= in {home}"));
    assert_eq!(bench.opinion(program("background", &[]), address).await, Ok(()));
    let reason = bench.opinion(program("missing", &[]), address).await.unwrap_err();
    assert_eq!(reason, "unable: the catalogue monitor_scripts has no `missing`");
}

#[tokio::test]
async fn programs_that_do_not_end_are_killed_with_all_they_started() {
    let mut bench = Bench::new();
    let pids = bench.home.path().join("pids");
    let script = format!("#!/bin/sh\nsleep 60 &\necho $! $$ > {}\nsleep 60\n", pids.display());
    bench.scripts.insert("slow".into(), script.into_bytes().into());
    let monitor = Monitor {
        timeout: Duration::from_millis(500),
        delay: Duration::from_secs(100),
        ..monitor("m", program("slow", &[]))
    };
    // A delay this long spreads the first run over ten seconds; a short one first brings the first run forward.
    let short = Monitor { delay: Duration::from_millis(1), ..monitor };
    assert_eq!(
        bench.opinion_of(short, "127.0.0.1:80".parse().unwrap()).await,
        Err("no answer within 0.5 s".into())
    );
    bench.update(&[]);
    let pids = std::fs::read_to_string(&pids).unwrap();
    let alive = |pid: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    };
    until("every process of the group is gone", || !pids.split_whitespace().any(alive)).await;
}
