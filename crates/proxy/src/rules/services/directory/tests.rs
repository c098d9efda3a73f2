use tidegate_harness::{
    ldap::{Ldap, Mode, Person},
    tls::{self, Authority},
};
use tidegate_model::directory::Filter;

use super::*;
use crate::rules::services::names::{
    Found,
    tests::{Table, names},
};

fn people() -> Vec<Person> {
    vec![
        Person::new("ada", "lovelace", &[("mail", &["ada@x"]), ("memberOf", &["cn=a", "cn=b"])]),
        Person::new("bob", "builder", &[("mail", &["bob@x"])]),
        Person::new("reader", "secret", &[]),
    ]
}

fn authenticator(server: &Ldap) -> Authenticator {
    Authenticator {
        name: "ldap".into(),
        host: "127.0.0.1".into(),
        port: server.address.port(),
        attributes: vec!["mail".into(), "MEMBEROF".into()],
        bind_dn: "".into(),
        bind_password: "".into(),
        filter: Filter::read("(&(mail=*)(uid=%u))").unwrap(),
        base_dn: "dc=example".into(),
        security: DirectorySecurity::None,
        authority: None,
    }
}

fn directories(authenticator: Authenticator, authority: Option<&str>) -> Directories {
    let mut table = Table::default();
    let found = Found { addresses: vec!["127.0.0.1".parse().unwrap()], name: None, ttl: None };
    table.answers.insert("ldap.test".into(), found);
    let directories = Directories::new(names(table).0, Handle::current());
    directories.follow(&[(Arc::new(authenticator), authority.map(Arc::from))]);
    directories
}

async fn ask(directories: &Directories, user: &str, password: Option<&str>) -> Answer {
    let query = DirectoryQuery {
        authenticator: b"ldap".into(),
        user: user.into(),
        password: password.map(|password| password.as_bytes().to_vec()),
    };
    directories.ask(&query).await
}

fn ada() -> DirectoryEntry {
    let attributes = vec![
        (b"mail".to_vec(), vec![b"ada@x".to_vec()]),
        (b"MEMBEROF".to_vec(), vec![b"cn=a".to_vec(), b"cn=b".to_vec()]),
    ];
    DirectoryEntry { attributes }
}

#[tokio::test]
async fn users_and_their_passwords() {
    let server = Ldap::start(&people()).await;
    let directories = directories(authenticator(&server), None);
    assert_eq!(ask(&directories, "ada", None).await, Ok(Some(ada())));
    assert_eq!(ask(&directories, "ada", Some("lovelace")).await, Ok(Some(ada())));
    for (user, password) in [
        ("ada", Some("wrong")),
        ("ada", Some("")),
        ("eve", None),
        ("eve", Some("lovelace")),
        ("", None),
        ("*", None),
        ("ada)(uid=*", None),
    ] {
        assert_eq!(ask(&directories, user, password).await, Ok(None), "{user} {password:?}");
    }
    let seen = server.seen();
    assert_eq!(
        seen[..5],
        ["search dc=example", "unbind", "search dc=example", "bind uid=ada,dc=example", "unbind"]
    );
    assert_eq!(
        seen.iter().filter(|line| line.starts_with("bind")).count(),
        2,
        "nobody binds without a password"
    );
    let counters = directories.counters();
    assert_eq!((counters.confirmed, counters.denied, counters.failed), (2, 7, 0));
}

#[tokio::test]
async fn who_asks_gives_a_name() {
    let server = Ldap::with(&people(), None, true).await;
    let with = |name: &str, password: &str| {
        let bound =
            Authenticator { bind_dn: name.into(), bind_password: password.into(), ..authenticator(&server) };
        directories(bound, None)
    };
    assert_eq!(ask(&with("uid=reader,dc=example", "secret"), "ada", Some("lovelace")).await, Ok(Some(ada())));
    let refused = ask(&with("uid=reader,dc=example", "wrong"), "ada", None).await.unwrap_err();
    assert!(refused.contains("ldap.bind_dn: invalid credentials (code 49)"), "{refused}");
    assert!(!refused.contains("wrong"));
    let nobody = ask(&with("", ""), "ada", None).await.unwrap_err();
    assert!(nobody.contains("cannot be searched: insufficient access rights"), "{nobody}");
}

#[tokio::test]
async fn one_user_is_one_entry() {
    let server = Ldap::start(&people()).await;
    for (filter, users) in [("(|(uid=%u)(uid=bob))", 2), ("(|(uid=%u)(uid=bob)(uid=reader))", 3)] {
        let wide = Authenticator { filter: Filter::read(filter).unwrap(), ..authenticator(&server) };
        let fault = ask(&directories(wide, None), "ada", None).await.unwrap_err();
        assert!(fault.contains("more than one entry"), "{users}: {fault}");
    }
}

