//! Benches: `micro/` times single functions (`cargo bench -p tidegate-benches`), `load/` compares Tidegate with other
//! proxies side by side (`benches/load/sidebyside`). The library is empty; the binary `relay` is the floor of the latter.
