//! `docs/trafficscript-functions.md` says what the program does.

#![expect(clippy::disallowed_methods, reason = "tests read and renew files; the crate itself does not")]

use std::path::Path;

use tidegate_trafficscript::{functions_page, library::functions};

#[test]
fn the_page_of_functions_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/trafficscript-functions.md");
    let page = functions_page();
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == page,
        "docs/trafficscript-functions.md is stale; renew it with\n\
         TIDEGATE_BLESS=1 cargo test -p tidegate-trafficscript --test functions_page"
    );
}

#[test]
fn every_function_is_on_the_page_once() {
    let page = functions_page();
    for function in functions() {
        let row = format!("\n| `{}({})` |", function.name, function.arguments);
        assert_eq!(page.matches(&row).count(), 1, "{}", function.name);
    }
}
