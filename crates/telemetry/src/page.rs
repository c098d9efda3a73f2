//! Pages of `docs/` that the program writes: a test fails when one is stale, and renews it when told to.

use std::path::Path;

/// Compares `docs/name` with `page`, after writing it if `TIDEGATE_BLESS` is set. `test` is part of the test's name.
pub(crate) fn check(name: &str, page: &str, test: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == page,
        "docs/{name} is stale; renew it with\nTIDEGATE_BLESS=1 cargo test -p tidegate-telemetry {test}"
    );
}