#[tokio::test]
async fn over_tls() {
    let authority = Authority::new("directory authority");
    let pair = authority.issue(&["ldap.test"]);
    for (security, starts) in [(DirectorySecurity::Tls, false), (DirectorySecurity::StartTls, true)] {
        let tls = tls::server(&pair, false);
        let server = Ldap::with(&people(), Some((starts, tls)), false).await;
        let secure = Authenticator { host: "ldap.test".into(), security, ..authenticator(&server) };
        let trusting = directories(secure.clone(), Some(&authority.certificate));
        assert_eq!(ask(&trusting, "ada", Some("lovelace")).await, Ok(Some(ada())), "{security:?}");
        assert_eq!(ask(&trusting, "ada", Some("wrong")).await, Ok(None), "{security:?}");
        assert_eq!(server.seen().contains(&"starttls".to_owned()), starts);
        // The certificate itself may be what is trusted.
        assert_eq!(
            ask(&directories(secure.clone(), Some(&pair.certificate)), "ada", None).await,
            Ok(Some(ada()))
        );
        let strange = Authority::new("another").certificate;
        let other_name = Authenticator { host: "127.0.0.1".into(), ..secure.clone() };
        for (asked, trusted) in
            [(&secure, Some(strange.as_str())), (&secure, None), (&other_name, Some(&authority.certificate))]
        {
            let fault = ask(&directories(asked.clone(), trusted), "ada", Some("lovelace")).await.unwrap_err();
            assert!(fault.starts_with("TLS with "), "{fault}");
        }
    }
    let plain = Ldap::start(&people()).await;
    let secure = Authenticator { security: DirectorySecurity::StartTls, ..authenticator(&plain) };
    let fault = ask(&directories(secure, None), "ada", Some("lovelace")).await.unwrap_err();
    assert!(fault.contains("does not begin TLS: unavailable"), "{fault}");
    assert_eq!(plain.seen(), ["starttls"], "no password is sent in the clear");
}

#[tokio::test]
async fn directories_that_are_out_of_order() {
    let server = Ldap::start(&people()).await;
    let asked = directories(authenticator(&server), None);
    for (mode, part) in [(Mode::Garbage, "cannot be understood"), (Mode::Closes, "has closed the connection")]
    {
        server.mode(mode);
        let fault = ask(&asked, "ada", None).await.unwrap_err();
        assert!(fault.contains(part), "{mode:?}: {fault}");
    }
    server.mode(Mode::Silent);
    let waiting = tokio::time::timeout(Duration::from_millis(50), ask(&asked, "ada", None)).await;
    assert!(waiting.is_err());
    server.mode(Mode::Answers);
    assert_eq!(ask(&asked, "ada", None).await, Ok(Some(ada())));
    let free = tokio::time::timeout(Duration::from_secs(10), async {
        while asked.inner.waiting.available_permits() < MOST_WAITING {
            tokio::task::yield_now().await;
        }
    });
    assert!(free.await.is_ok(), "who gives up waits no more");
    let gone = authenticator(&server);
    drop(server);
    let fault = ask(&directories(gone, None), "ada", None).await.unwrap_err();
    assert!(fault.contains("refused"), "{fault}");
    let nowhere = Directories::new(names(Table::default()).0, Handle::current());
    assert_eq!(ask(&nowhere, "ada", None).await, Err("there is no authenticator “ldap”".to_owned()));
}

#[tokio::test]
async fn too_many_questions_are_refused() {
    let server = Ldap::start(&people()).await;
    let asked = directories(authenticator(&server), None);
    let _taken = asked.inner.waiting.try_acquire_many(MOST_WAITING as u32).unwrap();
    assert!(ask(&asked, "ada", None).await.unwrap_err().contains("in progress already"));
    assert_eq!((asked.counters().refused, asked.counters().failed), (1, 1));
}

#[tokio::test]
async fn the_time_of_a_question_is_limited() {
    let server = Ldap::start(&people()).await;
    server.mode(Mode::Silent);
    let limit = Duration::from_millis(30);
    let asked = Directories::limited(names(Table::default()).0, Handle::current(), limit);
    asked.follow(&[(Arc::new(authenticator(&server)), None)]);
    assert_eq!(
        ask(&asked, "ada", None).await,
        Err("timeout: no answer of the directory within 30ms".to_owned())
    );
}
