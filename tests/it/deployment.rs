//! `deploy/` and the `Dockerfile` say what the program and the repository are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use granit_parser::Parser;
use tidegate_harness::tidegate::built;

use crate::tidy::{files, root};

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn manifests() -> Vec<(PathBuf, String)> {
    let paths = files(&root().join("deploy"), &["yaml", "yml"]);
    assert!(!paths.is_empty(), "deploy/ holds no YAML");
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

fn run(program: &Path, arguments: &[&str], environment: &BTreeMap<String, String>) -> Output {
    Command::new(program).args(arguments).env_clear().envs(environment).stdin(Stdio::null()).output().unwrap()
}

/// Lines without indentation, list markers and comments, each with the name before its colon.
fn entries(manifest: &str) -> Vec<(&str, &str)> {
    let lines = manifest.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key, value.trim().trim_matches('"')))
        .collect()
}

/// The variables that the containers of a manifest get, in order; `None` where the value comes from elsewhere.
fn variables(manifest: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut inside = None;
    for line in manifest.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let depth = line.len() - line.trim_start().len();
        let entry = line.trim_start();
        match inside {
            None if entry == "env:" => inside = Some(depth),
            Some(of) if depth < of || (depth == of && !entry.starts_with("- ")) => inside = None,
            Some(of) if depth == of => {
                let name = entry.strip_prefix("- name: ").expect("variables begin with their name");
                found.push((name.to_owned(), None));
            }
            Some(of) if depth == of + 2 => {
                if let Some(value) = entry.strip_prefix("value: ") {
                    found.last_mut().unwrap().1 = Some(value.trim_matches('"').to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

/// Names of variables of the program in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("TIDEGATE_") || word.starts_with("ZEUS_")).collect()
}

/// Values with what they refer to put in. Kubernetes knows what stands before, and nothing else.
fn expanded(variables: &[(String, Option<String>)], node: &str) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for (name, value) in variables {
        let mut value = value.clone().unwrap_or_else(|| node.to_owned());
        while let Some((before, (inside, after))) =
            value.split_once("$(").and_then(|(before, rest)| Some((before, rest.split_once(')')?)))
        {
            let meant: &String = known
                .get(inside)
                .unwrap_or_else(|| panic!("{name} refers to {inside}, which is not before it"));
            value = format!("{before}{meant}{after}");
        }
        known.insert(name.clone(), value);
    }
    known
}

#[test]
fn deployment_files_are_yaml_and_name_files_that_are_there() {
    for (path, text) in manifests() {
        for event in Parser::new_from_str(&text) {
            assert!(event.is_ok(), "{}: {}", path.display(), event.unwrap_err());
        }
        if !path.ends_with("kustomization.yaml") {
            continue;
        }
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("- ")) {
            let named = path.parent().unwrap().join(line.trim_start_matches("path: "));
            let is_path = line.contains(".yaml") || line.starts_with("../");
            assert!(!is_path || named.exists(), "{} names {line}, which is not there", path.display());
        }
    }
}

#[test]
fn variables_and_flags_of_the_manifests_are_those_of_the_program() {
    let help = run(&built("tidegate"), &["run", "--help"], &BTreeMap::new());
    let help = String::from_utf8(help.stdout).unwrap();
    let known = names(&help);
    assert!(known.contains("TIDEGATE_BASE"), "{help}");
    let page = (root().join("deploy/README.md"), text("deploy/README.md"));
    let mut seen = 0;
    for (path, text) in manifests().into_iter().chain([page]) {
        for name in names(&text) {
            assert!(known.contains(name), "{} names {name}, which the program does not know", path.display());
            seen += 1;
        }
        for (key, value) in entries(&text) {
            if !matches!(key, "args" | "command") {
                continue;
            }
            let mut words = value.trim_matches(['[', ']']).split(',').map(str::trim);
            assert_eq!(words.next(), Some("run"), "{}", path.display());
            for flag in words.filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap();
                assert!(help.contains(&format!("{flag} ")), "{} gives {flag}", path.display());
            }
        }
    }
    assert!(seen > 10, "only {seen} variables were found");
}

#[test]
fn the_program_takes_the_values_of_the_manifests() {
    let mut checked = 0;
    for (path, text) in manifests() {
        let variables = variables(&text);
        if variables.is_empty() {
            continue;
        }
        for node in ["192.0.2.7", "[2001:db8::7]"] {
            let mut environment = expanded(&variables, node);
            // The one setting that cannot be right here: all others are looked at before it.
            environment.insert("TIDEGATE_BASE".to_owned(), "/nowhere/at/all".to_owned());
            let output = run(&built("tidegate"), &["run"], &environment);
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(said.contains("the base directory /nowhere/at/all"), "{}: {said}", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 4, "{checked} manifests set variables");
}

#[test]
fn ports_and_users_agree() {
    let manifest = text("deploy/base/daemonset.yaml");
    let variables = expanded(&variables(&manifest), "192.0.2.7");
    let port = |name: &str| variables[name].rsplit_once(':').unwrap().1;
    let all = |wanted: &str| -> BTreeSet<String> {
        let entries = entries(&manifest);
        entries.iter().filter(|(key, _)| *key == wanted).map(|(_, value)| (*value).to_owned()).collect()
    };
    assert_eq!(all("port"), BTreeSet::from([port("TIDEGATE_HEALTH").to_owned()]), "of the probes");
    assert_eq!(all("prometheus.io/port"), BTreeSet::from([port("TIDEGATE_METRICS").to_owned()]));
    assert!(variables["TIDEGATE_REST"].starts_with("127.0.0.1:"), "not open unless an overlay says so");
    let users = [all("runAsUser"), all("runAsGroup"), all("fsGroup")];
    for user in users.iter().flatten() {
        assert!(text("Dockerfile").contains(&format!("USER {user}:{user}")), "the image has another user");
    }
    let version = text("Cargo.toml");
    let version = version.lines().find_map(|line| line.strip_prefix("version = ")).unwrap().trim_matches('"');
    assert!(text("deploy/base/kustomization.yaml").contains(&format!("newTag: {version}\n")));
}

/// Where `kubectl` is: overlays render, and what variables refer to is still before them.
#[test]
fn overlays_render() {
    let Ok(found) = Command::new("kubectl").args(["version", "--client"]).output() else { return };
    if !found.status.success() {
        return;
    }
    for entry in fs::read_dir(root().join("deploy/overlays")).unwrap() {
        let overlay = entry.unwrap().path();
        let output = Command::new("kubectl").arg("kustomize").arg(&overlay).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", overlay.display());
        let rendered = String::from_utf8(output.stdout).unwrap();
        let environment = expanded(&variables(&rendered), "192.0.2.7");
        let opened = overlay.ends_with("rest");
        let expected = if opened { "127.0.0.1:9070,192.0.2.7:9070" } else { "127.0.0.1:9070" };
        assert_eq!(environment["TIDEGATE_REST"], expected, "{}", overlay.display());
        assert_eq!(environment["TIDEGATE_METRICS"], "192.0.2.7:9091");
        for path in ["/import/config", "/import/data", "/var/lib/tidegate/state", "/tmp"] {
            assert!(rendered.contains(&format!("mountPath: {path}\n")), "{}: {path}", overlay.display());
        }
    }
}

/// Whether the build of the image does not see a path of the repository: the part of the pattern language that
/// `.dockerignore` uses here.
fn ignored(path: &str, patterns: &str) -> bool {
    let patterns = patterns.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    patterns.into_iter().any(|pattern| {
        if let Some(name) = pattern.strip_prefix("**/") {
            return path.split('/').any(|part| part == name);
        }
        if let Some(ending) = pattern.strip_prefix('*') {
            return !path.contains('/') && path.ends_with(ending);
        }
        path == pattern || path.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('/'))
    })
}

#[test]
fn patterns_of_what_the_image_does_not_see() {
    let patterns = "# x\n**/target\n*.md\ndeploy\ntests/fuzz\n";
    for (path, expected) in [
        ("target", true),
        ("tests/fuzz/x/target/y", true),
        ("crates/a/src/target.rs", false),
        ("README.md", true),
        ("docs/rest.md", false),
        ("deploy/base/x.yaml", true),
        ("deployed", false),
        ("tests/fuzz", true),
        ("tests/it", false),
    ] {
        assert_eq!(ignored(path, patterns), expected, "{path}");
    }
}

#[test]
fn the_image_is_built_from_what_is_there() {
    let (dockerfile, patterns) = (text("Dockerfile"), text(".dockerignore"));
    let mut stages = BTreeSet::new();
    let mut arguments = BTreeMap::new();
    let mut copies = 0;
    // Continuation lines belong to the instruction before.
    let joined = dockerfile.replace("\\\n", " ");
    for line in joined.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("ARG") => {
                let (name, value) = words.next().unwrap().split_once('=').unwrap();
                arguments.insert(name.to_owned(), value.to_owned());
            }
            Some("FROM") => {
                let image = words.next().unwrap();
                let argument = image.trim_start_matches("${").trim_end_matches('}');
                assert!(stages.contains(argument) || arguments.contains_key(argument), "FROM {image}");
                stages.insert(words.nth(1).unwrap_or_default().to_owned());
            }
            Some("COPY") => {
                let (options, paths): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with("--"));
                copies += 1;
                if let Some(stage) = options.iter().find_map(|option| option.strip_prefix("--from=")) {
                    assert!(stages.contains(stage), "COPY from {stage}, which is no stage above");
                    continue;
                }
                for path in &paths[..paths.len() - 1] {
                    assert!(root().join(path).exists() && !ignored(path, &patterns), "COPY {path}");
                }
            }
            _ => {}
        }
    }
    assert!(copies > 1, "no COPY was read");
    // What the build needs of the context, whole directories as they are copied.
    let needed = [
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "crates",
        "tests/Cargo.toml",
        "benches/Cargo.toml",
    ];
    for path in needed {
        assert!(root().join(path).exists() && !ignored(path, &patterns), "{path}");
    }
    for path in files(&root().join("crates"), &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        for included in text.split("include_str!(\"").chain(text.split("include_bytes!(\"")).skip(1) {
            let Some((name, _)) = included.split_once("\")") else { continue };
            let Ok(included) = path.parent().unwrap().join(name).canonicalize() else { continue };
            let inside = included.strip_prefix(root().canonicalize().unwrap()).unwrap().to_owned();
            assert!(
                !ignored(inside.to_str().unwrap(), &patterns),
                "{} needs {}",
                path.display(),
                inside.display()
            );
        }
    }
    let channel = text("rust-toolchain.toml");
    let channel = channel.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    assert!(arguments["BUILD_IMAGE"].contains(&format!("rust:{channel}-")), "{}", arguments["BUILD_IMAGE"]);
    assert!(
        dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={channel}\n")),
        "the build would fetch a toolchain"
    );
}
