//! `docs/configuration-keys.md` says what the program does.

#![expect(clippy::disallowed_methods, reason = "tests read and renew files; the crate itself does not")]

use std::path::Path;

#[test]
fn the_page_of_keys_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration-keys.md");
    let page = tidegate_config::keys_page();
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == page,
        "docs/configuration-keys.md is stale; renew it with\n\
         TIDEGATE_BLESS=1 cargo test -p tidegate-config --test keys_page"
    );
}
