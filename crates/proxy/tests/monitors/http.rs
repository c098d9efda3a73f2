//! HTTP probes: what is asked, and what answers mean.

use std::time::Duration;

use tidegate_model::{Monitor, monitor::Probe};
use tokio::io::AsyncWriteExt;

use crate::bench::{Bench, answering, http, listen, monitor, read_head, transaction};

#[tokio::test]
async fn http_answers_are_judged_by_status_and_body() {
    let bench = Bench::new();
    let any = "^[234][0-9][0-9]$";
    for (answer, status, body, expected) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..], any, None, Ok(())),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", any, None, Ok(())),
        (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            any,
            None,
            Err("status 503 does not match"),
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "^200$",
            None,
            Err("status 404 does not match `^200$`"),
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", any, Some("^hello$"), Ok(())),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            any,
            Some("bye"),
            Err("the body `hello` does not match"),
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", any, Some("end$"), Ok(())),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            any,
            Some("^hello$"),
            Ok(()),
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "^200$",
            Some("ok"),
            Ok(()),
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", any, Some("s"), Err("closed inside the body")),
        (b"SSH-2.0-OpenSSH_9\r\n", any, None, Err("is not HTTP")),
        (b"", any, None, Err("closed without an answer")),
    ] {
        let address = answering(answer).await;
        let result = bench.opinion(http("/", status, body), address).await;
        match expected {
            Ok(()) => assert_eq!(result, Ok(()), "{}", answer.escape_ascii()),
            Err(part) => {
                let reason = result.expect_err(part);
                assert!(reason.contains(part), "{reason} should say {part}");
            }
        }
    }
}

#[tokio::test]
async fn http_requests_say_what_the_monitor_says() {
    let (sender, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let (address, _task) = listen(move |mut stream| {
        let sender = sender.clone();
        async move {
            drop(sender.send(read_head(&mut stream).await));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await);
        }
    })
    .await;
    let bench = Bench::new();
    bench.opinion(http("/plain", "200", None), address).await.unwrap();
    let head = heads.recv().await.unwrap();
    assert_eq!(
        head,
        format!(
            "GET /plain HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Tidegate-Monitor\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        )
    );
    let probe = Probe::Http {
        path: "/deep?x=y".into(),
        host_header: Some("www.example.com".into()),
        authentication: Some("user:pass".into()),
        status_regex: "200".into(),
        body_regex: None,
    };
    bench.opinion(probe, address).await.unwrap();
    loop {
        let head = heads.recv().await.unwrap();
        if head.starts_with("GET /deep?x=y HTTP/1.1\r\n") {
            assert!(head.contains("\r\nHost: www.example.com\r\n"), "{head}");
            assert!(head.contains("\r\nAuthorization: Basic dXNlcjpwYXNz\r\n"), "{head}");
            break;
        }
    }
}

#[tokio::test]
async fn answers_without_end_are_cut_and_silence_times_out() {
    let bench = Bench::new();
    let (endless, _task) = listen(|mut stream| async move {
        read_head(&mut stream).await;
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await);
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(bench.opinion(http("/", "200", Some("^x+$")), endless).await, Ok(()));
    let (endless_head, _task) = listen(|mut stream| async move {
        read_head(&mut stream).await;
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await);
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let reason = bench.opinion(http("/", "200", None), endless_head).await.unwrap_err();
    assert!(reason.contains("head exceeds"), "{reason}");
    let (silent, _task) = listen(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    for probe in [http("/", "200", None), transaction("", ".+", "", 0)] {
        let monitor = Monitor { timeout: Duration::from_millis(50), ..monitor("m", probe) };
        assert_eq!(bench.opinion_of(monitor, silent).await, Err("no answer within 0.05 s".into()));
    }
}
